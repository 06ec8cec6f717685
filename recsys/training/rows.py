"""The ranker's training rows: candidates and features exactly as a request would see them, with labels of what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.protocols import ResolvedQuery, Unlimited
from recsys.training.split import LabelledQuery
from recsys.training.stages import Progress
from recsys.types import Candidates, Flags, Floats, Ints, Query, aware

REPORT_EVERY = 50
N_IDLE_ROWS = 10
"""So many rows are kept of a query with no wanted candidate."""


@dataclass(frozen=True)
class Rows:
    """Training rows of one ranker in one period; those of query q are sizes[:q].sum() onwards, and first come the queries that teach.

    A query without a wanted candidate teaches nothing of the order. Of such idle queries some rows are kept all the same, at the end, for
    they tell how often nothing is wanted.

    features: float32 (n, n_features); labels: 1 = wanted, uint8 (n,); sizes: rows of each query, int32 (n_queries,)
    positions: the best one at which the item was shown while it could be wanted, 1 = first, 0 = it was not; of the labels' time, so never a
              feature; int32 (n,)
    recalls:  per source and customer, the share it proposed of the wanted items that are new to the customer, but were sold before;
              float32 (n_customers, n_sources), NaN = none wanted
    later:    the same for what the customer wanted after the labels; see `recsys.training.leaks`
    customers: who asked each query, -1 = a guest; int32 (n_queries,)
    n_candidates: how many there were to choose from before some were drawn; int32 (n_queries,)
    """

    features: Floats
    labels: NDArray[np.uint8]
    positions: Ints
    sizes: Ints
    recalls: Floats
    later: Floats
    customers: Ints
    n_candidates: Ints

    @staticmethod
    def stacked(parts: Sequence[Rows]) -> Rows:
        """The rows of several periods, one after the other."""
        return Rows(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)})

    def parted(self) -> tuple[Rows, Rows]:
        """The queries that teach, and the idle ones; views."""
        starts = np.concatenate([[0], np.cumsum(self.sizes)])
        n = int(np.count_nonzero(np.add.reduceat(self.labels, starts[:-1], dtype=np.int64))) if len(self.sizes) else 0
        return self._at(slice(None, starts[n]), slice(None, n)), self._at(slice(starts[n], None), slice(n, None))

    def of_queries(self, queries: Flags) -> Rows:
        """Those of some queries; queries: bool (n_queries,)"""
        return self._at(np.repeat(queries, self.sizes), queries)

    def _at(self, rows: slice | Flags, queries: slice | Flags) -> Rows:
        of_rows = {name: getattr(self, name)[rows] for name in ("features", "labels", "positions")}
        of_queries = {name: getattr(self, name)[queries] for name in ("sizes", "customers", "n_candidates")}
        return replace(self, **of_rows, **of_queries)

    def save(self, folder: Path) -> None:
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @staticmethod
    def load(folder: Path) -> Rows:
        return Rows(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Rows)})


class _Kept:
    """What is kept of some queries, one after the other."""

    def __init__(self) -> None:
        self.features: list[Floats] = []
        self.labels: list[NDArray[np.uint8]] = []
        self.positions: list[Ints] = []
        self.asked: list[tuple[int, int]] = []

    def add(self, labelled: LabelledQuery, candidates: Candidates, features: Floats, rows: NDArray[np.intp]) -> None:
        items = candidates.items[rows]
        self.features.append(features[rows])
        self.labels.append(np.isin(items, labelled.wanted).astype(np.uint8))
        self.positions.append(np.array([labelled.shown.get(item, 0) for item in items.tolist()], np.int32))
        self.asked.append((labelled.customer, len(candidates)))

    def followed_by(self, others: _Kept, n_features: int, recalls: Floats, later: Floats) -> Rows:
        """These, which teach, then the idle ones."""
        labels = self.labels + others.labels
        customers, n_candidates = np.array(self.asked + others.asked, np.int32).reshape(-1, 2).T
        return Rows(
            features=np.concatenate([np.empty((0, n_features), np.float32), *self.features, *others.features]),
            labels=np.concatenate([np.empty(0, np.uint8), *labels]),
            positions=np.concatenate([np.empty(0, np.int32), *self.positions, *others.positions]),
            sizes=np.array([len(part) for part in labels], np.int32),
            recalls=recalls,
            later=later,
            customers=customers,
            n_candidates=n_candidates,
        )


def make_rows(
    bundle: Bundle,
    strategy: StrategyConfig,
    queries: Sequence[LabelledQuery],
    later: dict[int, Ints],
    n_negatives: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Rows:
    """Retrieve for each query with a bundle that knows nothing of its labels, and keep every wanted candidate and some others.

    Queries of which all candidates are wanted are left out; wanted items that no source proposed are not added.
    """
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    was_sold = np.bincount(bundle.histories.lines.items, minlength=len(bundle.catalogue)) > 0
    teaching, idle, of_idle = _Kept(), _Kept(), rng.spawn(1)[0]
    recalls: list[Floats] = []
    recalls_later: list[Floats] = []
    for number, labelled in enumerate(queries):
        if number % REPORT_EVERY == 0:
            progress(number, len(queries), "retrieving for the ranker")
        resolved, _ = engine.resolve(_query(labelled, bundle, strategy), snapshot)
        candidates = candidates_of(engine, resolved, strategy, snapshot)
        if labelled.customer >= 0:
            following = later.get(labelled.customer, np.empty(0, np.int32))
            for items, found in ((labelled.wanted, recalls), (following, recalls_later)):
                found.append(_recall(candidates, np.setdiff1d(items[was_sold[items]], resolved.positives.items)))
        wanted = np.isin(candidates.items, labelled.wanted)
        if wanted.all():
            continue
        features = bundle.features.rows(resolved, candidates, bundle.sources)
        if wanted.any():
            teaching.add(labelled, candidates, features, _sampled(wanted, n_negatives, rng))
        else:
            idle.add(labelled, candidates, features, _sampled(wanted, N_IDLE_ROWS, of_idle))
    progress(len(queries), len(queries), "retrieving for the ranker")
    by_source = [np.array(found, np.float32).reshape(-1, len(strategy.sources)) for found in (recalls, recalls_later)]
    return teaching.followed_by(idle, len(bundle.features.names), *by_source)


def candidates_of(engine: Engine, resolved: ResolvedQuery, strategy: StrategyConfig, snapshot: Snapshot) -> Candidates:
    """What a request would have to rank.

    Raises:
        DataError: a source failed. An answer does without it; a ranker must not learn to.
    """
    retrieved = engine.retrieve(resolved, strategy, snapshot, Unlimited())
    if retrieved.degraded:
        raise DataError(f"training stops, for {retrieved.degraded[0]}")
    return retrieved.candidates


def _query(labelled: LabelledQuery, bundle: Bundle, strategy: StrategyConfig) -> Query:
    """The query as it would have been asked: a customer who first came later is a stranger to the bundle.

    What the customer had bought before its past was cut down is neither new nor unwanted: a strategy of new items leaves it out.
    """
    items, customers = bundle.catalogue.items.ids, bundle.customers.ids
    return Query(
        k=1,
        time=aware(labelled.time),
        customer_id=customers[labelled.customer] if 0 <= labelled.customer < len(customers) else None,
        context_item_ids=tuple(items[item] for item in labelled.context),
        excluded_item_ids=tuple(items[item] for item in labelled.forgotten) if "bought" in strategy.filters else (),
    )


def _sampled(wanted: Flags, n_negatives: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """All wanted rows and at most `n_negatives` others, in their order."""
    others = np.flatnonzero(~wanted)
    drawn = rng.choice(others, min(n_negatives, len(others)), replace=False)
    return np.sort(np.concatenate([np.flatnonzero(wanted), drawn]))


def _recall(candidates: Candidates, wanted: Ints) -> Floats:
    """Share of the wanted items that each source proposed, float32 (n_sources,); NaN = none is wanted."""
    if not len(wanted):
        return np.full(len(candidates.sources), np.nan, np.float32)
    hits = np.isin(candidates.items, wanted)
    return np.asarray(np.isfinite(candidates.source_ranks[hits]).sum(axis=0) / len(wanted), np.float32)

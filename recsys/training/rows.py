"""The ranker's training rows: candidates and features exactly as a request would see them, with labels of what followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.config import Config, StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.features.spec import feature_names
from recsys.processes import over_processes
from recsys.protocols import ResolvedQuery, Unlimited
from recsys.training.split import LabelledQuery
from recsys.training.stages import Progress
from recsys.types import Candidates, Flags, Floats, Ints, Query, aware

AT_ONCE = 50
"""So many queries are one task."""
LEAST_TASKS = 10
"""So many tasks and more are worth starting another process."""


@dataclass(frozen=True)
class Rows:
    """Training rows of one ranker in one period; those of query q are sizes[:q].sum() onwards, and first come the queries that teach.

    A query without a wanted candidate teaches nothing of the order. Of such idle queries some rows may be kept all the same, at the end,
    for they tell how often nothing is wanted.

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


@dataclass(frozen=True)
class Kept:
    """How many rows are kept: unwanted candidates of a query that teaches, and candidates of an idle one; with 0 idle ones are left out."""

    n_negatives: int
    n_idle: int = 0


class _Some:
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

    def extend(self, other: _Some) -> None:
        for name, parts in vars(self).items():
            parts.extend(getattr(other, name))


class _Made:
    """Of some queries: those that teach, the idle ones, and recall on the labels and on what came later."""

    def __init__(self) -> None:
        self.teaching, self.idle = _Some(), _Some()
        self.recalls: list[Floats] = []
        self.later: list[Floats] = []

    def extend(self, other: _Made) -> None:
        for name, parts in vars(self).items():
            parts.extend(getattr(other, name))

    def rows(self, n_features: int, n_sources: int) -> Rows:
        """Those that teach, then the idle ones."""
        kept = _Some()
        kept.extend(self.teaching)
        kept.extend(self.idle)
        customers, n_candidates = np.array(kept.asked, np.int32).reshape(-1, 2).T
        return Rows(
            features=np.concatenate([np.empty((0, n_features), np.float32), *kept.features]),
            labels=np.concatenate([np.empty(0, np.uint8), *kept.labels]),
            positions=np.concatenate([np.empty(0, np.int32), *kept.positions]),
            sizes=np.array([len(part) for part in kept.labels], np.int32),
            recalls=np.array(self.recalls, np.float32).reshape(-1, n_sources),
            later=np.array(self.later, np.float32).reshape(-1, n_sources),
            customers=customers,
            n_candidates=n_candidates,
        )


@dataclass(frozen=True)
class _Task:
    """Some queries, what their customers wanted later, and what draws their rows."""

    queries: Sequence[LabelledQuery]
    later: Mapping[int, Ints]
    rng: np.random.Generator


@dataclass(frozen=True)
class _Asked:
    """Who is asked. was_sold: items that anybody did anything with, bool (n_items,)"""

    engine: Engine
    snapshot: Snapshot
    was_sold: Flags

    @staticmethod
    def open(open_bundle: Callable[[], Bundle]) -> _Asked:
        bundle = open_bundle()
        was_sold = np.bincount(bundle.histories.lines.items, minlength=len(bundle.catalogue)) > 0
        return _Asked(Engine(bundle), Snapshot.of(bundle), was_sold)


def make_rows(
    open_bundle: Callable[[], Bundle],
    config: Config,
    strategy: StrategyConfig,
    queries: Sequence[LabelledQuery],
    later: Mapping[int, Ints],
    kept: Kept,
    rng: np.random.Generator,
    progress: Progress,
    n_processes: int = 1,
) -> Rows:
    """Retrieve for each query with a bundle that knows nothing of its labels, and keep every wanted candidate and some others.

    Queries of which all candidates are wanted are left out; wanted items that no source proposed are not added. The rows are the same
    whatever the number of processes.

    Args:
        open_bundle, config: the bundle and its configuration; with several processes each opens it once, see `over_processes`.
        later: items that each customer wanted after the labels.
        kept: of the candidates of each query.
    """
    tasks = []
    for start in range(0, len(queries), AT_ONCE):
        some = queries[start : start + AT_ONCE]
        of_these = {query.customer: later[query.customer] for query in some if query.customer in later}
        tasks.append(_Task(some, of_these, rng.spawn(1)[0]))
    progress(0, len(queries), "retrieving for the ranker")
    made, n_processes = _Made(), min(n_processes, max(1, len(tasks) // LEAST_TASKS))
    work = partial(_rows_of, strategy=strategy, kept=kept)
    for number, part in enumerate(over_processes(partial(_Asked.open, open_bundle), work, tasks, n_processes)):
        made.extend(part)
        progress(min((number + 1) * AT_ONCE, len(queries)), len(queries), "retrieving for the ranker")
    return made.rows(len(feature_names(config)), len(strategy.sources))


def _rows_of(asked: _Asked, task: _Task, strategy: StrategyConfig, kept: Kept) -> _Made:
    engine, snapshot, bundle = asked.engine, asked.snapshot, asked.engine.bundle
    made, of_idle = _Made(), task.rng.spawn(1)[0]
    for labelled in task.queries:
        resolved, _ = engine.resolve(_query(labelled, bundle, strategy), snapshot)
        candidates = candidates_of(engine, resolved, strategy, snapshot)
        if labelled.customer >= 0:
            following = task.later.get(labelled.customer, np.empty(0, np.int32))
            for items, found in ((labelled.wanted, made.recalls), (following, made.later)):
                found.append(_recall(candidates, np.setdiff1d(items[asked.was_sold[items]], resolved.positives.items)))
        wanted = np.isin(candidates.items, labelled.wanted)
        if wanted.all() or not (wanted.any() or kept.n_idle):
            continue
        features = bundle.features.rows(resolved, candidates, bundle.sources)
        if wanted.any():
            made.teaching.add(labelled, candidates, features, _sampled(wanted, kept.n_negatives, task.rng))
        else:
            made.idle.add(labelled, candidates, features, _sampled(wanted, kept.n_idle, of_idle))
    return made


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

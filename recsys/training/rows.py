"""The ranker's training rows: candidates and features exactly as a request would see them, with labels of what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Rows:
    """Training rows of one ranker in one period; those of query q are sizes[:q].sum() onwards.

    features: float32 (n, n_features); labels: 1 = wanted, uint8 (n,); sizes: rows of each query, int32 (n_queries,)
    recalls:  per source and customer, the share it proposed of the wanted items that are new to the customer, but were sold before;
              float32 (n_customers, n_sources), NaN = none wanted
    later:    the same for what the customer wanted after the labels; see `recsys.training.leaks`
    customers: who asked each query, -1 = a guest; int32 (n_queries,)
    n_candidates: how many there were to choose from before some were drawn; int32 (n_queries,)
    """

    features: Floats
    labels: NDArray[np.uint8]
    sizes: Ints
    recalls: Floats
    later: Floats
    customers: Ints
    n_candidates: Ints

    def save(self, folder: Path) -> None:
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @staticmethod
    def load(folder: Path) -> Rows:
        return Rows(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Rows)})


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

    Queries with no wanted candidate teach nothing and are left out; wanted items that no source proposed are not added.
    """
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    was_sold = np.bincount(bundle.histories.lines.items, minlength=len(bundle.catalogue)) > 0
    features: list[Floats] = []
    labels: list[NDArray[np.uint8]] = []
    recalls: list[Floats] = []
    recalls_later: list[Floats] = []
    asked: list[tuple[int, int]] = []
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
        if wanted.any() and not wanted.all():
            kept = _sampled(wanted, n_negatives, rng)
            features.append(bundle.features.rows(resolved, candidates, bundle.sources)[kept])
            labels.append(wanted[kept].astype(np.uint8))
            asked.append((labelled.customer, len(candidates)))
    progress(len(queries), len(queries), "retrieving for the ranker")
    n_features = len(bundle.features.names)
    customers, n_candidates = np.array(asked, np.int32).reshape(-1, 2).T
    return Rows(
        features=np.concatenate(features) if features else np.empty((0, n_features), np.float32),
        labels=np.concatenate(labels) if labels else np.empty(0, np.uint8),
        sizes=np.array([len(part) for part in labels], np.int32),
        recalls=np.array(recalls, np.float32).reshape(-1, len(strategy.sources)),
        later=np.array(recalls_later, np.float32).reshape(-1, len(strategy.sources)),
        customers=customers,
        n_candidates=n_candidates,
    )


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

"""The ranker's training rows: candidates and features exactly as a request would see them, with labels of what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.protocols import Unlimited
from recsys.training.split import LabelledQuery
from recsys.training.stages import Progress
from recsys.types import Candidates, Flags, Floats, Ints, Query, aware

REPORT_EVERY = 50


@dataclass(frozen=True)
class Rows:
    """Training rows of one ranker in one period; those of query q are sizes[:q].sum() onwards.

    features: float32 (n, n_features); labels: 1 = wanted, uint8 (n,); sizes: rows of each query, int32 (n_queries,)
    recalls:  per source and query, the share of the new wanted items it proposed; float32 (n_queries, n_sources), NaN = none wanted
    later:    the same for what the customer wanted after the labels; see `recsys.training.leaks`
    """

    features: Floats
    labels: NDArray[np.uint8]
    sizes: Ints
    recalls: Floats
    later: Floats

    def save(self, folder: Path) -> None:
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @staticmethod
    def load(folder: Path) -> Rows:
        names = ("features", "labels", "sizes", "recalls", "later")
        return Rows(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})


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
    features: list[Floats] = []
    labels: list[NDArray[np.uint8]] = []
    recalls: list[Floats] = []
    recalls_later: list[Floats] = []
    for number, labelled in enumerate(queries):
        if number % REPORT_EVERY == 0:
            progress(number, len(queries), "retrieving for the ranker")
        resolved, _ = engine.resolve(_query(labelled, bundle), snapshot)
        candidates = engine.retrieve(resolved, strategy, snapshot, Unlimited()).candidates
        if labelled.customer >= 0:
            known = np.unique(resolved.positives.items)
            recalls.append(_recall_of_new(candidates, labelled.wanted, known))
            recalls_later.append(_recall_of_new(candidates, later.get(labelled.customer, np.empty(0, np.int32)), known))
        wanted = np.isin(candidates.items, labelled.wanted)
        if wanted.any() and not wanted.all():
            kept = _sampled(wanted, n_negatives, rng)
            features.append(bundle.features.rows(resolved, candidates)[kept])
            labels.append(wanted[kept].astype(np.uint8))
    progress(len(queries), len(queries), "retrieving for the ranker")
    n_features = len(bundle.features.names)
    return Rows(
        features=np.concatenate(features) if features else np.empty((0, n_features), np.float32),
        labels=np.concatenate(labels) if labels else np.empty(0, np.uint8),
        sizes=np.array([len(part) for part in labels], np.int32),
        recalls=np.array(recalls, np.float32).reshape(-1, len(strategy.sources)),
        later=np.array(recalls_later, np.float32).reshape(-1, len(strategy.sources)),
    )


def _query(labelled: LabelledQuery, bundle: Bundle) -> Query:
    items = bundle.catalogue.items.ids
    return Query(
        k=1,
        time=aware(labelled.time),
        customer_id=None if labelled.customer < 0 else bundle.customers.ids[labelled.customer],
        context_item_ids=tuple(items[item] for item in labelled.context),
    )


def _sampled(wanted: Flags, n_negatives: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """All wanted rows and at most `n_negatives` others, in their order."""
    others = np.flatnonzero(~wanted)
    drawn = rng.choice(others, min(n_negatives, len(others)), replace=False)
    return np.sort(np.concatenate([np.flatnonzero(wanted), drawn]))


def _recall_of_new(candidates: Candidates, wanted: Ints, known: Ints) -> Floats:
    """Share of the wanted items unknown to the customer that each source proposed, float32 (n_sources,)."""
    new = np.setdiff1d(wanted, known)
    if not len(new):
        return np.full(len(candidates.sources), np.nan, np.float32)
    hits = np.isin(candidates.items, new)
    return np.asarray(np.isfinite(candidates.source_ranks[hits]).sum(axis=0) / len(new), np.float32)

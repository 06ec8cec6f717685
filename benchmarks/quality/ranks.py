"""Where the wanted item of each customer stands: in the engine's list and in that of every source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.leave_last import LeftOut
from recsys.engine import Engine, Snapshot
from recsys.processes import over_processes
from recsys.protocols import CandidateSource, Unlimited
from recsys.training.parts import BundleParts
from recsys.training.stages import Progress
from recsys.types import Candidates, Ints, Query, Scored, Times, aware

Doubles: TypeAlias = NDArray[np.float64]

AT_ONCE = 200
"""So many customers are one task."""
N_RIVAL = 100
"""Items asked of what is measured beside the engine."""
STRATEGY = "next"


@dataclass(frozen=True)
class Ranks:
    """Rank of the wanted item by system, 1 = first, ties share their mean rank, inf = not in the list; float64 (n_customers,) each."""

    of_systems: dict[str, Doubles]
    is_candidate: Doubles

    def metrics(self, system: str, cutoffs: tuple[int, ...]) -> dict[str, Doubles]:
        """Recall and NDCG of each customer at each cut-off: one item is wanted, so they are a hit and its discount."""
        ranks = self.of_systems[system]
        found = {}
        for k in cutoffs:
            found[f"Recall@{k}"] = (ranks <= k).astype(np.float64)
            found[f"NDCG@{k}"] = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)
        return found


@dataclass(frozen=True)
class Asked:
    """Who is asked. live: lines that the bundle has not learnt from, but that are part of the customers' pasts"""

    trained: BundleParts
    rivals: Mapping[str, CandidateSource]
    live: Dataset

    def open(self) -> _Opened:
        bundle = self.trained.open()
        return _Opened(Engine(bundle), Snapshot.of(bundle).with_events(self.live), self.rivals)

    @property
    def systems(self) -> tuple[str, ...]:
        """The engine, its sources, and what is asked beside it."""
        return "engine", *self.trained.config.strategies[STRATEGY].sources, *self.rivals


@dataclass(frozen=True)
class _Opened:
    engine: Engine
    snapshot: Snapshot
    rivals: Mapping[str, CandidateSource]


def ranks_of(asked: Asked, wanted: LeftOut, times: Times, n_processes: int, progress: Progress) -> Ranks:
    """Ask for every customer by the engine's own path; what its sources proposed on the way are the lists of the sources.

    times: when each asks, so that all of their past is before it
    """
    rows = (slice(start, start + AT_ONCE) for start in range(0, len(wanted), AT_ONCE))
    tasks = [(wanted.customers[some], wanted.items[some], times[some]) for some in rows]
    progress(0, len(wanted), "asking for every customer")
    ranks = np.empty((0, len(asked.systems)))
    for part in over_processes(asked.open, _ranks_of, tasks, n_processes):
        ranks = np.concatenate([ranks, part])
        progress(len(ranks), len(wanted), "asking for every customer")
    return Ranks(dict(zip(asked.systems, ranks.T, strict=True)), np.isfinite(ranks[:, 0]).astype(np.float64))


def _ranks_of(opened: _Opened, task: tuple[Ints, Ints, Times]) -> Doubles:
    """Of some customers, what they want, and when they ask, (n, n_systems)."""
    engine, snapshot = opened.engine, opened.snapshot
    strategy, ids, found = engine.bundle.config.strategies[STRATEGY], engine.bundle.customers.ids, []
    for customer, item, time in zip(*task, strict=True):
        resolved, _ = engine.resolve(Query(k=1, time=aware(time), customer_id=ids[customer]), snapshot)
        ranked = engine.retrieve(resolved, strategy, snapshot, Unlimited())
        if item in ranked.candidates.items:  # else no ranker can find it
            ranked = engine.rank(ranked, resolved, strategy, Unlimited())
        if ranked.degraded:
            raise RuntimeError(f"the answer lacks a part: {ranked.degraded[0]}")
        alone = [rival.retrieve(resolved, N_RIVAL, ranked.eligible.flags) for rival in opened.rivals.values()]
        found.append([*_places(ranked.candidates, int(item)), *(_place(proposed, int(item)) for proposed in alone)])
    return np.array(found, np.float64)


def _place(proposed: Scored, item: int) -> float:
    """Rank of an item in what a source proposed; inf where it is not."""
    own = proposed.scores[proposed.items == item]
    if not len(own):
        return np.inf
    return float(1 + (proposed.scores > own).sum() + ((proposed.scores == own).sum() - 1) / 2)


def _places(candidates: Candidates, item: int) -> Doubles:
    """Rank of an item among the candidates by the ranker, then by each source; inf where it is not."""
    scores = np.column_stack([candidates.scores, candidates.source_scores])
    at = np.flatnonzero(candidates.items == item)
    if not len(at):
        return np.full(scores.shape[1], np.inf)
    own = scores[at[0]]
    above, equal = (scores > own).sum(axis=0), (scores == own).sum(axis=0)
    return np.where(np.isnan(own), np.inf, 1 + above + (equal - 1) / 2)

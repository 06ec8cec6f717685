"""Whether the lists hold what customers then bought: the engine against the oracle's ranking, and whether segments help at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from offline_eval.baselines import popularity
from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import NothingRelevant, Truth, new_items, relevant_items
from offline_eval.result import compare, summarise
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.selection.eligibility import on_sale
from recsys.threads import limit_threads
from recsys.training.stages import Progress
from recsys.types import Floats, Ints, Query, Recommendation, aware
from segrec.recovery.score import Score
from segrec.recovery.subject import Subject

METRIC = "NDCG@10"
ENGINE, POPULAR, ORACLE = "engine", "popularity, last 7 days", "oracle"
SHOP, SEGMENT, PERSONA = "popularity in the shop", "popularity in the segment", "popularity in the persona"
WINDOW_DAYS = 91.0
"""Popularity within groups counts the purchases of so many days."""

_BATCH = 128


def answers(subject: Subject, strategy: str, k: int, progress: Progress, *, explain: bool = False) -> list[Recommendation]:
    """What the engine recommends to each scored customer at the cut.

    explain: with reasons from what the ranker made of each item, else from the sources that proposed it

    Raises:
        BundleError: a part of the bundle fails.
    """
    engine, snapshot = Engine(subject.bundle), Snapshot.of(subject.bundle)
    asked = Query(k=k, time=aware(subject.as_of), strategy=strategy, explain=explain)
    queries = [replace(asked, customer_id=id_, request_id=f"score/{id_}") for id_ in subject.customer_ids]
    found: list[Recommendation] = []
    with limit_threads(1):
        for start in range(0, len(queries), _BATCH):
            found += engine.recommend_many(queries[start : start + _BATCH], snapshot)
            progress(len(found), len(queries), f"asking {strategy}, with explanations" if explain else f"asking {strategy}")
    degraded = next((part for answer in found for part in answer.trace.degraded), None)
    if degraded is not None:
        raise BundleError(f"bundle {subject.bundle.version} answers without a part that failed, and cannot be scored: {degraded}")
    return found


def score_ranking(subject: Subject, lists: Sequence[Recommendation], rng: np.random.Generator) -> Iterator[Score]:
    """The engine's lists against all that was bought; no row where nothing was."""
    truth = _truth(subject, new_only=False)
    if truth:
        measured = _measured(subject, truth, _systems(subject, lists, new_only=False))
        yield _against_oracle("ranking", measured, "the customer's own history and popularity", rng)


def score_discovery(subject: Subject, lists: Sequence[Recommendation], rng: np.random.Generator) -> Iterator[Score]:
    """The engine's lists against what was new to its buyer, and what knowing the segment adds to popularity there."""
    truth = _truth(subject, new_only=True)
    if truth:
        systems = _systems(subject, lists, new_only=True)
        yield _against_oracle("discovery", _measured(subject, truth, systems), "the customer's own taste and popularity", rng)
        yield _segment_prior(_measured(subject, truth, _by_group(subject)), rng)


@dataclass(frozen=True)
class Best:
    """The best eligible items for scored customers by scores (m, n_items), as `evaluate` asks for them.

    scores_of: scores for scored customers by row; new_only: leaves out what the shop knows them to have bought
    """

    subject: Subject
    scores_of: Callable[[NDArray[np.intp]], Floats]
    new_only: bool

    def __call__(self, queries: Sequence[Query]) -> list[list[str]]:
        rows = np.array([self.subject.row_of[str(query.customer_id)] for query in queries], np.intp)
        ids = self.subject.bundle.catalogue.items.ids
        return [[ids[item] for item in row] for row in self.items(rows, queries[0].k)]

    def items(self, rows: NDArray[np.intp], k: int) -> list[Ints]:
        """Item numbers for each row, best first; fewer than k where fewer are eligible."""
        scores = np.where(on_sale(self.subject.bundle.catalogue), self.scores_of(rows), -np.inf)
        if self.new_only:
            scores[self.subject.bought(rows)] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [row[np.isfinite(scores[at, row])].astype(np.int32) for at, row in enumerate(order)]


def _truth(subject: Subject, *, new_only: bool) -> Truth:
    """What each scored customer bought in the horizon; empty where nobody bought anything of the kind."""
    recommendable = subject.dataset.before(subject.as_of).catalogue().recommendable
    relevant = new_items if new_only else relevant_items
    positive = subject.bundle.config.data.positive_events
    try:
        everybody = relevant(subject.dataset, subject.as_of, subject.end, positive, recommendable)
    except NothingRelevant:
        return {}
    return {customer: gains for customer, gains in everybody.items() if customer in subject.row_of}


def _systems(subject: Subject, lists: Sequence[Recommendation], *, new_only: bool) -> dict[str, Recommend]:
    positive, eligible = subject.bundle.config.data.positive_events, on_sale(subject.bundle.catalogue)

    def engine(queries: Sequence[Query]) -> list[tuple[str, ...]]:
        return [lists[subject.row_of[str(query.customer_id)]].item_ids[: query.k] for query in queries]

    return {
        ENGINE: engine,
        POPULAR: popularity(subject.dataset, subject.as_of, positive, eligible, new_only=new_only),
        ORACLE: Best(subject, subject.likely, new_only),
    }


def _by_group(subject: Subject) -> dict[str, Recommend]:
    """Popularity among all customers, among those of the same found segment, and among those of the same true persona."""
    n_known = len(subject.bundle.customers)
    personas = np.full(n_known, -1)
    personas[subject.numbers] = subject.block.scene.customers.personas[subject.owners]
    groups = {SHOP: np.zeros(n_known, np.intp), SEGMENT: np.asarray(subject.bundle.profiles.segment, np.intp), PERSONA: personas}
    return {name: Best(subject, _popularity(subject, of), new_only=True) for name, of in groups.items()}


def _popularity(subject: Subject, group_of: NDArray[np.intp]) -> Callable[[NDArray[np.intp]], Floats]:
    """Scores by lines bought in the customer's group, drawn to those of all customers by as many lines as there are items.

    group_of: of each customer of the bundle, -1 = none
    """
    lines = subject.dataset.interactions.between(subject.as_of - np.timedelta64(round(WINDOW_DAYS * 86_400), "s"), subject.as_of)
    lines = lines.take(np.isin(lines.events, subject.bundle.positive_events) & (lines.customers >= 0))
    groups = group_of[lines.customers]
    n_items = len(subject.planted)
    counts = np.zeros((int(group_of.max()) + 1, n_items))
    np.add.at(counts, (groups[groups >= 0], lines.items[groups >= 0]), 1.0)
    counts += np.bincount(lines.items, minlength=n_items) * (n_items / max(len(lines), 1))
    return lambda rows: counts[group_of[subject.numbers[rows]]].astype(np.float32)


def _measured(subject: Subject, truth: Truth, systems: dict[str, Recommend]) -> Measurements:
    return evaluate(systems, truth, aware(subject.as_of), parse_metrics(METRIC))


def _against_oracle(part: str, measured: Measurements, remains: str, rng: np.random.Generator) -> Score:
    """remains: what there is to be found even in a null world"""
    result = summarise(measured, rng)
    engine, popular, oracle = (result.figure(system, METRIC) for system in (ENGINE, POPULAR, ORACLE))
    note = f"chance: {POPULAR}; best: by the true probability of being bought; in a null world there is still {remains}"
    return Score(part, METRIC, engine.mean, engine.low, engine.high, popular.mean, oracle.mean, engine.n, note)


def _segment_prior(measured: Measurements, rng: np.random.Generator) -> Score:
    found, best = (compare(measured, system, SHOP, rng)[0].difference for system in (SEGMENT, PERSONA))
    note = "discovery by popularity in the segment less that in the shop; best: in the true persona"
    return Score.of("segment prior", f"{METRIC} gained", found, chance=0.0, best=best.estimate, note=note)

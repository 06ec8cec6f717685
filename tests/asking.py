"""Queries to the engine on the small shop, and parts of it that fail on demand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from world import DAY, END, N_ITEMS, NOT_RECOMMENDABLE, NUMBER, OUT_OF_STOCK

from recsys.bundle import Bundle
from recsys.config import parse_config
from recsys.engine import Engine, Snapshot
from recsys.protocols import ResolvedQuery
from recsys.strategy import StrategySet
from recsys.types import PURCHASE, Flags, Floats, History, Ints, Query, ReasonCode, Recommendation, Scored, aware

AS_OF = END - 28 * DAY
NOW, HOUR = aware(AS_OF), np.timedelta64(1, "h")
SHOWN = [f"i{n}" for n in range(N_ITEMS) if f"i{n}" not in (NOT_RECOMMENDABLE, OUT_OF_STOCK)]
"""Items that may be recommended."""


def with_strategy(snapshot: Snapshot, **strategy: Any) -> Snapshot:
    """With a strategy of one's own for every query."""
    document = {"strategies": {"test": {"sources": {"popular": 100}, **strategy}}, "default_strategy": "test"}
    return replace(snapshot, strategies=StrategySet.of(parse_config(document, "test")))


def ask(k: int = 10, customer: str | None = "c4", time: dt.datetime = NOW, **query: Any) -> Query:
    return Query(k=k, time=time, customer_id=customer, **query)


def bought(items: Sequence[str], time: np.datetime64, event: int = PURCHASE) -> History:
    n = len(items)
    numbers = np.array([NUMBER[item] for item in items], np.int32)
    return History(numbers, np.full(n, event, np.int8), np.full(n, time), np.ones(n, np.float32))


def live(snapshot: Snapshot, **histories: History) -> Snapshot:
    return replace(snapshot, live=histories)


def reasons(answer: Recommendation) -> set[ReasonCode]:
    return {reason.code for item in answer.items for reason in item.reasons}


def assert_sound(answer: Recommendation) -> None:
    """What holds for every answer."""
    assert [item.rank for item in answer.items] == list(range(1, len(answer.items) + 1))
    assert len(set(answer.item_ids)) == len(answer.items) <= answer.query.k
    assert all(0 < item.score <= 1 for item in answer.items)
    assert set(answer.item_ids) <= set(SHOWN)
    assert all(item.sources and item.reasons for item in answer.items)
    assert len(answer.features) == len(answer.items)


@dataclass(frozen=True)
class Fake:
    """A source that proposes what it is told to, or fails."""

    proposal: Scored
    problem: Exception | None = None
    problem_because: Exception | None = None
    reason: ReasonCode = ReasonCode.POPULAR

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        if self.problem is not None:
            raise self.problem
        return self.proposal

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        if self.problem_because is not None:
            raise self.problem_because
        return np.full(len(items), -1, np.int32)


class FakeRanker:
    """A ranker that gives all rows one score, or fails."""

    def __init__(self, outcome: float | Exception) -> None:
        self.outcome = outcome

    def score(self, features: Floats) -> Floats:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return np.full(len(features), self.outcome, np.float32)

    def probabilities(self, scores: Floats) -> Floats:
        return np.full(len(scores), np.nan, np.float32)

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        raise NotImplementedError("it cannot say why")


class Patience:
    """A budget that expires after so many questions."""

    def __init__(self, questions: int) -> None:
        self.questions = questions
        self.stages: list[str] = []

    def expired(self) -> bool:
        self.questions -= 1
        return self.questions < 0

    def finished(self, stage: str) -> None:
        self.stages.append(stage)


def with_sources(bundle: Bundle, changed: Mapping[str, Fake]) -> Engine:
    return Engine(replace(bundle, sources={**bundle.sources, **changed}))

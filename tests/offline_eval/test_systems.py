from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_eval.systems import EngineSystem, source_systems, tiers
from recsys.bundle import Bundle
from recsys.config import Config
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.protocols import Budget
from recsys.strategy import StrategySet
from recsys.types import Query, Recommendation, RecommendedItem, Trace, aware

CUT = dt.datetime(2020, 1, 10, tzinfo=dt.UTC)


@dataclass
class EchoEngine:
    """Recommends an item named after the strategy that it is asked for."""

    bundle: Any
    degraded: tuple[str, ...] = ()

    def recommend_many(self, queries: Sequence[Query], snapshot: Snapshot, budget: Budget) -> list[Recommendation]:
        assert not budget.expired()
        chosen = [snapshot.strategies.choose(query, None) for query in queries]
        items = [(RecommendedItem(f"{name}:{'+'.join(strategy.sources)}", 1.0, 1, (), ()),) for name, strategy in chosen]
        return [Recommendation(query, item, Trace("", "", "", degraded=self.degraded)) for query, item in zip(queries, items, strict=True)]


@pytest.fixture
def engine() -> Any:
    return EchoEngine(SimpleNamespace(as_of=np.datetime64("2020-01-10", "us"), version="7"))


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot({}, np.ones(1, np.bool_), StrategySet.of(Config()))


def query(time: dt.datetime = CUT) -> Query:
    return Query(k=10, time=time, customer_id="ann", request_id="eval/1")


def test_the_engine_is_asked_under_the_named_strategy(engine: Any, snapshot: Snapshot) -> None:
    ((home,),) = EngineSystem(engine, snapshot)([query()])
    ((discovery,),) = EngineSystem(engine, snapshot, "discovery")([query()])
    assert home.startswith("home:")
    assert discovery.startswith("discovery:")


def test_a_bundle_that_knows_the_future_is_refused(engine: Any, snapshot: Snapshot) -> None:
    with pytest.raises(ValueError, match=r"query eval/1 at 2020-01-09.* is earlier than bundle 7"):
        EngineSystem(engine, snapshot)([query(), query(CUT - dt.timedelta(seconds=1))])


def test_an_engine_with_a_broken_part_is_not_measured(engine: Any, snapshot: Snapshot) -> None:
    engine.degraded = ("source als: cut short",)
    with pytest.raises(BundleError, match="source als: cut short"):
        EngineSystem(engine, snapshot)([query()])


def test_a_bundle_without_a_time_is_refused(engine: Any, snapshot: Snapshot) -> None:
    engine.bundle.as_of = None
    with pytest.raises(ValueError, match="split by position"):
        EngineSystem(engine, snapshot)([query()])


def test_each_source_answers_alone_under_the_filters_of_the_whole(engine: Any, snapshot: Snapshot) -> None:
    alone = source_systems(engine, snapshot, "discovery", k=100)
    assert set(alone) == set(Config().strategies["discovery"].sources)
    assert alone["als"]([query()]) == [("als:als",)]
    strategy = alone["als"].snapshot.strategies.strategies["als"]
    assert (strategy.sources, strategy.filters, strategy.ranker) == ({"als": 100}, ("bought",), None)
    assert alone["als"].snapshot == replace(snapshot, strategies=alone["als"].snapshot.strategies)


def test_tiers_come_from_the_profiles_of_the_bundle() -> None:
    profiles = {"ann": SimpleNamespace(tier="high"), "bob": None}
    bundle: Any = SimpleNamespace(profile=profiles.get)
    assert tiers(bundle, ["ann", "bob"]) == {"ann": "high"}


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(st.tuples(st.sampled_from(["c1", "c2", "c7", "nobody", None]), st.integers(1, 40), st.booleans()), max_size=6))
def test_many_queries_at_once_are_answered_as_one_by_one(loaded_bundle: Bundle, asked: list[tuple[str | None, int, bool]]) -> None:
    """Whatever stands beside a query, its scores move by less than 1e-6, and its list only where scores are nearer than that."""
    engine, plain = Engine(loaded_bundle), Snapshot.of(loaded_bundle)
    time = aware(loaded_bundle.as_of)
    queries = [Query(k=k, time=time, customer_id=id_, strategy="discovery" if is_new else "home") for id_, k, is_new in asked]
    for query, together in zip(queries, engine.recommend_many(queries, plain), strict=True):
        alone = engine.recommend(query, plain)
        scores, others = ([item.score for item in answer.items] for answer in (together, alone))
        assert others == pytest.approx(scores, abs=1e-6)
        apart = np.diff(scores, append=-np.inf) < -1e-6
        if apart.all():
            assert together.item_ids == alone.item_ids

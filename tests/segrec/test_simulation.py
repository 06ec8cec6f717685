"""A small planted shop: a bundle trained on it meets its customers, in process and through a real server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from planted_shop import CONFIG, DAYS
from rich.console import Console

from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError, ConfigError, DataError
from recsys.protocols import Budget
from recsys.synthetic.shopper import Outcomes, Shoppers, simulate, simulate_best
from recsys.synthetic.world import World
from recsys.threads import limit_threads
from recsys.types import Query, Recommendation
from segrec.simulated import ALL, EXPECTED, MEASURES, REALISED, Figure, SimulationResult, compare, simulation_tables
from segrec.simulation import BEST, POPULAR, RANDOM, engine_system, random_system, server_system, simulate_world
from serving.bundles import Bundles
from serving.server import start_server
from serving.settings import ServerSettings

K = 5


@pytest.fixture(scope="module")
def shoppers(planted_bundle: Bundle) -> Shoppers:
    assert planted_bundle.as_of is not None
    return Shoppers.of(World.build(CONFIG), planted_bundle.as_of, planted_bundle.as_of + np.timedelta64(DAYS, "D"), 150)


@pytest.fixture(scope="module")
def in_process(planted_bundle: Bundle, shoppers: Shoppers) -> Outcomes:
    with limit_threads(1):
        return simulate(shoppers, engine_system(Engine(planted_bundle), Snapshot.of(planted_bundle), "home", K), K)


@pytest.fixture(scope="module")
def result(planted_folder: Path) -> SimulationResult:
    return simulate_world(planted_folder, planted_folder / "bundles", 150, DAYS, K, ("home", "discovery"), by="persona")


def figure(result: SimulationResult, system: str, measure: str = "purchases", kind: str = EXPECTED, group: str = ALL) -> Figure:
    wanted = (system, measure, kind, group)
    return next(f for f in result.figures if (f.system, f.measure, f.kind, f.group) == wanted)


def test_the_engine_sells_more_than_chance_and_less_than_the_best_possible(result: SimulationResult) -> None:
    means = [figure(result, system).mean.estimate for system in (BEST, "home", RANDOM)]
    assert means[0] > means[1] > 1.3 * means[2]
    more = figure(result, RANDOM).difference
    assert more is not None
    assert more.high < 0  # the same visits: the difference to the first system is certain
    assert figure(result, "home").difference is None


def test_intervals_hold_what_is_expected_and_what_came(result: SimulationResult, in_process: Outcomes) -> None:
    home = figure(result, "home")
    assert home.n_visits == len(in_process.lists) == result.about["visits"]
    assert home.mean.estimate == pytest.approx(100 * in_process.expected.purchases.mean())
    assert home.mean.low < home.mean.estimate < home.mean.high
    realised = figure(result, "home", kind=REALISED)
    assert realised.mean.estimate == pytest.approx(100 * in_process.answers.bought.mean())
    assert realised.mean.low < home.mean.estimate < realised.mean.high
    assert figure(result, "home", "revenue", REALISED).mean.estimate == pytest.approx(100 * in_process.answers.revenue.mean())


def test_personas_share_all_visits_among_them(result: SimulationResult, shoppers: Shoppers) -> None:
    parts = [f for f in result.figures if f.system == "home" and (f.kind, f.measure) == (EXPECTED, "views") and f.group != ALL]
    assert {part.group for part in parts} == set(shoppers.personas)
    assert sum(part.n_visits for part in parts) == len(shoppers.visits)
    whole = figure(result, "home", "views").mean.estimate
    assert sum(part.n_visits * part.mean.estimate for part in parts) == pytest.approx(len(shoppers.visits) * whole)


def test_figures_are_printed_within_the_width_and_as_json(result: SimulationResult) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    for table in simulation_tables(result):
        console.print(table)
    printed = console.export_text()
    for system in ("home", "discovery", POPULAR, RANDOM, BEST):
        assert f"\n  {system} " in printed
    assert "expected, more than home" in printed
    assert "…" not in printed
    content = json.loads(result.to_json())
    assert len(content["figures"]) == len(result.figures)
    assert {part["measure"] for part in content["figures"]} == set(MEASURES)
    assert content["about"]["customers"] == result.about["customers"] > 50


def test_a_real_server_gives_the_lists_and_outcomes_of_the_engine_in_process(
    planted_bundle: Bundle, planted_folder: Path, shoppers: Shoppers, in_process: Outcomes
) -> None:
    server = start_server(ServerSettings(port=0, budget_ms=60_000), Bundles(planted_folder / "bundles"))
    try:
        server.reload()
        with server_system(f"127.0.0.1:{server.port}", "home", K) as ask:
            served = simulate(shoppers, ask, K)
    finally:
        server.stop()
    assert served.lists == in_process.lists
    for one, other in ((served.expected, in_process.expected), (served.answers, in_process.answers)):
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True))


def test_over_grpc_a_simulation_has_the_same_figures(planted_folder: Path, result: SimulationResult) -> None:
    served = simulate_world(planted_folder, planted_folder / "bundles", 150, DAYS, K, ("home", "discovery"), over_grpc=True, by="persona")
    assert served.figures == result.figures
    assert served.about == {**result.about, "over": "gRPC"}


def test_an_engine_that_is_told_what_came_of_its_lists_knows_of_it(
    planted_bundle: Bundle, shoppers: Shoppers, in_process: Outcomes
) -> None:
    system = engine_system(Engine(planted_bundle), Snapshot.of(planted_bundle), "discovery", K)
    told: list[pa.Table] = []

    def feed(events: pa.Table) -> None:
        told.append(events)
        system.learn(events)

    with limit_threads(1):
        outcomes = simulate(shoppers, system, K, feed=feed)
    events = [event for event in pa.concat_tables(told).to_pylist() if event["customer_id"] is not None]
    live = system.snapshot.live
    assert sum(len(history) for history in live.values()) == len(events)
    assert all((np.diff(history.times) <= np.timedelta64(0)).all() for history in live.values())
    shown_later = {customer: set[str]() for customer in live}
    for visit, ids in zip(reversed(shoppers.visits), reversed(outcomes.lists), strict=True):
        sold = [e["item_id"] for e in events if e["session_id"] == visit.request_id and e["event"] == "purchase"]
        if visit.customer_id in shown_later:
            assert not set(sold) & shown_later[visit.customer_id]  # "discovery" shows nothing that was bought
            shown_later[visit.customer_id] |= set(ids)
    assert outcomes.lists != simulate(shoppers, engine_system(Engine(planted_bundle), Snapshot.of(planted_bundle), "discovery", K), K).lists


def test_random_lists_are_drawn_per_visit_and_the_same_again(planted_bundle: Bundle, shoppers: Shoppers) -> None:
    one, two = (simulate(shoppers, random_system(planted_bundle, K), K).lists for _ in range(2))
    assert one == two
    assert len(set(one)) > 0.9 * len(one)
    assert {len(set(ids)) for ids in one} == {K}


def test_equal_systems_differ_by_nothing(shoppers: Shoppers) -> None:
    outcome = simulate_best(shoppers, K)
    figures = compare({"one": outcome, "two": outcome}, shoppers)
    differences = [f.difference for f in figures if f.system == "two"]
    assert len(differences) == 2 * len(MEASURES)
    assert all(d is not None and d.estimate == d.low == d.high == 0 for d in differences)


def test_a_part_that_fails_stops_the_simulation(planted_bundle: Bundle, shoppers: Shoppers, monkeypatch: pytest.MonkeyPatch) -> None:
    recommend: Callable[..., Recommendation] = Engine.recommend

    class Expired(Budget):
        def expired(self) -> bool:
            return True

        def finished(self, stage: str) -> None:
            return None

    def hurried(self: Engine, query: Query, snapshot: Snapshot, _budget: Any = None) -> Recommendation:
        return recommend(self, query, snapshot, Expired())

    monkeypatch.setattr(Engine, "recommend", hurried)
    with pytest.raises(BundleError, match="out of time"):
        simulate(shoppers, engine_system(Engine(planted_bundle), Snapshot.of(planted_bundle), "home", K), K)


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"strategies": ("homes",)}, ConfigError, "'homes'; there are: discovery, home, product"),
        ({"strategies": ()}, ConfigError, "at least one"),
        ({"by": "tier"}, ConfigError, "by persona, not by 'tier'"),
        ({"learns": True, "over_grpc": True}, ConfigError, "server"),
        ({"days": 40}, DataError, "200 days of this world.*twin"),
    ],
)
def test_impossible_simulations_are_refused(planted_folder: Path, changes: dict[str, Any], error: type[Exception], problem: str) -> None:
    options: dict[str, Any] = {"n_customers": 20, "days": DAYS, "k": K, "strategies": ("home",), **changes}
    with pytest.raises(error, match=problem):
        simulate_world(planted_folder, planted_folder / "bundles", **options)


def test_a_bundle_of_another_shop_is_refused(planted_folder: Path, small_bundle: Path) -> None:
    with pytest.raises(DataError, match="was not trained on"):
        simulate_world(planted_folder, small_bundle, 20, DAYS, K, ("home",))

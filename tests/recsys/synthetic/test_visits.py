"""When customers come and what for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recsys.synthetic.choice import choice_probabilities
from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.visits import EXPLORE, MISSION_SHAPE, NEED, Visits, any_success, missions_expected, type_utilities
from recsys.synthetic.world import Block, World


def test_the_first_visit_at_or_after_a_day_is_the_owners_own() -> None:
    visits = Visits(np.array([0, 0, 2], np.int32), np.array([1.0, 5.0, 3.0]))
    found = visits.after(np.array([0, 0, 0, 0, 1, 2, 2]), np.array([0.0, 1.0, 1.5, 6.0, 0.0, 3.0, 3.1]))
    assert found.tolist() == [0, 0, 1, -1, -1, 2, -1]
    nobody = Visits(np.zeros(0, np.int32), np.zeros(0))
    assert nobody.after(np.array([0]), np.array([0.0])).tolist() == [-1]


@pytest.mark.parametrize("mean", [0.3, 2.0, 9.0])
def test_missions_of_a_visit_by_summing_the_negative_binomial(mean: float) -> None:
    n = np.arange(3000)
    share = stats.nbinom.pmf(n, MISSION_SHAPE, MISSION_SHAPE / (MISSION_SHAPE + mean))
    n_missions = np.maximum(n, 1)
    means = np.full(1, mean, np.float32)
    assert missions_expected(means)[0] == pytest.approx((share * n_missions).sum(), rel=1e-5)
    assert any_success(means, np.full(1, 0.2, np.float32))[0] == pytest.approx(1 - (share * 0.8**n_missions).sum(), rel=1e-5)


def test_visits_lie_between_arrival_and_churn_in_order(world: World, block: Block) -> None:
    visits, customers = block.scene.visits, block.scene.customers
    a_minute = 1 / 1440
    assert (visits.days >= customers.arrival[visits.owners] - a_minute).all()
    assert (visits.days <= np.minimum(customers.churn[visits.owners], world.config.n_days)).all()
    assert (np.diff(visits.owners * 1e4 + visits.days) >= 0).all()


def test_customers_come_as_often_as_their_rate_says() -> None:
    config = WorldConfig(n_customers=2000, n_items=60, n_days=100, behaviour=Behaviour(visits_per_month=6))
    world = World.build(config)
    block, busy = world.block(0), world.model.calendar.busy_days
    customers, visits = block.scene.customers, block.scene.visits
    expected = customers.visits * (busy(np.maximum(customers.churn, 0)) - busy(np.maximum(customers.arrival, 0)))
    assert abs(len(visits) - expected.sum()) < 4 * np.sqrt(expected.sum())
    counts = np.bincount(visits.owners, minlength=2000)
    residuals = (counts - expected)[expected > 1] / np.sqrt(expected[expected > 1])
    assert residuals.std() == pytest.approx(1, abs=0.06)


def test_a_due_need_is_met_at_the_next_visit_once(block: Block) -> None:
    visits, needs, dues, missions = block.scene.visits, block.scene.needs, block.dues, block.missions
    due = missions.causes == NEED
    found = set(zip(missions.needs[due].tolist(), missions.visits[due].tolist(), strict=True))
    assert len(found) == due.sum() > 500
    at = visits.after(needs.owners[dues.needs], dues.days)
    assert found == {(int(need), int(visit)) for need, visit in zip(dues.needs, at, strict=True) if visit >= 0}
    assert (needs.types[missions.needs[due]] == missions.types[due]).all()


def test_only_what_runs_out_is_needed_and_every_type_once(block: Block) -> None:
    needs, types = block.scene.needs, block.scene.model.items.types
    assert np.isfinite(types.cycle_days[needs.types]).all()
    assert len({*zip(needs.owners.tolist(), needs.types.tolist(), strict=True)}) == len(needs)


def test_needs_fall_due_once_a_cycle() -> None:
    config = WorldConfig(n_customers=1000, n_items=60, n_days=365, behaviour=Behaviour(newcomers=0, churn_per_year=1e-4))
    block = World.build(config).block(0)
    expected = ((365 - block.scene.needs.first_due) / block.scene.needs.cycle_days + 0.5).clip(0)
    often = expected > 3
    counts = np.bincount(block.dues.needs, minlength=len(expected))
    assert counts[often].sum() / expected[often].sum() == pytest.approx(1, abs=0.04)


def test_types_are_looked_for_by_the_logit_of_taste_and_season(world: World, block: Block) -> None:
    missions, visits, calendar = block.missions, block.scene.visits, world.model.calendar
    types = world.model.items.types
    explored = missions.visits[missions.causes == EXPLORE]
    utility = type_utilities(block.scene.customers, types, world.config.signals)[visits.owners[explored]]
    season = calendar.season[calendar.weeks(visits.days[explored])]
    expected = choice_probabilities(np.exp(utility + season), np.full(1, -np.inf)).sum(axis=0, dtype=np.float64)
    counts = np.bincount(missions.types[missions.causes == EXPLORE], minlength=len(types))
    assert len(np.unique(visits.owners[explored])) > 200
    assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 0.001


def test_every_visit_looks_for_something(block: Block) -> None:
    explored = np.bincount(block.missions.visits[block.missions.causes == EXPLORE], minlength=len(block.scene.visits))
    assert explored.min() == 1


def test_without_taste_everybody_sees_the_same_in_types(world: World) -> None:
    utilities = type_utilities(world.customers(0), world.model.items.types, Signals(taste=0))
    assert (utilities == utilities[0]).all()

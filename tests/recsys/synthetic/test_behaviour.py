"""What came of missions: choices by the stated model, needs met again, complements, nothing bought that cannot be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from recsys.synthetic.behaviour import Picks, Purchases, last_met, without_repeats
from recsys.synthetic.choice import BUY_NEED, buying, choice_probabilities
from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.visits import COMPLEMENT, EXPLORE, NEED, SHOWN, Missions, Visits
from recsys.synthetic.world import Block, World


def made(signals: Signals | None = None, n_customers: int = 400, n_days: int = 120, **behaviour: float) -> Block:
    """The first block of a world of 200 items."""
    config = WorldConfig(
        n_customers=n_customers,
        n_items=200,
        n_days=n_days,
        texts=False,
        signals=signals or Signals(),
        behaviour=Behaviour(**{"visits_per_month": 2, "missions_per_visit": 8, "needs": 6} | behaviour),
    )
    return World.build(config).block(0)


def needs_met(block: Block) -> list[list[int]]:
    """The items that met each need, in time."""
    missions, items = block.missions, block.picks.chosen
    rows = np.flatnonzero(missions.causes == NEED)
    rows = rows[np.lexsort((missions.visits[rows], missions.needs[rows]))]
    return [items[part].tolist() for part in np.split(rows, np.flatnonzero(np.diff(missions.needs[rows])) + 1)]


def test_pages_are_chosen_from_and_bought_by_the_stated_probabilities() -> None:
    block = made(n_customers=1500, n_days=60)
    model, missions, visits = block.scene.model, block.missions, block.scene.visits
    chosen, bought = np.zeros(200), np.zeros(200)
    for kind, page in enumerate(model.items.pages):
        at = missions.visits[(missions.types == kind) & (missions.causes == EXPLORE)]
        weeks = model.calendar.weeks(visits.days[at])
        wanting = model.wanting(block.scene.customers, visits.owners[at], weeks, page)
        likely = choice_probabilities(model.page_weights(wanting, weeks, page), np.full(1, model.outside[kind]))
        chosen[page], bought[page] = likely.sum(axis=0), (likely * buying(wanting)).sum(axis=0)
    explored, picks = missions.causes == EXPLORE, block.picks
    for rows, expected in ((explored & (picks.chosen >= 0), chosen), (explored & picks.bought, bought)):
        counts, often = np.bincount(picks.chosen[rows], minlength=200), expected > 10
        assert ((counts - expected)[often] ** 2 / expected[often]).sum() < stats.chi2.ppf(0.999, often.sum())
        assert abs(counts.sum() - expected.sum()) < 4 * np.sqrt(expected.sum())


def test_who_chooses_has_looked_around_and_looked_at_the_choice_last(block: Block) -> None:
    picks, missions = block.picks, block.missions
    explored = missions.causes == EXPLORE
    for viewed, item in zip(picks.viewed[explored], picks.chosen[explored], strict=True):
        seen = viewed[viewed >= 0].tolist()
        assert len(set(seen)) == len(seen)
        assert item < 0 or seen[-1] == item
    assert (picks.carted | ~picks.bought).all()
    assert (picks.chosen[picks.carted] >= 0).all()


def test_views_in_vain_come_as_often_as_asked() -> None:
    for mean in (0.0, 1.0):
        block = made(views_per_mission=mean, new_items=0)
        explored = block.missions.causes == EXPLORE
        in_vain = (block.picks.viewed[explored] >= 0).sum(axis=1) - (block.picks.chosen[explored] >= 0)
        assert in_vain.mean() == pytest.approx(mean, abs=0.05)


def test_nothing_is_seen_or_bought_before_its_launch(world: World, block: Block) -> None:
    launch = world.model.items.launch_day
    days = block.scene.visits.days
    seen = block.picks.viewed
    at = np.broadcast_to(days[block.missions.visits][:, None], seen.shape)
    assert (launch[seen[seen >= 0]] <= at[seen >= 0]).all()
    assert (launch[block.purchases.items] <= days[block.purchases.visits]).all()
    assert (launch[block.shown.items] <= days[block.shown.visits][:, None]).all()


def test_full_loyalty_meets_a_need_with_the_same_item_always() -> None:
    met = needs_met(made(loyalty=1))
    assert sum(len(items) > 1 for items in met) > 500
    assert all(len(set(items)) == 1 for items in met)


def test_loyalty_is_the_share_of_dues_met_by_habit() -> None:
    def repeated(loyalty: float) -> float:
        pairs = [pair for items in needs_met(made(loyalty=loyalty)) for pair in pairwise(items)]
        return float(np.mean([before == after for before, after in pairs]))

    by_chance = repeated(0)
    assert repeated(0.6) == pytest.approx(0.6 + 0.4 * by_chance, abs=0.03)


def test_needs_are_met_when_due(block: Block) -> None:
    due = block.missions.causes == NEED
    assert (block.picks.chosen[due] >= 0).all()
    assert block.picks.bought[due].mean() == pytest.approx(BUY_NEED, abs=0.01)


def test_last_met_by_hand() -> None:
    missions = Missions(
        np.array([4, 0, 2, 1, 3], np.intp),
        np.zeros(5, np.int32),
        np.array([NEED, NEED, NEED, EXPLORE, NEED], np.int8),
        np.array([0, 0, 0, -1, 1]),
    )
    nothing = np.zeros(5, np.bool_)
    picks = Picks(np.array([13, 10, 12, 99, 20], np.int32), nothing, nothing, np.zeros((5, 5), np.int32))
    assert last_met(missions, picks).tolist() == [12, -1, 10, -1, -1]


def test_complements_follow_purchases_in_the_same_visit_in_their_share() -> None:
    block = made(complements=0.5)
    missions, types = block.missions, block.scene.model.items.types
    leads_on = (missions.causes != COMPLEMENT) & block.picks.bought & (types.complement[missions.types] >= 0)
    followed = missions.causes == COMPLEMENT
    assert followed.sum() / leads_on.sum() == pytest.approx(0.5, abs=0.03)
    sent = {*zip(missions.visits[leads_on].tolist(), types.complement[missions.types[leads_on]].tolist(), strict=True)}
    assert {*zip(missions.visits[followed].tolist(), missions.types[followed].tolist(), strict=True)} <= sent
    assert not (made(complements=0).missions.causes == COMPLEMENT).any()


def test_repeats_by_hand() -> None:
    visits = Visits(np.array([0, 0, 1], np.int32), np.array([1.0, 2.0, 1.0]))
    bought = [(0, 7), (0, 7), (1, 7), (1, 8), (0, 8), (2, 8), (2, 7), (2, 8)]
    rows, items = (np.array(column) for column in zip(*bought, strict=True))
    nothing = np.full(8, -1, np.int32)
    lines = Purchases(visits=rows, missions=nothing, items=items.astype(np.int32), causes=np.zeros(8, np.int8), needs=nothing)
    is_durable = np.arange(9) == 8
    assert without_repeats(lines, visits, is_durable).tolist() == [True, False, True, False, True, True, True, False]


def test_what_lasts_is_bought_once_and_nothing_twice_in_a_visit(world: World, block: Block) -> None:
    lines, owners = block.purchases, block.scene.visits.owners[block.purchases.visits]
    lasting = world.model.items.is_durable[lines.items]
    pairs = list(zip(owners[lasting].tolist(), lines.items[lasting].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) > 100
    assert len({*zip(lines.visits.tolist(), lines.items.tolist(), strict=True)}) == len(lines)
    assert (np.diff(lines.visits) >= 0).all()


def test_a_line_names_the_mission_that_it_came_from(block: Block) -> None:
    lines = block.purchases.take(block.purchases.missions >= 0)
    np.testing.assert_array_equal(block.missions.visits[lines.missions], lines.visits)
    np.testing.assert_array_equal(block.missions.causes[lines.missions], lines.causes)
    np.testing.assert_array_equal(block.picks.chosen[lines.missions], lines.items)
    assert set(block.purchases.causes[block.purchases.missions < 0]) == {SHOWN}


def test_dearness_bought_follows_value_and_sensitivity_as_far_as_they_matter() -> None:
    def slopes(tier: float, price: float) -> tuple[float, float]:
        signals = Signals(tier=tier, price=price, segment=0, taste=0)  # taste would mix in which dear items fell to whom
        block = made(signals, n_customers=1000, n_days=60, promotion=0)
        owners = block.scene.visits.owners[block.purchases.visits]
        dearness = block.scene.model.items.dearness[block.purchases.items]
        value, sensitivity = block.scene.customers.value[owners], np.log(block.scene.customers.sensitivity[owners])
        found, *_ = np.linalg.lstsq(np.stack([value, sensitivity, np.ones_like(value)], axis=1), dearness, rcond=None)
        return float(found[0]), float(found[1])

    by_nothing, by_tier, by_price = slopes(0, 0), slopes(1, 0), slopes(0, 1)
    np.testing.assert_allclose(by_nothing, 0, atol=0.05)
    assert by_tier[0] > 0.3
    assert by_tier[1] == pytest.approx(0, abs=0.05)
    assert by_price[0] == pytest.approx(0, abs=0.05)
    assert by_price[1] < -0.2

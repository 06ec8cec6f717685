"""Logged lists: exact propensities, and answers by the stated probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recsys.synthetic.choice import BUY, DUE, INTENT
from recsys.synthetic.config import Behaviour, WorldConfig
from recsys.synthetic.shown import PLACES, answer_probabilities, intents
from recsys.synthetic.visits import EXPLORE, NEED, SHOWN, Missions
from recsys.synthetic.world import Block, World


@pytest.fixture(scope="module")
def listed() -> Block:
    """A world where every visit begins with a list, and no item is new."""
    config = WorldConfig(
        n_customers=1500, n_items=120, n_days=60, texts=False, behaviour=Behaviour(shown=1, new_items=0, visits_per_month=3)
    )
    return World.build(config).block(0)


def test_items_stand_at_their_places_as_often_as_the_propensities_say(listed: Block) -> None:
    shown = listed.shown
    assert len(shown) == len(listed.scene.visits) > 5000
    for place in range(PLACES):
        counts = np.bincount(shown.items[:, place], minlength=120)
        propensity = np.zeros(120)
        propensity[shown.items[:, place]] = shown.propensities[:, place]
        assert propensity.sum() == pytest.approx(1, abs=0.01)  # nearly every item of the pool was drawn
        expected = np.append(propensity, 1 - propensity.sum()) * len(shown)
        often = expected > 5
        counts = np.append(counts, 0)
        assert ((counts - expected)[often] ** 2 / expected[often]).sum() < stats.chi2.ppf(0.9999, often.sum())


def test_no_item_stands_twice_in_a_list(block: Block, listed: Block) -> None:
    for lists in (block.shown.items, listed.shown.items):
        assert (np.diff(np.sort(lists, axis=1), axis=1) > 0).all()


def test_visits_have_lists_in_the_share_asked_for(world: World, block: Block) -> None:
    assert len(block.shown) / len(block.scene.visits) == pytest.approx(world.config.behaviour.shown, abs=0.02)
    assert len(np.unique(block.shown.visits)) == len(block.shown)


def test_lists_are_answered_by_their_probabilities(listed: Block) -> None:
    shown = listed.shown
    counts = np.bincount(shown.chosen + 1, minlength=PLACES + 1)
    expected = np.append(1 - shown.probabilities.sum(axis=1, dtype=np.float64).mean(), shown.probabilities.mean(axis=0, dtype=np.float64))
    assert stats.chisquare(counts, expected / expected.sum() * len(shown)).pvalue > 0.001
    rows = np.flatnonzero(shown.chosen >= 0)
    likely = shown.buying[rows, shown.chosen[rows]]
    assert abs(shown.bought.sum() - likely.sum()) < 4 * np.sqrt((likely * (1 - likely)).sum())
    assert not shown.bought[shown.chosen < 0].any()
    assert (shown.carted | ~shown.bought).all()


def test_what_was_bought_from_lists_is_among_the_purchases(listed: Block) -> None:
    items = listed.scene.model.items
    by_lists = listed.purchases.take(listed.purchases.causes == SHOWN)
    from_lists = listed.shown.purchases
    bought = {*zip(from_lists.visits.tolist(), from_lists.items.tolist(), strict=True)}
    kept = {*zip(by_lists.visits.tolist(), by_lists.items.tolist(), strict=True)}
    assert bought == kept  # what the customer had already was never to be bought
    owned = listed.shown.buying == 0
    assert owned.any()
    assert items.is_durable[listed.shown.items[owned]].all()


def test_answers_by_the_formula_of_the_logit(listed: Block) -> None:
    scene, model = listed.scene, listed.scene.model
    visits, lists = np.array([5, 6]), np.array([[3, 7, 11], [8, 2, -1]], np.int32)
    intent = np.array([[0, 2, 0], [4, 0, 0]], np.float32)
    chosen, bought = answer_probabilities(scene, visits, lists, intent)
    weeks, owners = model.calendar.weeks(scene.visits.days[visits]), scene.visits.owners[visits]
    for row, n in ((0, 3), (1, 2)):
        items = lists[row, :n]
        wanting = model.wanting(scene.customers, owners[[row]], weeks[[row]], items)[0]
        utility = wanting + model.items.appeal[items] + model.calendar.newness[weeks[row], items] + intent[row, :n]
        weights = np.exp(utility) * np.arange(1, n + 1) ** -model.behaviour.position_bias
        np.testing.assert_allclose(chosen[row, :n], weights / (weights.sum() + np.exp(model.list_outside)), rtol=1e-4)
        np.testing.assert_allclose(bought[row, :n], 1 / (1 + np.exp(-(BUY + (wanting + intent[row, :n] - INTENT) / 2))), rtol=1e-4)
    assert chosen[1, 2] == 0


def test_intents_by_hand(listed: Block) -> None:
    types = listed.scene.model.items.true.types
    tea, soap = (np.flatnonzero(types == kind)[:2] for kind in (0, 1))
    missions = Missions(np.array([0, 1]), np.array([0, 1], np.int32), np.array([EXPLORE, NEED], np.int8), np.array([-1, 0], np.int32))
    lists = np.array([[tea[0], soap[0]], [soap[0], soap[1]], [tea[0], soap[1]]], np.int32)
    found = intents(listed.scene, missions, np.array([-1, soap[0]], np.int32), np.arange(3), lists)
    assert found.tolist() == [[INTENT, 0], [INTENT + DUE, INTENT], [0, 0]]

from __future__ import annotations

import numpy as np
import pytest
from handmade import NOW, asked, catalogue, history, interactions

from recsys.candidates.repurchase import EDGES, RepurchaseSource
from recsys.source_config import RepurchaseConfig
from recsys.training.repurchase import PRIOR_SPELLS, fit_repurchase

SOURCE = RepurchaseSource(RepurchaseConfig(kind="repurchase", half_life_days=30), None)
TIMED = RepurchaseConfig(kind="repurchase", half_life_days=1000, horizon_days=7)
ALL = np.ones(9, np.bool_)


def test_scores_are_decayed_counts_worked_by_hand() -> None:
    past = history((0, 4), (30, 4), (30, 7), (60, 7), (90, 7), (60, 1))
    found = SOURCE.retrieve(asked(past), 10, ALL)
    assert found.items.tolist() == [4, 7, 1]
    assert found.scores.tolist() == pytest.approx([1.5, 0.5 + 0.25 + 0.125, 0.25])


def test_only_eligible_items_and_at_most_n() -> None:
    past = history((1, 0), (2, 1), (3, 2), (4, 3))
    eligible = np.array([True, False, True, True])
    assert SOURCE.retrieve(asked(past), 2, eligible).items.tolist() == [0, 2]


def test_what_is_only_looked_at_was_not_bought() -> None:
    assert len(SOURCE.retrieve(asked(context=[1, 2]), 5, ALL)) == 0


def flat(rates: list[float]) -> RepurchaseSource:
    """A source of items that are bought again at the same rate whenever they were bought last."""
    return RepurchaseSource(TIMED, np.repeat(np.array(rates, np.float32)[:, None], len(EDGES) - 1, axis=1))


def test_the_chance_of_a_constant_rate_is_that_of_a_poisson_process_whatever_the_age() -> None:
    for age in (0.0, 2.5, 95.0, 5000.0):
        chances = flat([0.01, 0.3]).chances(np.array([0, 1], np.int32), np.full(2, age, np.float32))
        np.testing.assert_allclose(chances, [1 - np.exp(-0.07), 1 - np.exp(-2.1)], rtol=1e-3)


def test_rates_change_where_the_horizon_crosses_an_edge() -> None:
    rates = np.zeros((1, len(EDGES) - 1), np.float32)
    rates[0, 1:3] = 0.1, 0.2  # from 3 to 7 days, from 7 to 10
    source = RepurchaseSource(TIMED, rates)
    ages = np.array([0, 2, 4, 9, 11], np.float32)  # the 7 days that follow hold 4, 4, 3, 0, 0 and 0, 2, 3, 1, 0 of such days
    expected = 1 - np.exp(-np.array([0.4, 0.8, 0.9, 0.2, 0.0]))
    np.testing.assert_allclose(source.chances(np.zeros(5, np.int32), ages), expected, rtol=1e-5, atol=1e-7)


def test_of_two_items_bought_as_often_the_one_that_is_due_comes_first() -> None:
    rates = np.full((9, len(EDGES) - 1), 0.001, np.float32)
    rates[3, 4] = 0.5  # item 3 is bought again after two or three weeks
    source = RepurchaseSource(TIMED, rates)
    assert source.retrieve(asked(history((15, 3), (15, 4))), 2, ALL).items.tolist() == [3, 4]
    assert source.retrieve(asked(history((15, 3), (14, 4))), 2, ALL).items.tolist() == [3, 4]
    assert source.retrieve(asked(history((40, 3), (39, 4))), 2, ALL).items.tolist() == [4, 3]


def test_a_rate_is_the_spells_that_ended_over_the_days_they_lasted_shrunk_to_type_and_shop() -> None:
    # Item 0, of type 0: 40 customers buy it 20 days apart, twice, and then 5 days go by.
    # Item 1, of type 1: 10 customers bought it 5 days ago.
    rows = [(age, customer, 0) for customer in range(40) for age in (45, 25, 5)] + [(5, customer, 1) for customer in range(10)]
    source = fit_repurchase(interactions(*rows), catalogue(3, categories=[[0], [1], [-1]]), NOW, TIMED)
    rates, week = source.rates, 4  # from 14 to 21 days
    assert rates is not None
    assert rates.shape == (3, len(EDGES) - 1)
    ended, days, prior = 80, 80 * 6, 7 * PRIOR_SPELLS
    shop = ended / days
    of_type = (ended + prior * shop) / (days + prior)
    assert rates[0, week] == pytest.approx((ended + prior * of_type) / (days + prior))
    assert rates[1, week] == pytest.approx(shop)  # nothing of it is known so long after
    assert rates[2, week] == pytest.approx(shop)
    assert rates[:, 1].tolist() == [0, 0, 0]  # from 3 to 7 days nothing ended


def test_one_occasion_ends_no_spell_of_its_own_and_nobody_else_does() -> None:
    lines = interactions((20, 0, 0), (20, 0, 0), (8, 1, 0), (6, -1, 0), (5, -1, 0))
    rates = fit_repurchase(lines, catalogue(1), NOW, TIMED).rates
    assert rates is not None
    assert not rates.any()


def test_without_a_horizon_nothing_is_fitted() -> None:
    assert fit_repurchase(interactions((20, 0, 0), (8, 0, 0)), catalogue(1), NOW, SOURCE.config).rates is None

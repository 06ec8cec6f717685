from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.purchases import Orders, orders_of
from segmentation.value import PRIOR_DAYS, FadedRate, TierCuts, fit_faded_rate, fit_tiers

AS_OF = np.datetime64("2024-05-01", "us")


def orders(rows: list[tuple[int, float, float]]) -> Orders:
    """Orders from (customer, age in days, value), sorted by customer."""
    customers, ages, values = (np.array(column) for column in zip(*rows, strict=True))
    times = AS_OF - (ages * 86_400_000_000).astype("timedelta64[us]")
    return Orders(customers.astype(np.int32), times, values.astype(np.float64))


def test_expected_value_by_hand() -> None:
    model = FadedRate(horizon_days=10, half_life_days=30, population_rate=2.0, scale=1.5)
    exposure = 30 / np.log(2) * (1 - 0.25)  # the integral of fading over 60 days
    rate = (0.25 * 40 + 0.5 * 8 + PRIOR_DAYS * 2.0) / (exposure + PRIOR_DAYS)
    expected = model.expected(orders([(1, 60, 40), (1, 30, 8)]), 3, AS_OF)
    np.testing.assert_allclose(expected, [0, 1.5 * 10 * rate, 0])


@given(st.lists(st.tuples(st.floats(0.01, 900), st.floats(0, 1000)), min_size=1, max_size=20), st.floats(0.01, 1000))
def test_more_spend_at_the_same_times_is_never_worth_less(history: list[tuple[float, float]], more: float) -> None:
    history = sorted(history, reverse=True)
    model = FadedRate(horizon_days=28, half_life_days=90, population_rate=1.0, scale=1.0)
    rows = [(0, age, value) for age, value in history] + [(1, age, value + more) for age, value in history]
    less, richer = model.expected(orders(rows), 2, AS_OF)
    assert 0 < less < richer


def test_recent_spend_counts_more_than_the_same_spend_long_ago() -> None:
    model = FadedRate(horizon_days=28, half_life_days=90, population_rate=1.0, scale=1.0)
    faded, fresh = model.expected(orders([(0, 300, 50), (0, 200, 10), (1, 300, 10), (1, 5, 50)]), 2, AS_OF)
    assert fresh > faded


def test_refunds_above_purchases_give_zero_not_less() -> None:
    model = fit_faded_rate(orders([(0, 50, 10), (0, 20, -500), (1, 60, 20), (1, 10, 20)]), 3, AS_OF, 28)
    expected = model.expected(orders([(0, 50, 10), (0, 20, -500)]), 3, AS_OF)
    assert expected.tolist() == [0, 0, 0]


def test_steady_customers_are_expected_to_go_on_drawn_a_little_to_the_average() -> None:
    steady = orders([(customer, age, 7.0 * (customer + 1)) for customer in range(20) for age in np.arange(365, 0, -7)])
    model = fit_faded_rate(steady, 20, AS_OF, 28)
    expected, spent = model.expected(steady, 20, AS_OF), 28.0 * np.arange(1, 21)
    np.testing.assert_allclose(expected, 0.9 * spent + 0.1 * spent.mean(), rtol=0.03)


def test_half_life_is_short_where_old_spend_says_nothing() -> None:
    rng = np.random.default_rng(0)
    then, now = rng.permutation(60) + 1.0, rng.permutation(60) + 1.0
    rows = [(c, age, then[c] if age > 120 else now[c]) for c in range(60) for age in np.arange(400, 0, -10)]
    assert fit_faded_rate(orders(rows), 60, AS_OF, 28).half_life_days == 30
    steady = [(c, age, then[c] * rng.exponential()) for c in range(60) for age in np.arange(400, 0, -10)]
    assert fit_faded_rate(orders(steady), 60, AS_OF, 28).half_life_days >= 180


@pytest.mark.parametrize("rows", [[(0, 5, 10.0)], [(0, 5, 0.0)], [(0, 5, -3.0)]])
def test_a_history_shorter_than_the_horizon_gives_the_defaults(rows: list[tuple[int, float, float]]) -> None:
    model = fit_faded_rate(orders(rows), 1, AS_OF, 28)
    assert (model.half_life_days, model.scale) == (90.0, 1.0)
    assert np.isfinite(model.expected(orders(rows), 1, AS_OF)).all()


def test_tiers_are_cut_at_the_quantiles_and_keep_their_cuts() -> None:
    cuts = fit_tiers(np.arange(1.0, 101.0), (0.5, 0.8))
    assert cuts == TierCuts(medium_above=50.5, high_above=pytest.approx(80.2))
    assert cuts.assign(np.array([0.0, 50.5, 50.6, 80.2, 81.0, 1e9])).tolist() == [0, 0, 1, 1, 2, 2]


def test_customers_of_equal_value_share_the_lowest_tier() -> None:
    equal = np.full(10, 3.0)
    assert fit_tiers(equal, (0.5, 0.8)).assign(equal).tolist() == [0] * 10


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_tiers_rise_with_expected_value(values: list[float]) -> None:
    expected = np.sort(np.array(values))
    assert (np.diff(fit_tiers(expected, (0.5, 0.8)).assign(expected)) >= 0).all()


@pytest.mark.parametrize("quantiles", [(0.8, 0.5), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0), (float("nan"), 0.5)])
def test_quantiles_out_of_order_are_refused(quantiles: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="rise strictly"):
        fit_tiers(np.ones(3), quantiles)


@pytest.mark.parametrize("expected", [[], [1.0, np.nan]])
def test_tiers_need_finite_values(expected: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        fit_tiers(np.array(expected), (0.5, 0.8))


def test_those_who_spend_more_are_expected_to(two_tastes) -> None:
    history = orders_of(two_tastes.take(two_tastes.customers % 5 == 0))  # one rhythm, so only the value differs
    as_of = np.datetime64("2024-10-15", "us")
    expected = fit_faded_rate(history, 120, as_of, 28).expected(history, 120, as_of)[0:100:5]
    assert (np.diff(expected) > 0).all()

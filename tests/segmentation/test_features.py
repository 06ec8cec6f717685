from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from buyers import AS_OF, World, world

from segmentation.features import MONEY_NAMES, Extra, Features, History, Population, features_of, fit_population
from segmentation.outlook import earlier_examples
from segmentation.purchases import Purchases

NOW = np.datetime64("2024-05-01", "us")
PERIOD_DAYS = 28.0


@pytest.fixture(scope="module")
def buyers() -> World:
    return world(150)


@pytest.fixture(scope="module")
def population(buyers: World) -> Population:
    found = fit_population(History.of(buyers.purchases.before(AS_OF), buyers.n_customers), AS_OF, PERIOD_DAYS)
    assert found is not None
    return found


def seen(purchases: Purchases, n_customers: int, as_of: np.datetime64, population: Population) -> Features:
    return features_of(History.of(purchases, n_customers), as_of, population, None, ())


def of_one(lines: Purchases, population: Population) -> dict[str, float]:
    features = seen(lines, 2, NOW, population)
    assert features.customers.tolist() == [1]
    return dict(zip(features.names, features.columns[0], strict=True))


def test_columns_of_one_customer_by_hand(buy, population: Population) -> None:
    lines = [
        (1, "2024-03-02", 10.0, 0, 0),
        (1, "2024-03-22", 30.0, 1, 0),
        (1, "2024-03-22", 6.0, 1, 1),
        (1, "2024-04-11", 20.0, 2, 0),
        (1, "2024-04-21", -16.5, 3, 0),
    ]
    found = of_one(buy(lines), population)
    expected = {
        "n_orders": 3, "recency_days": 20, "tenure_days": 60, "last_interval_days": 20, "longest_interval_days": 20,
        "interval_deviation": 0, "months_active": 3, "net_spend": 49.5, "paid": 66, "paid_per_order": 22, "first_order_value": 10,
        "last_order_value": 20, "largest_order_value": 36, "refunded_share": 0.2, "orders_0.5": 0, "orders_1": 1, "orders_2": 2,
        "orders_4": 3, "spend_1": 20, "spend_2": 56, "n_lines": 4, "n_topics": 2, "n_repeated_topics": 1, "repeated_share": 0.5,
        "n_recent_topics": 2,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["own_interval_days"] == pytest.approx((40 + 2 * population.interval_days) / 4)
    assert found["overdue"] == pytest.approx(20 / found["own_interval_days"])
    own = (40 + population.topic_interval_days) / 3  # tea alone was bought again, and it is not given up
    given_up = np.exp(-max(20 / own - 1.5, 0))
    assert found["topics_due"] == pytest.approx(min(28 / own, 4) * given_up)


def test_a_single_order_leaves_intervals_unknown(buy, population: Population) -> None:
    found = of_one(buy([(1, "2024-04-20", 5.0, 0, -1)]), population)
    assert np.isnan([found[name] for name in ("last_interval_days", "longest_interval_days", "interval_deviation")]).all()
    assert (found["n_orders"], found["n_topics"], found["topics_due"]) == (1, 0, 0)


def test_last_years_season_is_looked_up_where_there_was_a_last_year(buy, population: Population) -> None:
    lines = buy([(1, "2023-05-05", 7.0, 0, 0), (1, "2024-04-20", 5.0, 1, 0)])
    assert np.isnan(of_one(lines, replace(population, is_seasoned=False))["spend_a_year_ago"])
    assert of_one(lines, replace(population, is_seasoned=True))["spend_a_year_ago"] == pytest.approx(7.0)


def test_columns_do_not_change_when_everything_later_is_deleted(buyers: World) -> None:
    cut = np.datetime64("2024-08-01T12:00", "us")
    known, whole = (History.of(part, buyers.n_customers).before(cut) for part in (buyers.purchases.before(cut), buyers.purchases))
    populations = [fit_population(history, cut, PERIOD_DAYS) for history in (known, whole)]
    assert populations[0] == populations[1]
    assert populations[0] is not None
    alone, cut_off = (features_of(history, cut, populations[0], None, ()) for history in (known, whole))
    np.testing.assert_array_equal(alone.columns, cut_off.columns)


def test_a_customers_columns_do_not_depend_on_other_customers(buyers: World, population: Population) -> None:
    past = buyers.purchases.before(AS_OF)
    everybody = seen(past, buyers.n_customers, AS_OF, population)
    for row in (0, 40, len(everybody.customers) - 1):
        alone = seen(past.take(past.customers == everybody.customers[row]), buyers.n_customers, AS_OF, population)
        np.testing.assert_array_equal(alone.columns[0], everybody.columns[row])


def test_lines_may_come_in_any_order(buyers: World, population: Population) -> None:
    past = buyers.purchases.before(AS_OF)
    backwards = past.take(np.arange(len(past))[::-1])
    first, second = (seen(lines, buyers.n_customers, AS_OF, population).columns for lines in (past, backwards))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_a_giant_is_seen_as_the_largest_usual_customer_several_times_over(buy, population: Population) -> None:
    usual = population.giant_spend
    plain, giant = (seen(buy([(1, "2024-04-20", value, 0, 0)]), 2, NOW, population) for value in (usual, 1000 * usual))
    assert (plain.giant[0], giant.giant[0]) == pytest.approx((1, 1000))
    np.testing.assert_allclose(plain.columns, giant.columns, rtol=1e-5)


def test_columns_of_money_are_among_the_columns(buyers: World, population: Population) -> None:
    assert set(seen(buyers.purchases.before(AS_OF), buyers.n_customers, AS_OF, population).names) >= MONEY_NAMES


def test_nobody_came_back(buy) -> None:
    assert fit_population(History.of(buy([(1, "2024-04-20", 5.0, 0, 0)]), 2), NOW, PERIOD_DAYS) is None
    assert fit_population(History.of(buy([]), 2), NOW, PERIOD_DAYS) is None


def test_examples_know_only_what_was_before_their_cut_and_end_before_the_fit(buyers: World) -> None:
    asked: list[np.datetime64] = []

    def columns(as_of: np.datetime64) -> np.ndarray:
        asked.append(as_of)
        return np.full((buyers.n_customers, 1), float(len(asked)))

    history = History.of(buyers.purchases.before(AS_OF), buyers.n_customers)
    examples = earlier_examples(history, AS_OF, PERIOD_DAYS, Extra(("mood",), columns))
    assert examples is not None
    assert [int((AS_OF - cut) / np.timedelta64(1, "D")) for cut in asked] == [28, 56, 84, 112]
    number = examples.features.columns[:, examples.features.names.index("mood")]
    times, orders = history.orders.times, history.orders
    for row in np.flatnonzero(number == 2)[:20]:
        theirs = orders.customers == examples.features.customers[row]
        followed = theirs & (times >= asked[1]) & (times < asked[0])
        assert examples.returned[row] == followed.any()
        assert examples.spent[row] == pytest.approx(orders.values[followed].sum())
        assert examples.features.columns[row, 0] >= 0

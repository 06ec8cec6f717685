from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.purchases import Purchases, orders_of
from segmentation.rfm import purchases_to_rfm

AS_OF = np.datetime64("2024-05-01", "us")


def test_figures_of_one_customer_by_hand(buy) -> None:
    lines = [
        (1, "2024-04-21", 10.0, 5, 0),
        (1, "2024-04-21", np.nan, 5, 0),
        (1, "2024-03-02", 4.0, 2, 0),
        (1, "2024-03-12", 6.0, 3, 0),
        (0, "2024-04-30T12:00", 7.0, 5, 0),
    ]
    rfm = purchases_to_rfm(buy(lines), 3, AS_OF)
    assert rfm.n_orders.tolist() == [1, 3, 0]  # basket 5 is an order of each of its customers
    np.testing.assert_allclose(rfm.recency_days, [0.5, 10.0, np.nan])
    np.testing.assert_allclose(rfm.tenure_days, [0.5, 60.0, np.nan])
    np.testing.assert_allclose(rfm.interval_days, [np.nan, 25.0, np.nan])
    np.testing.assert_allclose(rfm.spend, [7.0, 20.0, 0.0])
    np.testing.assert_allclose(rfm.order_value, [7.0, 20.0 / 3, np.nan])
    np.testing.assert_allclose(rfm.spend_rates[1], [10.0 / 28, 20.0 / 91, 20.0 / 60])
    np.testing.assert_allclose(rfm.spend_rates[0], [7.0 / 28, 7.0 / 91, 7.0 / 28])
    assert rfm.spend_rates[2].tolist() == [0, 0, 0]
    assert rfm.has_bought.tolist() == [True, True, False]


def test_an_order_begins_with_its_first_line(buy) -> None:
    orders = orders_of(buy([(0, "2024-04-03", 1.0, 9, 0), (0, "2024-04-02", 2.0, 9, 0), (0, "2024-04-01", 5.0, 10, 0)]))
    assert orders.times.astype("datetime64[D]").astype(str).tolist() == ["2024-04-01", "2024-04-02"]
    assert orders.values.tolist() == [5.0, 3.0]


def test_a_refund_is_money_but_no_order(buy) -> None:
    lines = [(0, "2024-04-01", 10.0, 1, 0), (0, "2024-04-11", -4.0, 2, 0), (1, "2024-04-01", -4.0, 3, 0)]
    rfm = purchases_to_rfm(buy(lines), 2, AS_OF)
    assert rfm.n_orders.tolist() == [1, 0]
    assert rfm.spend.tolist() == [6.0, -4.0]
    assert rfm.order_value[0] == 6.0
    assert rfm.recency_days[0] == 30
    assert np.isnan(rfm.order_value[1])


def test_nobody_ever_bought(buy) -> None:
    rfm = purchases_to_rfm(buy([]), 2, AS_OF)
    assert rfm.n_orders.tolist() == [0, 0]
    assert np.isnan(rfm.recency_days).all()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99), st.integers(-5, 50), st.integers(0, 9)), max_size=60), st.randoms())
def test_the_order_of_lines_means_nothing_and_nothing_is_lost(lines: list[tuple[int, int, int, int]], random) -> None:
    def figures(rows: list[tuple[int, int, int, int]]):
        table = np.array(rows, np.int64).reshape(-1, 4)
        times = AS_OF - (table[:, 1] + 1) * np.timedelta64(1, "D")
        customers, baskets = table[:, 0].astype(np.int32), table[:, 3].astype(np.int32)
        nothing = np.full(len(table), -1, np.int32)
        return purchases_to_rfm(Purchases(customers, times, table[:, 2].astype(np.float32), baskets, nothing, ()), 5, AS_OF)

    shuffled = lines.copy()
    random.shuffle(shuffled)
    rfm, again = figures(lines), figures(shuffled)
    for name, column in vars(rfm).items():
        np.testing.assert_array_equal(column, getattr(again, name))
    assert rfm.spend.sum() == sum(value for _, _, value, _ in lines)
    money: dict[tuple[int, int], int] = {}
    for customer, _, value, basket in lines:
        money[customer, basket] = money.get((customer, basket), 0) + value
    assert rfm.n_orders.sum() == sum(value >= 0 for value in money.values())


@pytest.mark.parametrize("time", ["2024-05-01", "2025-01-01", "NaT"])
def test_a_purchase_that_is_not_before_as_of_is_refused(buy, time: str) -> None:
    with pytest.raises(ValueError, match="not before as_of"):
        purchases_to_rfm(buy([(0, time, 1.0, 0, 0)]), 1, AS_OF)


def test_a_customer_beyond_the_last_is_refused(buy) -> None:
    with pytest.raises(ValueError, match=r"customer number 3 is outside 0 \.\. 2"):
        purchases_to_rfm(buy([(3, "2024-01-01", 1.0, 0, 0)]), 3, AS_OF)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ((-1, "2024-01-01", 1.0, 0, 0), "customers must be at least 0, got -1"),
        ((0, "2024-01-01", 1.0, -1, 0), "baskets must be at least 0"),
        ((0, "2024-01-01", 1.0, 0, 3), "topics must be at least -1 and below 3"),
    ],
)
def test_numbers_out_of_range_are_refused(buy, line: tuple[int, str, float, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        buy([line])


def test_columns_of_different_length_and_repeated_topics_are_refused(buy) -> None:
    good = buy([(0, "2024-01-01", 1.0, 0, 0)])
    with pytest.raises(ValueError, match="differ in length"):
        Purchases(good.customers, good.times, good.values[:0], good.baskets, good.topics, ("tea",))
    with pytest.raises(ValueError, match="repeats a name"):
        buy([], ("tea", "tea"))


def test_topics_are_counted_by_name(buy) -> None:
    lines = [(2, "2024-01-01", 1.0, 0, 0), (2, "2024-01-02", 1.0, 1, 0), (5, "2024-01-01", 1.0, 2, 2), (4, "2024-01-01", 1.0, 3, 1)]
    unknown = (5, "2024-01-03", 1.0, 4, -1)
    counts = buy([*lines, unknown]).topic_counts(np.array([2, 3, 5], np.int32), ("cake", "milk", "tea"))
    assert counts.tolist() == [[0, 0, 2], [0, 0, 0], [1, 0, 0]]

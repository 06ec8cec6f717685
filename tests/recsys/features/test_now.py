"""What has happened to items until the day of the query, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import NOW, asked, candidates, catalogue, history, interactions, store_of

LINES = interactions((100, 0, 0), (30, 1, 0), (10, 2, 0), (5, 0, 1), (0.25, 1, 1))
"""Item 0 sold 100, 30 and 10 days ago, item 1 five days and a quarter of a day ago, item 2 never."""


def said(days_ago: float = 0, **feature: object) -> list[float]:
    """The feature of items 0, 1, 2 for a query so many days ago."""
    items = catalogue(3, brands=[0, 0, 1])
    store = store_of({"x": {"scope": "now", **feature}}, items, LINES)
    query = asked(history((200, 0)))
    time = NOW - np.timedelta64(round(days_ago * 86_400), "s")
    earlier = type(query)(query.query, time, query.profile, query.history, query.positives, query.context, query.customer)
    return [float(value) for value in store.rows(earlier, candidates([0, 1, 2]), {})[:, 0]]


def test_rates_count_the_days_of_the_window() -> None:
    assert said(statistic="rate", window_days=30) == pytest.approx([2 / 30, n_before_today() / 30, np.nan], nan_ok=True)
    assert said(statistic="rate", window_days=7) == pytest.approx([0, n_before_today() / 7, np.nan], nan_ok=True)
    assert said(statistic="rate") == pytest.approx([3 / 100, n_before_today() / 5, np.nan], nan_ok=True)


def n_before_today() -> int:
    """Lines of item 1: that of a quarter of a day ago counts if it was yesterday."""
    return 1 + int((NOW - np.timedelta64(6, "h")).astype("datetime64[D]") < NOW.astype("datetime64[D]"))


def test_first_and_last_line() -> None:
    assert said(statistic="age") == pytest.approx([100, 5, np.nan], nan_ok=True)
    assert said(8, statistic="recency") == pytest.approx([2, np.nan, np.nan], nan_ok=True)


def test_an_earlier_query_knows_nothing_of_what_came_later() -> None:
    assert said(20, statistic="rate", window_days=30) == pytest.approx([1 / 30, np.nan, np.nan], nan_ok=True)
    assert said(10, statistic="recency") == pytest.approx([20, np.nan, np.nan], nan_ok=True)  # the day of the query does not count


def test_items_of_one_brand_share_what_happened() -> None:
    assert said(statistic="age", by="brand") == pytest.approx([100, 100, np.nan], nan_ok=True)

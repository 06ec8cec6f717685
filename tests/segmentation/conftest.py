from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import pytest

from segmentation.purchases import Purchases

Line: TypeAlias = tuple[int, str, float, int, int]
Buy: TypeAlias = Callable[..., Purchases]


def _buy(lines: Iterable[Line], topic_names: tuple[str, ...] = ("tea", "coffee", "cake")) -> Purchases:
    """Purchases from (customer, time, value, basket, topic) lines."""
    customers, times, values, baskets, topics = zip(*lines, strict=True) if (lines := list(lines)) else ((), (), (), (), ())
    return Purchases(
        np.array(customers, np.int32),
        np.array(times, "datetime64[us]"),
        np.array(values, np.float32),
        np.array(baskets, np.int32),
        np.array(topics, np.int32),
        topic_names,
    )


@pytest.fixture
def buy() -> Buy:
    return _buy


@pytest.fixture(scope="session")
def two_tastes() -> Purchases:
    """120 customers over 40 weeks: even ones drink tea, odd ones coffee, everybody some cake; customer n buys every 7 + n % 5 days,
    customers 100 and up stop after 10 weeks; values rise with the customer number."""
    rng = np.random.default_rng(3)
    start = np.datetime64("2024-01-01T08:00", "us")
    lines: list[Line] = []
    basket = 0
    for customer in range(120):
        days = np.arange(rng.integers(0, 7), 70 if customer >= 100 else 280, 7 + customer % 5)
        for day in days:
            basket += 1
            topics = [customer % 2, customer % 2, 2 if rng.random() < 0.5 else customer % 2]
            lines += [(customer, str(start + np.timedelta64(int(day), "D")), 1.0 + customer, basket, topic) for topic in topics]
    return _buy(lines)

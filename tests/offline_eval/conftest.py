"""A shop small enough to be worked by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pytest

from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.types import STANDARD_EVENTS, Interactions

ITEMS = ("milk", "bread", "eggs", "fuel")
CUSTOMERS = ("ann", "bob", "eve")

Line: TypeAlias = tuple[str | None, str, str, float]
"""Customer, item, event, day of January 2020 (1 = the first, at midnight)."""

MakeShop: TypeAlias = Callable[[Sequence[Line]], Dataset]


@pytest.fixture
def make_shop() -> MakeShop:
    return _make_shop


def _make_shop(lines: Sequence[Line]) -> Dataset:
    lines = sorted(lines, key=lambda line: line[3])
    n = len(lines)
    start = np.datetime64("2020-01-01", "us")
    interactions = Interactions(
        customers=np.array([-1 if line[0] is None else CUSTOMERS.index(line[0]) for line in lines], np.int32),
        items=np.array([ITEMS.index(line[1]) for line in lines], np.int32),
        events=np.array([STANDARD_EVENTS.index(line[2]) for line in lines], np.int8),
        times=np.array([start + np.timedelta64(round((line[3] - 1) * 86_400), "s") for line in lines], "datetime64[us]"),
        baskets=np.arange(n, dtype=np.int32),
        quantities=np.ones(n, np.float32),
        values=np.ones(n, np.float32),
    )
    return Dataset(interactions, Vocabulary(CUSTOMERS), pa.table({"item_id": list(ITEMS), "title": list(ITEMS)}), STANDARD_EVENTS, Path())


@pytest.fixture
def day() -> Callable[[int], np.datetime64]:
    return lambda number: np.datetime64(f"2020-01-{number:02}", "us")


@pytest.fixture
def noon() -> dt.datetime:
    return dt.datetime(2020, 1, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def recommendable() -> np.ndarray:
    return np.array([True, True, True, False])

"""What customers bought: lines as they come in, and the orders they make up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]
Reals: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.datetime64]

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Purchases:
    """Purchase lines as parallel arrays of length n, in any order.

    customers:   customer numbers, 0 or more; int32
    times:       datetime64[us], UTC
    values:      money of the line, negative for a refund, NaN = unknown; float32
    baskets:     lines of one customer with an equal number are one order; 0 or more; int32
    topics:      what the line is about (a category, say) as a row of topic_names, -1 = nothing known; int32
    topic_names: distinct names; a fitted model knows topics by name, so their numbers may change between two calls
    items:       which item was bought, as a row of item_names, -1 = unknown; int32; None = no item is known
    item_names:  distinct ids; a fitted model knows items by id, likewise
    """

    customers: Ints
    times: Times
    values: Floats
    baskets: Ints
    topics: Ints
    topic_names: tuple[str, ...]
    items: Ints | None = None
    item_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self._columns().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of purchases differ in length: {lengths}")
        if len(set(self.topic_names)) < len(self.topic_names):
            raise ValueError("topic_names repeats a name; give each topic one number")
        if len(set(self.item_names)) < len(self.item_names):
            raise ValueError("item_names repeats an id; give each item one number")
        rows = {"topics": len(self.topic_names), "items": len(self.item_names)}
        for name, low, high in (("customers", 0, None), ("baskets", 0, None), *((name, -1, n) for name, n in rows.items())):
            column = getattr(self, name)
            if column is not None and len(column) and (column.min() < low or (high is not None and column.max() >= high)):
                allowed = f"at least {low}" if high is None else f"at least {low} and below {high}"
                raise ValueError(f"{name} must be {allowed}, got {column.min()} to {column.max()}")

    def __len__(self) -> int:
        return len(self.customers)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Purchases:
        """The given lines, in the given order."""
        columns: dict[str, Any] = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **columns)

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {name: column for name, column in vars(self).items() if isinstance(column, np.ndarray)}

    def before(self, time: np.datetime64) -> Purchases:
        """The lines strictly earlier than the time."""
        return self.take(self.times < time)

    def by_customer(self) -> Purchases:
        """The same lines sorted by customer; the lines of one customer keep their order."""
        return self.take(np.argsort(self.customers, kind="stable"))

    def things(self, item_names: Sequence[str], topic_names: Sequence[str]) -> Ints:
        """What each line bought, as a row of item_names followed by topic_names: its item if listed, else its topic; -1 = neither."""
        topics = _rows_of(self.topic_names, topic_names)[self.topics]
        things = np.where(topics >= 0, topics + len(item_names), -1)
        if self.items is not None:
            items = _rows_of(self.item_names, item_names)[self.items]
            things = np.where(items >= 0, items, things)
        return things.astype(np.int32)

    def topic_counts(self, customers: Ints, topic_names: tuple[str, ...]) -> Floats:
        """Lines of each customer about each topic, shape (len(customers), len(topic_names)); what is about other topics is left out.

        customers: distinct and sorted
        """
        columns = _rows_of(self.topic_names, topic_names)[self.topics]
        rows = np.searchsorted(customers, self.customers)
        counted = (columns >= 0) & np.isin(self.customers, customers)
        cells = rows[counted] * len(topic_names) + columns[counted]
        counts = np.bincount(cells, minlength=len(customers) * len(topic_names))
        return counts.reshape(len(customers), len(topic_names)).astype(np.float32)

    def check(self, n_customers: int, as_of: np.datetime64) -> None:
        """Refuse lines that are not strictly earlier than `as_of`, and customers outside 0 .. n_customers - 1, with a ``ValueError``."""
        if len(self) and not (latest := self.times.max()) < as_of:  # NaT is not before anything
            raise ValueError(f"a purchase of {latest} is not before as_of {as_of}; hand over purchases.before(as_of)")
        if len(self) and (largest := self.customers.max()) >= n_customers:
            raise ValueError(f"customer number {largest} is outside 0 .. {n_customers - 1}")


@dataclass(frozen=True)
class Orders:
    """One row per order, sorted by customer, then time.

    customers: int32; times: of the first line, datetime64[us]; values: money of all lines, unknown ones add nothing, float64.
    """

    customers: Ints
    times: Times
    values: Reals

    def __len__(self) -> int:
        return len(self.customers)

    def before(self, time: np.datetime64) -> Orders:
        """The orders that began strictly earlier than the time."""
        return self._take(self.times < time)

    def since(self, time: np.datetime64) -> Orders:
        """The orders that began at the time or later."""
        return self._take(self.times >= time)

    def ages_days(self, as_of: np.datetime64) -> Reals:
        """Days from each order to `as_of`."""
        return np.asarray((as_of - self.times) / DAY, np.float64)

    def sum_per_customer(self, amounts: Reals, n_customers: int) -> Reals:
        """Sum of one amount per order over the orders of each customer; shape (n_customers,)."""
        return np.bincount(self.customers, amounts, n_customers).astype(np.float64)

    def _take(self, rows: NDArray[np.bool_]) -> Orders:
        return Orders(self.customers[rows], self.times[rows], self.values[rows])


def orders_of(purchases: Purchases) -> Orders:
    """Put the lines of one customer in one basket together."""
    key = (purchases.customers.astype(np.int64) << 32) | purchases.baskets
    rows = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[rows], prepend=-1))
    customers = purchases.customers[rows[first]]
    times = np.minimum.reduceat(purchases.times[rows], first) if len(first) else purchases.times
    money = np.where(np.isfinite(purchases.values), purchases.values, 0.0).astype(np.float64)[rows]
    values = np.add.reduceat(money, first) if len(first) else money
    order = np.lexsort((times, customers))
    return Orders(customers[order], times[order], values[order])


def _rows_of(names: Sequence[str], known: Sequence[str]) -> NDArray[np.intp]:
    """Row of each name among the known ones, -1 = none; a last -1 serves the number -1."""
    row_of = {name: row for row, name in enumerate(known)}
    return np.array([*(row_of.get(name, -1) for name in names), -1], np.intp)


def duration(days: float) -> np.timedelta64:
    """A number of days, fractions included, as a time difference."""
    return np.timedelta64(round(days * 86_400_000_000), "us")

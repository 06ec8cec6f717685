"""What known customers bought, as the arrays that all statistics need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import PURCHASE, Ints, Times

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Purchases:
    """Baskets ordered by customer, then time; lines (distinct items of a basket) ordered by basket, then item.

    basket_customers: customer number; int32 (n_baskets,)
    basket_times:     time of the first line; datetime64[us] (n_baskets,)
    basket_money:     sum of the values of all lines, NaN where one is unknown; float64 (n_baskets,)
    line_baskets:     row of the basket; int64 (n_lines,)
    line_items:       item number; int32 (n_lines,)
    priced_items:     items of the rows whose price per piece is known, before lines of one item are merged; int32 (n_priced,)
    prices:           money per piece of those; float64 (n_priced,)
    """

    basket_customers: Ints
    basket_times: Times
    basket_money: NDArray[np.float64]
    line_baskets: Counts
    line_items: Ints
    priced_items: Ints
    prices: NDArray[np.float64]

    def per_item(self) -> Counts:
        """Baskets that hold each item, of the items bought at all."""
        return _positive(np.bincount(self.line_items))

    def per_customer(self) -> Counts:
        """Lines of each customer who bought at all."""
        return _positive(np.bincount(self.basket_customers[self.line_baskets]))

    @property
    def start(self) -> np.datetime64:
        """Time of the first basket."""
        first: np.datetime64 = self.basket_times.min()
        return first

    @property
    def end(self) -> np.datetime64:
        """Time of the last basket."""
        last: np.datetime64 = self.basket_times.max()
        return last

    def line_times(self) -> Times:
        """Time of each line's basket."""
        return self.basket_times[self.line_baskets]


def purchases_of(dataset: Dataset) -> Purchases:
    """Purchase rows with a known customer; other events and lines without a customer are left out.

    Raises:
        DataError: there is none.
    """
    rows = np.flatnonzero((dataset.interactions.events == PURCHASE) & (dataset.interactions.customers >= 0))
    if not len(rows):
        raise DataError(f"{dataset.folder} has no purchase with a customer_id; realism is measured on those")
    bought = dataset.interactions.take(rows)
    baskets, first = _baskets(bought.customers, bought.baskets)
    n_items = len(dataset.items)
    lines = np.unique(baskets * n_items + bought.items)
    prices = dataset.price_of_lines()[rows].astype(np.float64)
    priced = np.flatnonzero(np.isfinite(prices))
    return Purchases(
        basket_customers=bought.customers[first],
        basket_times=bought.times[first],
        basket_money=np.asarray(np.bincount(baskets, bought.values, len(first)), np.float64),
        line_baskets=lines // n_items,
        line_items=(lines % n_items).astype(np.int32),
        priced_items=bought.items[priced],
        prices=prices[priced],
    )


def _baskets(customers: Ints, baskets: Ints) -> tuple[Counts, NDArray[np.intp]]:
    """Basket of each row, numbered by customer and time, and the first row of each; rows are in time order."""
    keys = customers.astype(np.int64) * (int(baskets.max()) + 1) + baskets
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.lexsort((first, customers[first]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[inverse], first[order]


def _positive(counts: NDArray[Any]) -> Counts:
    return counts[counts > 0].astype(np.int64)

"""Customers of whom little is known, made from customers of whom much is: the past cut down to the last few baskets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.training.split import positive_lines
from recsys.types import Interactions

FIFTHS = ("1 (thinnest)", "2", "3", "4", "5 (longest)")


def basket_numbers(lines: Interactions) -> NDArray[np.int64]:
    """How many of the customer's baskets came after each line's, so 0 for all of the last one; -1 = a guest's line; (n_lines,)

    Lines without a basket are one if they are of one time.
    """
    times = lines.times.astype(np.int64)
    baskets = np.where(lines.baskets >= 0, lines.baskets, -1 - np.unique(times, return_inverse=True)[1])
    table = pd.DataFrame({"customer": lines.customers[::-1], "basket": baskets[::-1]})
    distinct = table.drop_duplicates()
    numbers = distinct.assign(number=distinct.groupby("customer").cumcount())
    found = table.merge(numbers, on=["customer", "basket"], how="left")["number"].to_numpy()[::-1]
    return np.where(lines.customers >= 0, found, -1)


def n_baskets(lines: Interactions, n_customers: int) -> NDArray[np.int64]:
    """Baskets of each customer, (n_customers,)."""
    known = lines.customers >= 0
    most = np.zeros(n_customers, np.int64)
    np.maximum.at(most, lines.customers[known], basket_numbers(lines)[known] + 1)
    return most


def cut_down(dataset: Dataset, cut: np.datetime64, n: int, config: Config) -> Dataset:
    """The shop with every customer's past from the `n`-th last basket before the cut on; what guests did, and what came later, stays.

    Baskets are of positive events; views and the like before the first basket that is left are gone with the others.
    """
    lines = dataset.interactions
    bought = positive_lines(dataset.before(cut), config)
    last = bought.take((bought.customers >= 0) & (basket_numbers(bought) < n))
    since = np.full(int(lines.customers.max(initial=-1)) + 1, lines.times[0])
    since[last.customers[::-1]] = last.times[::-1]  # the oldest line comes last, and stays
    return replace(dataset, interactions=lines.take((lines.customers < 0) | (lines.times >= since[lines.customers])))


def fifths(sizes: NDArray[np.int64]) -> list[str]:
    """The fifth that each of some customers is in by length of history; equal lengths share one."""
    edges = np.quantile(sizes, [0.2, 0.4, 0.6, 0.8])
    return [FIFTHS[fifth] for fifth in np.searchsorted(edges, sizes, side="left")]

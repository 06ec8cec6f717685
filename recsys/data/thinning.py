"""Customers of whom little is known, made from customers of whom much is: the past cut down to the last few baskets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.types import Interactions

EARLIEST = np.datetime64(np.iinfo(np.int64).min + 1, "us")


def basket_numbers(lines: Interactions) -> NDArray[np.int64]:
    """How many of the customer's baskets came after each line's, so 0 for all of the last one; -1 = a guest's line; (n_lines,)

    Lines without a basket are one if they are of one time. A basket is as late as its last line.
    """
    numbers = np.full(len(lines), -1, np.int64)
    rows = np.flatnonzero(lines.customers >= 0)[::-1]  # newest first
    rows = rows[np.argsort(lines.customers[rows], kind="stable")]
    moments = -1 - np.unique(lines.times[rows], return_inverse=True)[1]
    baskets = np.where(lines.baskets[rows] >= 0, lines.baskets[rows], moments)
    baskets -= baskets.min(initial=0)
    keys = lines.customers[rows] * (baskets.max(initial=0) + 1) + baskets  # numbers sort quicker than pairs
    _, first, basket = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # by customer, newest basket first
    owners = lines.customers[rows[first[order]]]
    within = np.empty(len(order), np.int64)
    within[order] = np.arange(len(order)) - np.searchsorted(owners, owners)
    numbers[rows] = within[basket]
    return numbers


def cut_down(dataset: Dataset, bought: Interactions, n_baskets: NDArray[np.integer]) -> Dataset:
    """The shop with the past of each customer from the n-th last basket on; what guests did, and what came later, stays.

    What a customer wrote before that goes too where it is read as the customer's own; item texts keep it.

    bought:    lines that make the baskets; whatever else a customer did before the first of them that is left goes with the others
    n_baskets: of each customer, (n_customers,); 0 or less = all of the past stays
    """
    lines = dataset.interactions
    mine = bought.customers >= 0
    numbers = basket_numbers(bought)
    left = np.flatnonzero(mine & (numbers < n_baskets[bought.customers]))
    since = np.full(max(len(n_baskets), 1), EARLIEST)
    since[bought.customers[left[::-1]]] = bought.times[left[::-1]]  # the oldest line comes last, and stays
    left_of_all = lines.take((lines.customers < 0) | (lines.times >= since[lines.customers]))
    return replace(dataset, interactions=left_of_all, since=since)

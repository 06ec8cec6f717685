"""Leaving the last items of every customer out: the split by position of the published leave-one-out tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.types import Interactions, Ints, Times


@dataclass(frozen=True)
class LeftOut:
    """The items at one place of their customers' sequences, by rising customer number.

    customers: int32 (n,); items: what was left out, int32 (n,); times: when it was bought, datetime64[us] (n,)
    """

    customers: Ints
    items: Ints
    times: Times

    def __len__(self) -> int:
        return len(self.customers)


def leave_last(dataset: Dataset, codes: NDArray[np.int8], place: int, least: int) -> tuple[Dataset, LeftOut]:
    """What is known without the last `place` items of each customer, and the item at that place (1 = the last).

    A customer's sequence holds each item once, where it was first bought, by time and then by line; what a customer did at or after
    the line of the item at that place is not known. Customers with fewer than `least` items lose nothing, and are not asked for.

    Other customers' lines stay whatever their time is: that is how the published tables are made, and not how a shop lives. Undated
    tables, reviews among them, are not cut, so nothing may be learnt from them.

    Args:
        codes: of the events that count as buying
        place: at least 1
        least: at least `place` + 1, so that something stays known of each customer
    """
    if not 1 <= place < least:
        raise ValueError(f"place must be at least 1 and below least, got place {place} and least {least}")
    lines = dataset.interactions
    rows, ends = _sequences(lines, codes)
    sizes = np.diff(ends, prepend=0)
    at = rows[ends[sizes >= least] - place]
    first_hidden = np.full(len(dataset.customers), len(lines), np.int64)
    first_hidden[lines.customers[at]] = at
    is_known = (lines.customers < 0) | (np.arange(len(lines)) < first_hidden[lines.customers])
    known = replace(dataset, interactions=lines.take(is_known))
    return known, LeftOut(lines.customers[at], lines.items[at], lines.times[at])


def _sequences(lines: Interactions, codes: NDArray[np.int8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the first purchase of each item by each customer, by customer and then by row; and the end of each customer's part."""
    bought = np.flatnonzero(np.isin(lines.events, codes) & (lines.customers >= 0))
    pairs = lines.customers[bought].astype(np.int64) * (int(lines.items.max(initial=0)) + 1) + lines.items[bought]
    rows = np.sort(bought[np.unique(pairs, return_index=True)[1]])
    rows = rows[np.argsort(lines.customers[rows], kind="stable")]
    return rows, np.flatnonzero(np.diff(lines.customers[rows], append=-1)) + 1

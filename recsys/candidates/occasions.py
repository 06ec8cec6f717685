"""What a customer wanted, occasion by occasion. Items of one time are one occasion: they have no order, and nothing may rest on one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.protocols import ResolvedQuery
from recsys.types import Ints, Times

N_DISTANCES = 24
"""Two items are 0, 1, ... occasions apart; the last number stands for all that are further apart."""
N_AGES = 15
"""Two items are of one occasion (0), less than a day apart (1), less than 2, 4, 8, ... days; the last number stands for all above."""
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Wanted:
    """Items of one customer, oldest first, as parallel arrays of length n; an item stands once in an occasion.

    items: int32; occasions: number of the occasion of each, rising, int32; days: its time in days, float64
    """

    items: Ints
    occasions: Ints
    days: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)


def wanted(resolved: ResolvedQuery, n: int, is_known: NDArray[np.bool_]) -> Wanted:
    """At most n items of a query that are known: the newest of the history, then what is looked at now, an occasion of its own.

    Where only some items of an occasion fit, their numbers say which, and those mean nothing.
    """
    context = np.unique(resolved.context[is_known[resolved.context]][:n])
    items, times = _newest(resolved, n - len(context), is_known)
    items = np.concatenate([items, context]).astype(np.int32)
    times = np.concatenate([times, np.full(len(context), resolved.time, "datetime64[us]")])
    is_new = np.concatenate([[False], times[1:] > times[:-1]])
    if len(context) < len(items) and len(context):
        is_new[len(items) - len(context)] = True
    return Wanted(items, np.cumsum(is_new, dtype=np.int32), days_of(times))


def days_of(times: Times) -> NDArray[np.float64]:
    """Times in days since 1970."""
    return (times - np.datetime64(0, "us")) / _DAY


def distances(occasions: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many occasions each item (rows) is after each other one (columns), in [0, N_DISTANCES); (..., n) -> (..., n, n)."""
    apart = occasions[..., :, None].astype(np.int64) - occasions[..., None, :]
    return np.clip(apart, 0, N_DISTANCES - 1)


def ages(days: NDArray[np.float64], occasions: NDArray[np.integer]) -> NDArray[np.int64]:
    """How long after each other item (columns) each item (rows) was wanted, as a number in [0, N_AGES); (..., n) -> (..., n, n)."""
    apart = np.maximum(days[..., :, None] - days[..., None, :], 0.5)
    number = np.clip(np.frexp(apart)[1] + 1, 1, N_AGES - 1)  # 0.5 <= apart < 1 has exponent 0, 1 <= apart < 2 has exponent 1
    return np.where(occasions[..., :, None] > occasions[..., None, :], number, 0).astype(np.int64)


def _newest(resolved: ResolvedQuery, n: int, is_known: NDArray[np.bool_]) -> tuple[Ints, Times]:
    """At most n known items of the history, the newest, oldest first, without repeats in one time; so much of 2 n lines is looked at."""
    lines = resolved.positives
    known = np.flatnonzero(is_known[lines.items])
    if n <= 0 or not len(known):
        return np.empty(0, np.int32), np.empty(0, "datetime64[us]")
    oldest = lines.times[known[min(2 * n, len(known)) - 1]]
    rows = known[lines.times[known] >= oldest]
    rows = rows[np.lexsort((lines.items[rows], lines.times[rows]))]
    items, times = lines.items[rows], lines.times[rows]
    is_first = np.append(True, (items[1:] != items[:-1]) | (times[1:] != times[:-1]))
    return items[is_first][-n:], times[is_first][-n:]

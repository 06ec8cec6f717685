"""What the sequence model learns from: histories by occasion, shuffled within each, cut into windows and put together by length.

The order of items within one occasion is drawn anew for every epoch, so nothing can be learnt from how a shop happened to write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.occasions import Wanted, days_of
from recsys.types import Flags, Interactions, Ints


@dataclass(frozen=True)
class Sequences:
    """Items that customers wanted, one customer after the other, oldest first; an item stands once in an occasion. Arrays of length n.

    items: places in the vocabulary of the model, int32
    occasions: number of the occasion, rising over all customers, int32
    days: its time in days
    is_repeat: whether the customer's occasion before holds the item too; such a one is read, but teaches nothing
    starts: rows from starts[c] to starts[c + 1] are one customer's, (n_customers + 1,)
    """

    items: Ints
    occasions: Ints
    days: NDArray[np.float64]
    is_repeat: Flags
    starts: NDArray[np.int64]

    @staticmethod
    def of(lines: Interactions, places: Ints) -> Sequences:
        """places: of each item in the vocabulary, int32 (n_items,)."""
        rows = np.flatnonzero(lines.customers >= 0)
        rows = rows[np.lexsort((lines.items[rows], lines.times[rows], lines.customers[rows]))]
        customers, items, times = lines.customers[rows], places[lines.items[rows]], lines.times[rows]
        is_customer = np.append(True, customers[1:] != customers[:-1])[: len(rows)]
        is_occasion = is_customer | np.append(True, times[1:] != times[:-1])[: len(rows)]
        is_first = is_occasion | np.append(True, items[1:] != items[:-1])[: len(rows)]
        occasions = np.cumsum(is_occasion)[is_first].astype(np.int32)
        items, customers, days = items[is_first].astype(np.int32), customers[is_first], days_of(times[is_first])
        starts = np.append(np.flatnonzero(is_customer[is_first]), len(items)).astype(np.int64)
        return Sequences(items, occasions, days, _repeats(items, customers, occasions), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def shuffled(self, rng: np.random.Generator) -> Sequences:
        """The same with items of one occasion in random order."""
        order = np.lexsort((rng.random(len(self.items)), self.occasions))
        return Sequences(self.items[order], self.occasions, self.days, self.is_repeat[order], self.starts)

    def take(self, rows: Flags) -> Sequences:
        """The rows where a mask is true; customers keep their numbers."""
        starts = np.concatenate([[0], np.cumsum(rows)])[self.starts]
        return Sequences(self.items[rows], self.occasions[rows], self.days[rows], self.is_repeat[rows], starts)

    def of_customer(self, customer: int, n: int) -> Wanted:
        """The last n items of one customer."""
        end = int(self.starts[customer + 1])
        rows = slice(max(int(self.starts[customer]), end - n), end)
        occasions = self.occasions[rows]
        return Wanted(self.items[rows], occasions - occasions[0] if len(occasions) else occasions, self.days[rows])


@dataclass(frozen=True)
class Batch:
    """Windows of one step. rows: of the sequences, (n_windows, length + 1), each but the last read and each but the first a target;
    learns: whether the target after each item that is read counts, (n_windows, length)."""

    rows: NDArray[np.int64]
    learns: Flags


def batches(sequences: Sequences, length: int, n_items: int, rng: np.random.Generator) -> Iterator[Batch]:
    """All targets once, at most n_items (or one window) at a time and in random order; histories of like length go together.

    length: items that are read at once; a longer history is cut at random places into windows that share one item.
    """
    starts, ends = _windows(sequences.starts, length, rng)
    lengths = ends - starts - 1
    order = np.lexsort((rng.random(len(lengths)), lengths))
    cuts, first = [], 0
    for at, longest in enumerate(lengths[order].tolist()):
        if at > first and (at + 1 - first) * longest > n_items:
            cuts.append(at)
            first = at
    groups = np.split(order, cuts)
    for number in rng.permutation(len(groups)):
        group = groups[number]
        within = np.arange(lengths[group].max() + 1)
        rows = np.minimum(starts[group, None] + within, ends[group, None] - 1)
        yield Batch(rows, (within[1:] <= lengths[group, None]) & ~sequences.is_repeat[rows[:, 1:]])


def _windows(bounds: NDArray[np.int64], length: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows from and to of windows of 2 to length + 1 items."""
    starts, ends = bounds[:-1], bounds[1:]
    fits = ends - starts <= length + 1
    found = [(starts[fits], ends[fits])]
    for start, end in zip(starts[~fits], ends[~fits], strict=True):
        cuts = np.arange(start + rng.integers(1, length + 1), end - 1, length)
        found.append((np.append(start, cuts), np.append(cuts + 1, end)))
    starts, ends = (np.concatenate(part) for part in zip(*found, strict=True))
    is_some = ends - starts > 1
    return starts[is_some], ends[is_some]


def _repeats(items: Ints, customers: Ints, occasions: Ints) -> Flags:
    order = np.lexsort((occasions, items, customers))
    same = (np.diff(items[order]) == 0) & (np.diff(customers[order]) == 0) & (np.diff(occasions[order]) == 1)
    repeats = np.zeros(len(items), np.bool_)
    repeats[order[1:][same]] = True
    return repeats

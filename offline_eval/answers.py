"""Ranked lists beside what was relevant, as matrices: what every metric reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.facts import ItemFacts
from recsys.types import Ints

Gains: TypeAlias = Mapping[str, float]
Doubles: TypeAlias = NDArray[np.float64]

_STRIDE = 1 << 31
"""More than there are item numbers."""


@dataclass(frozen=True)
class Answers:
    """n lists of at most `depth` items.

    items:      numbers, best first, -1 after the end of a list; int32 (n, depth)
    gains:      of the item at each place, 0 = not relevant, or no item; float64 (n, depth)
    ideal:      the largest gains there were, largest first, 0 after the last; float64 (n, depth)
    n_relevant: relevant items of each query; int64 (n,)
    customers:  numbers among `facts.customers`, -1 = unknown there; int32 (n,)
    facts:      where item and customer numbers lead; None = numbers mean nothing beyond these lists
    """

    items: Ints
    gains: Doubles
    ideal: Doubles
    n_relevant: NDArray[np.int64]
    customers: Ints
    facts: ItemFacts | None = None


class Judge:
    """The truth, prepared once, that lists of any number of systems are laid beside.

    customers: of each query, in the order in which lists will come; depth: places of a list that are read.

    Raises:
        ValueError: a gain is not positive and finite.
    """

    def __init__(self, truth: Mapping[str, Gains], customers: Sequence[str], depth: int, facts: ItemFacts | None = None) -> None:
        self.depth, self.facts = depth, facts
        self._numbers = {} if facts is None else {id_: number for number, id_ in enumerate(facts.items.ids)}
        owners = [-1] * len(customers) if facts is None else [facts.customers.number(customer) for customer in customers]
        self._customers = np.array([-1 if owner is None else owner for owner in owners], np.int32)
        for customer in customers:
            _check(truth[customer])
        counts = np.array([len(truth[customer]) for customer in customers], np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(np.arange(len(customers)), counts)
        items = self._numbered([item for customer in customers for item in truth[customer]])
        gains = np.array([gain for customer in customers for gain in truth[customer].values()], np.float64)
        keys = rows * _STRIDE + items
        by_key = np.argsort(keys)
        self._keys = np.append(keys[by_key], np.iinfo(np.int64).max)  # a last key that no list has: every search ends at a key
        self._gains = np.append(gains[by_key], 0.0)
        self._descending = gains[np.lexsort((-gains, rows))]

    def judge(self, lists: Sequence[Sequence[str]], first: int = 0) -> Answers:
        """Lists of the queries from number `first` on, beside their truth.

        Raises:
            Unmeasurable: a list repeats an item, or the facts know nothing of an item.
        """
        items = self._matrix(lists, first)
        queries = np.arange(first, first + len(lists))
        wanted = queries[:, None] * _STRIDE + items
        places = np.searchsorted(self._keys, wanted)
        gains = np.where((self._keys[places] == wanted) & (items >= 0), self._gains[places], 0.0)
        n_relevant = np.diff(self._offsets)[queries]
        return Answers(items, gains, self._ideal(queries, n_relevant), n_relevant, self._customers[queries], self.facts)

    def _matrix(self, lists: Sequence[Sequence[str]], first: int) -> Ints:
        for row, ranked in enumerate(lists):
            if len(set(ranked)) < len(ranked):
                raise Unmeasurable(first + row, "ranked repeats an item; remove duplicates before measuring")
        lengths = np.array([min(len(ranked), self.depth) for ranked in lists], np.int64)
        flat = self._numbered([item for ranked in lists for item in ranked[: self.depth]])
        items = np.full((len(lists), self.depth), -1, np.int32)
        items[np.arange(self.depth) < lengths[:, None]] = flat
        if self.facts is not None and (items >= len(self.facts.items)).any():
            row, place = np.argwhere(items >= len(self.facts.items))[0]
            raise Unmeasurable(first + int(row), f"nothing is known of item {lists[row][place]!r}; measure on the shop that has it")
        return items

    def _numbered(self, items: Sequence[str]) -> NDArray[np.int64]:
        numbers = self._numbers
        return np.array([numbers.setdefault(item, len(numbers)) for item in items], np.int64)

    def _ideal(self, queries: NDArray[np.intp], n_relevant: NDArray[np.int64]) -> Doubles:
        ideal = np.zeros((len(queries), self.depth))
        places = np.arange(self.depth)
        filled = places < n_relevant[:, None]
        ideal[filled] = self._descending[(self._offsets[queries][:, None] + places)[filled]]
        return ideal


class Unmeasurable(ValueError):
    """A list that no metric can be taken of; query: its number."""

    def __init__(self, query: int, reason: str) -> None:
        super().__init__(reason)
        self.query = query


def _check(gains: Gains) -> None:
    for item, gain in gains.items():
        if not 0 < gain < math.inf:
            raise ValueError(f"the gain of item {item!r} is {gain}; leave items without a gain out of gains")

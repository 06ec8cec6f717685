"""What lists bring: the truth in closed form, what luck makes of it, and the list that is expected to sell most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from recsys.synthetic.choice import ABANDONED
from recsys.synthetic.oracle import PIECES
from recsys.types import Flags, Ints

Doubles: TypeAlias = NDArray[np.float64]

N_LUCK = 4
"""Uniform numbers that decide an answer: what is looked at, whether it is bought, whether it is left in the cart, how many pieces."""

_MOST_PIECES = 12


@dataclass(frozen=True)
class Expected:
    """The truth about lists, by visit; float64 (m,).

    views, carts, purchases: probability that an item of the list is looked at, put into the cart, bought; at most one is
    revenue: money expected
    """

    views: Doubles
    carts: Doubles
    purchases: Doubles
    revenue: Doubles


@dataclass(frozen=True)
class Answers:
    """What customers did with lists, by visit.

    viewed:  number of the item that was looked at, -1 = none; int32 (m,)
    carted, bought: whether it was put into the cart, as all that is bought; bool (m,)
    quantities: pieces bought; float64 (m,); revenue: money paid; float64 (m,)
    """

    viewed: Ints
    carted: Flags
    bought: Flags
    quantities: Doubles
    revenue: Doubles


@dataclass(frozen=True)
class Odds:
    """The true answer to lists, by visit and place; (m, k).

    items:  item numbers, -1 = the list is shorter; int32
    chosen: probability that the item is the one looked at; bought: that it is bought once it is
    paid:   price of a piece; pieces: bought on average; a durable item is bought singly
    """

    items: Ints
    chosen: Doubles
    bought: Doubles
    paid: Doubles
    pieces: Doubles

    def expected(self) -> Expected:
        """The truth."""
        bought = self.chosen * self.bought
        carted = bought + self.chosen * (1 - self.bought) * ABANDONED
        parts = self.chosen, carted, bought, bought * self.paid * self.pieces
        return Expected(*(part.sum(axis=1) for part in parts))

    def drawn(self, luck: Doubles) -> Answers:
        """The answer that each visit's luck makes of these odds; luck: uniform numbers (m, N_LUCK)."""
        place = (self.chosen.cumsum(axis=1) <= luck[:, :1]).sum(axis=1)
        looked = place < self.items.shape[1]
        at = np.arange(len(place)), np.where(looked, place, 0)
        bought = looked & (luck[:, 1] < self.bought[at])
        carted = bought | (looked & (luck[:, 2] < ABANDONED))
        more = np.searchsorted(pdtr(np.arange(_MOST_PIECES), PIECES - 1), luck[:, 3])  # Poisson, from its distribution function
        quantities = np.where(self.pieces[at] > 1, 1.0 + more, 1.0) * bought
        return Answers(np.where(looked, self.items[at], -1).astype(np.int32), carted, bought, quantities, quantities * self.paid[at])


def greedy(weights: Doubles, bought: Doubles, k: int, bias: float) -> Ints:
    """Lists filled from the first place on with what adds most to the probability of a purchase; int32 (m, k).

    A list ends, with -1, where any further item would only draw attention away from better ones.

    Args:
        weights: of each item in first place, where the outside option weighs 1; (m, n)
        bought: probability that each is bought once looked at; (m, n)
        bias: exponent of the position
    """
    row, free = np.arange(len(weights)), weights.copy()
    sold, total = np.zeros(len(row)), np.ones(len(row))
    chosen = np.full((len(row), k), -1, np.int32)
    for place in range(k):
        weight = free * (place + 1.0) ** -bias
        rates = (sold[:, None] + bought * weight) / (total[:, None] + weight)
        best = rates.argmax(axis=1)
        better = rates[row, best] > sold / total
        chosen[better, place] = best[better]
        added = np.where(better, weight[row, best], 0)
        sold, total = sold + bought[row, best] * added, total + added
        free[row, best] = 0
    return chosen

"""One row of the table: how much of a planted truth a part of the product found, between knowing nothing and knowing everything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.significance import Interval

Rows: TypeAlias = NDArray[np.intp]
Statistic: TypeAlias = Callable[[Rows], float]
"""A figure of some of the customers (or texts), given by row; NaN where they do not determine one."""

N_HALVES = 400


@dataclass(frozen=True)
class Score:
    """How well one part did.

    part, measure: for example "segments", "adjusted Rand index"; higher is better
    found:         of the product; low, high: its 95 % interval over customers or texts; NaN = cannot be measured
    chance:        what knowing nothing gives; best: what the true model gives
    n:             customers or texts measured
    note:          what chance and best are, in a sentence
    """

    part: str
    measure: str
    found: float
    low: float
    high: float
    chance: float
    best: float
    n: int
    note: str

    @property
    def recovered(self) -> float:
        """Share of the way from chance to best; below 0 = worse than chance.

        NaN where best is no further above chance than half the interval: then there was nothing to find, or too few to tell.
        """
        way = self.best - self.chance
        doubt = 0.0 if math.isnan(self.low) else (self.high - self.low) / 2
        return (self.found - self.chance) / way if way > doubt else math.nan

    @staticmethod
    def of(part: str, measure: str, found: Interval, *, chance: float, best: float, note: str) -> Score:
        """A row whose figure came with its interval."""
        return Score(part, measure, found.estimate, found.low, found.high, chance, best, found.n, note)


def by_halves(statistic: Statistic, n: int, rng: np.random.Generator, groups: NDArray[np.integer] | None = None) -> Interval:
    """A figure of n rows, and the 95 % interval that random halves of them give.

    A half drawn without replacement varies as much as n rows drawn with it, and holds no row twice: a customer beside itself would
    count as a pair that agrees.

    groups: of each row; rows of one group resemble each other and are drawn together; None = each row is one

    Source:
        Politis, Romano & Wolf (1999), Subsampling, chapter 2; of half the rows, the finite-sample correction makes the scale 1.
    """
    estimate = statistic(np.arange(n)) if n else math.nan
    if not math.isfinite(estimate):
        return Interval(math.nan, math.nan, math.nan, n)
    _, of = np.unique(np.arange(n) if groups is None else groups, return_inverse=True)
    n_groups = int(of.max()) + 1
    return _interval(estimate, [statistic(np.flatnonzero(_half(n_groups, rng)[of])) for _ in range(N_HALVES)], n)


def by_halves_of_both(statistic: Callable[[Rows, Rows], float], n: int, n_items: int, rng: np.random.Generator) -> Interval:
    """`by_halves` of a figure of customers and items, where few items may decide it for all customers: halves of both are drawn."""
    estimate = statistic(np.arange(n), np.arange(n_items)) if n and n_items else math.nan
    if not math.isfinite(estimate):
        return Interval(math.nan, math.nan, math.nan, n)
    draws = [statistic(np.flatnonzero(_half(n, rng)), np.flatnonzero(_half(n_items, rng))) for _ in range(N_HALVES)]
    return _interval(estimate, draws, n)


def _half(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Flags of a random half of n."""
    return np.asarray(rng.permutation(n) < (n + 1) // 2)


def _interval(estimate: float, draws: list[float], n: int) -> Interval:
    finite = np.array(draws)[np.isfinite(draws)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (math.nan, math.nan)
    return Interval(estimate, float(low), float(high), n)

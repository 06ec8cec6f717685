"""Paired bootstrap over customers: an interval for every mean, difference and relative difference.

Customers, not queries, are drawn: queries of one customer at several cuts resemble each other, and counting them as independent
would make every interval too narrow. All columns share the draws, so comparing two of them is comparing pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Doubles: TypeAlias = NDArray[np.float64]

N_RESAMPLES = 10_000
MAX_GROUPS = 5_000
"""More customers than this are put into so many groups at random, and groups are drawn: enough that an interval is as wide to about 1 %,
and its cost no longer grows with the shop."""
_CELLS_PER_CHUNK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval; low and high are NaN where the data do not determine one. n: customers it rests on."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Bootstrap:
    """Means of m columns, and what they become when customers are drawn anew.

    means:    over all queries with a value; shape (m,)
    draws:    the same for each resample; shape (n_resamples, m)
    left_out: the same without one customer, for each of them; shape (n_customers, m)
    n:        customers with at least one value; shape (m,)
    level:    probability that an interval is to cover
    """

    means: Doubles
    draws: Doubles
    left_out: Doubles
    n: NDArray[np.intp]
    level: float

    def mean(self, column: int) -> Interval:
        """The mean of a column."""
        return self._interval(lambda means: means[..., column], int(self.n[column]))

    def difference(self, column: int, reference: int) -> Interval:
        """The mean of a column minus that of the reference."""
        return self._interval(lambda means: means[..., column] - means[..., reference], self._shared(column, reference))

    def relative(self, column: int, reference: int) -> Interval:
        """The difference of the means as a share of the reference's mean: 0.04 = 4 % better. NaN when that mean is 0."""
        return self._interval(lambda means: means[..., column] / means[..., reference] - 1, self._shared(column, reference))

    def _shared(self, column: int, reference: int) -> int:
        return int(min(self.n[column], self.n[reference]))

    def _interval(self, statistic: Callable[[Doubles], Doubles], n: int) -> Interval:
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = float(statistic(self.means))
            draws, left_out = statistic(self.draws), statistic(self.left_out)
        if not np.isfinite(estimate):
            return Interval(np.nan, np.nan, np.nan, n)
        low, high = _bca(estimate, draws, left_out, self.level) if n > 1 else (np.nan, np.nan)
        return Interval(estimate, low, high, n)


def bootstrap(
    customers: Sequence[str], values: Doubles, rng: np.random.Generator, n_resamples: int = N_RESAMPLES, level: float = 0.95
) -> Bootstrap:
    """Resample customers, each with all of their queries.

    Args:
        customers: the customer of each query, length n.
        values: one column per system or metric, shape (n, m); NaN = the query has no value there.

    Returns:
        What intervals are made of. They are bias-corrected and accelerated: close to the percentile interval for thousands of
        customers, nearer to the promised level for small, skewed slices. Sums of random groups keep variance and skewness of what is
        drawn, so beyond `MAX_GROUPS` customers groups of them stand for customers.

    Raises:
        ValueError: the shapes do not fit, there is no query, or n_resamples or level is out of range.

    Source:
        Efron (1987), JASA 82(397), BCa; clusters drawn whole as in Davison & Hinkley (1997), section 3.8.
    """
    if values.ndim != 2 or len(values) != len(customers) or not len(values):
        raise ValueError(f"values must have one row per query and at least one: {len(customers)} queries, values of shape {values.shape}")
    if n_resamples < 1 or not 0 < level < 1:
        raise ValueError(f"n_resamples must be at least 1 and level between 0 and 1, got {n_resamples} and {level}")
    sums, counts = per_customer(customers, values)
    n = np.count_nonzero(counts, axis=0)
    sums, counts = np.split(grouped(np.concatenate([sums, counts], axis=1), rng), 2, axis=1)
    kinds, kind = np.unique(counts, axis=1, return_inverse=True)  # most columns have values for the same customers
    draws = [_ratio(weights @ sums, (weights @ kinds)[:, kind]) for weights in _weights(len(sums), n_resamples, rng)]
    return Bootstrap(
        means=_ratio(sums.sum(axis=0), counts.sum(axis=0)),
        draws=np.concatenate(draws),
        left_out=_ratio(sums.sum(axis=0) - sums, counts.sum(axis=0) - counts),
        n=n,
        level=level,
    )


def per_customer(customers: Sequence[str], values: Doubles) -> tuple[Doubles, Doubles]:
    """Sum and number of the values of each customer, both (n_customers, m), in order of customer id."""
    ids, rows = np.unique(np.asarray(customers), return_inverse=True)
    sums = np.zeros((len(ids), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, rows, np.where(np.isnan(values), 0.0, values))
    np.add.at(counts, rows, ~np.isnan(values))
    return sums, counts


def grouped(columns: Doubles, rng: np.random.Generator) -> Doubles:
    """Sums of each customer, (n, m), over `MAX_GROUPS` random groups of equally many customers but for one; as they are where n is less."""
    if len(columns) <= MAX_GROUPS:
        return columns
    starts = np.arange(MAX_GROUPS) * len(columns) // MAX_GROUPS
    sums: Doubles = np.add.reduceat(columns[rng.permutation(len(columns))], starts)
    return sums


def _weights(n: int, n_resamples: int, rng: np.random.Generator) -> Iterator[Doubles]:
    """How often each of n customers is drawn, for some resamples at a time; shape (rows, n)."""
    rows = max(1, _CELLS_PER_CHUNK // n)
    for first in range(0, n_resamples, rows):
        size = min(rows, n_resamples - first)
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _ratio(sums: Doubles, counts: Doubles) -> Doubles:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _bca(estimate: float, draws: Doubles, left_out: Doubles, level: float) -> tuple[float, float]:
    if not np.isfinite(draws).all() or not np.isfinite(left_out).all():
        return np.nan, np.nan
    below = np.mean(draws < estimate) + np.mean(draws == estimate) / 2
    bias = ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    influence = left_out.mean() - left_out
    spread = np.sum(influence**2)
    acceleration = np.sum(influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    tails = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(draws, ndtr(bias + tails / (1 - acceleration * tails)))
    return float(low), float(high)

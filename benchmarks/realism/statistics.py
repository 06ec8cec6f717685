"""The arithmetic of single numbers and of distances; nothing here knows a shop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

ZIPF_HEAD = 10
ZIPF_SHARE = 0.2
MIN_ZIPF_ITEMS = 100


def gini(counts: NDArray[Any]) -> float:
    """Gini coefficient in [0, 1): 0 = all equal, near 1 = one has all; mean absolute difference over twice the mean."""
    ascending = np.sort(counts).astype(np.float64)
    n = len(ascending)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ ascending / (n * ascending.sum()))


def zipf_exponent(counts: NDArray[Any]) -> float:
    """Minus the slope of log count over log rank, from rank 10 to the top fifth; 1 is Zipf's law; NaN below 100 counts.

    The head is left out because ten items make no law, the rest because whole numbers flatten it; ranks are
    taken at even steps of the logarithm, so that the many low ranks do not decide alone.
    """
    if len(counts) < MIN_ZIPF_ITEMS:
        return float("nan")
    descending = np.sort(counts)[::-1]
    ranks = np.unique(np.geomspace(ZIPF_HEAD, len(counts) * ZIPF_SHARE, 60).astype(np.int64))
    return -float(np.polyfit(np.log(ranks), np.log(descending[ranks - 1]), 1)[0])


def summary(name: str, values: Numbers, percents: tuple[int, ...] = (50, 90)) -> dict[str, float]:
    """Mean and percentiles by name; the 50th is called the median. All NaN for no values."""
    names = [f"{name}_median" if percent == 50 else f"{name}_p{percent}" for percent in percents]
    found = np.percentile(values, percents) if len(values) else np.full(len(percents), np.nan)
    return {f"{name}_mean": mean(values)} | dict(zip(names, found.tolist(), strict=True))


def mean(values: NDArray[Any]) -> float:
    """The mean; NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def median(values: NDArray[Any]) -> float:
    """The median; NaN of nothing."""
    return float(np.median(values)) if len(values) else float("nan")


def variation(values: Numbers) -> float:
    """Coefficient of variation, standard deviation over mean; NaN where the mean is not positive or nothing is there."""
    return float(np.std(values) / np.mean(values)) if mean(values) > 0 else float("nan")


def grouped_variation(groups: NDArray[Any], values: Numbers, least: int) -> float:
    """Median, over groups with at least `least` values and a positive mean, of the coefficient of variation inside the group."""
    n = np.bincount(groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.bincount(groups, values) / n
        spread = np.sqrt(np.bincount(groups, (values - means[groups]) ** 2) / n)
        return median((spread / means)[(n >= least) & (means > 0)])


@dataclass(frozen=True)
class Distribution:
    """A cumulative distribution of values over their median, as knots that ascend.

    at:         values; float64 (n,)
    share:      share of values up to there; float64 (n,)
    is_stepped: between knots the share stays; else it goes in a straight line
    """

    at: Numbers
    share: Numbers
    is_stepped: bool

    @staticmethod
    def of(values: Numbers, are_counts: bool) -> Distribution:
        """The distribution of positive values, scale-free; of counts each n is spread evenly over n - 1/2 to n + 1/2.

        Whole numbers over a small median fall on a lattice, and two lattices of different width differ at every step however alike the
        shapes are: hence the spreading.

        Raises:
            ValueError: no values, or a median of 0.
        """
        if not len(values):
            raise ValueError("a distribution needs values")
        distinct, n = np.unique(values, return_counts=True)
        upto = np.cumsum(n) / n.sum()
        if are_counts:
            at = np.column_stack([distinct - 0.5, distinct + 0.5]).ravel()
            share = np.column_stack([upto - n / n.sum(), upto]).ravel()
            middle = float(np.interp(0.5, share, at))
        else:
            at, share, middle = distinct, upto, float(np.median(values))
        if middle <= 0:
            raise ValueError(f"the median of the values is {middle}; over it nothing can be scaled")
        return Distribution(at / middle, share, not are_counts)

    def __call__(self, at: Numbers) -> Numbers:
        """Share of values up to the given ones."""
        if not self.is_stepped:
            return np.interp(at, self.at, self.share, left=0.0, right=1.0)
        return np.concatenate([[0.0], self.share])[np.searchsorted(self.at, at, side="right")]

    def quantiles(self, shares: Numbers) -> Numbers:
        """Values that the given shares lie at or below."""
        if not self.is_stepped:
            return np.interp(shares, self.share, self.at)
        return self.at[np.minimum(np.searchsorted(self.share, shares), len(self.at) - 1)]

    def distance(self, other: Distribution) -> float:
        """Kolmogorov-Smirnov: the largest difference between the shares, in [0, 1]."""
        at = np.concatenate([self.at, other.at])
        return float(np.max(np.abs(self(at) - other(at))))


def total_variation(one: Numbers, other: Numbers) -> float:
    """Share that would have to move to make one profile the other, in [0, 1]; places where either is NaN are left out.

    NaN where nothing of one of them remains.
    """
    known = np.isfinite(one) & np.isfinite(other)
    mine, theirs = one[known], other[known]
    if mine.sum() == 0 or theirs.sum() == 0:
        return float("nan")
    return float(np.abs(mine / mine.sum() - theirs / theirs.sum()).sum() / 2)


def curve_distance(one: tuple[Numbers, Numbers], other: tuple[Numbers, Numbers]) -> float:
    """Mean difference between two curves at the places that both have; NaN without such places."""
    _, mine, theirs = np.intersect1d(one[0], other[0], return_indices=True)
    return mean(np.abs(one[1][mine] - other[1][theirs]))

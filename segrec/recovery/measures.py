"""Agreement of what was found with what is true. NaN where either side is constant, so that nothing can agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import adjusted_rand_score, cohen_kappa_score

from recsys.types import Flags

Reals = NDArray[np.floating] | NDArray[np.integer]


def rand_index(true: NDArray[np.integer], found: NDArray[np.integer]) -> float:
    """Adjusted Rand index of two groupings: 1 = the same, 0 = as alike as independent ones on average.

    Source:
        Hubert & Arabie (1985), Journal of Classification 2.
    """
    return float(adjusted_rand_score(true, found))


def weighted_kappa(true: NDArray[np.integer], found: NDArray[np.integer]) -> float:
    """Quadratic-weighted kappa of two gradings: 1 = the same, 0 = as independent ones. Source: Cohen (1968), Psych. Bulletin 70(4)."""
    if len(np.unique(true)) < 2 and len(np.unique(found)) < 2:
        return math.nan
    return float(cohen_kappa_score(true, found, weights="quadratic"))


def captured(realised: Reals, predicted: Reals) -> float:
    """Normalised Gini: how well an order by prediction sorts what was realised; 1 = perfectly, 0 = not at all, -1 = backwards.

    Equal predictions share the mean of their ranks.
    """
    ranks, ideal = rankdata(predicted), rankdata(realised)
    possible = float(np.cov(realised, ideal)[0, 1]) if len(ranks) > 1 else 0.0
    return float(np.cov(realised, ranks)[0, 1]) / possible if possible > 0 else math.nan


def rank_correlation(one: Reals, other: Reals) -> float:
    """Spearman's rank correlation."""
    ranks = rankdata(one), rankdata(other)
    if len(one) < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def auc(is_positive: Flags, scores: Reals) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if not n_positive or not n_negative:
        return math.nan
    return float((rankdata(scores)[is_positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def graded(values: Reals, below: Reals) -> NDArray[np.intp]:
    """Grades 0 .. len(below) of values, cut at these quantiles of theirs; what equals a cut belongs below it."""
    return np.asarray(np.searchsorted(np.quantile(values, below), values, side="left"))

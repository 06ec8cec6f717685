"""Metrics of all lists together: how much of the catalogue is shown, and how unequally.

Such a figure is no mean over customers, yet its uncertainty comes from which customers were asked. Each function therefore returns one
value per list, made so that their mean is the figure exactly and their spread is its jackknife standard error:

    value(i) = figure + (n - 1) * (mean over j of the figure without list j - figure without list i)

so intervals, slices, comparisons and gates treat them like any other values per customer. The figure is that of n lists: more
customers are shown more items, hence compare only figures of the same customers. Resampling customers would not do instead, for a resample
holds two thirds of them, shows fewer items, and its interval would lie below the figure.

    shown:   int32 (n, k), item numbers, -1 = none
    offered: the catalogue that counts; bool (n_items,)

Source:
    Efron & Stein (1981), Annals of Statistics 9(3), for the jackknife, which errs on the side of too wide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from offline_eval.answers import Doubles
from recsys.types import Flags, Ints


def coverage(shown: Ints, offered: Flags) -> Doubles:
    """Catalogue coverage: share of the offered items that are in at least one list.

    Source:
        Herlocker et al. (2004), ACM TOIS 22(1); "catalogue coverage" of Ge, Delgado-Battenfeld & Jannach (2010), RecSys.
    """
    counts, counted = _exposures(shown, offered)
    only_here = (counted & (counts[shown] == 1)).sum(axis=1)
    n_offered = int(offered.sum())
    return _influence(np.count_nonzero(counts) / n_offered, (np.count_nonzero(counts) - only_here) / n_offered)


def gini(shown: Ints, offered: Flags) -> Doubles:
    """Gini index of how often each offered item is shown: 0 = all equally often, 1 = one item alone. NaN when nothing is shown.

    With x the counts in ascending order, N items: sum over i of (2 i - N - 1) x(i) / ((N - 1) * sum of x).

    Source:
        Shani & Gunawardana (2011), Recommender Systems Handbook, chapter 8; divided by N - 1, so that 1 is reached.
    """
    counts, counted = _exposures(shown, offered)
    ordered = np.sort(counts[offered])
    n_items, total = len(ordered), int(ordered.sum())
    unequal = float(((2 * np.arange(1, n_items + 1) - n_items - 1) * ordered).sum())  # sum of |x - y| over pairs of items
    lower = np.searchsorted(ordered, counts[shown], side="left")
    tied = equal_pairs(np.where(counted, counts[shown], -1).astype(np.int32))  # taking both away leaves their difference as it was
    steps = np.where(counted, n_items - 1 - 2 * lower, 0).sum(axis=1) - 2 * tied  # what `unequal` grows by without a list
    left = total - counted.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _influence(np.float64(unequal) / ((n_items - 1) * total), (unequal + steps) / ((n_items - 1) * left))


KERNELS: dict[str, Callable[[Ints, Flags], Doubles]] = {"Coverage": coverage, "Gini": gini}


def _exposures(shown: Ints, offered: Flags) -> tuple[Ints, Flags]:
    """How often each item is shown, 0 for one that is not offered, (n_items,); which places count, (n, k)."""
    counted = (shown >= 0) & offered[shown]
    return np.bincount(shown[counted], minlength=len(offered)).astype(np.int32), counted


def equal_pairs(codes: Ints) -> NDArray[np.int64]:
    """How many pairs of each row have one code; -1 = none. codes: (n, k); int64 (n,)"""
    ordered = np.sort(codes, axis=1)
    run, pairs = np.zeros((2, len(codes)), np.int64)
    for left, right in zip(ordered.T, ordered.T[1:], strict=False):
        run = np.where((left == right) & (right >= 0), run + 1, 0)
        pairs += run
    return pairs


def _influence(figure: float, without: Doubles) -> Doubles:
    n = len(without)
    if n == 1:
        return np.array([figure])  # of one list nothing can be left out
    return np.asarray(figure + (n - 1) * (without.mean() - without))

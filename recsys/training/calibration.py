"""Fitting what a ranker's scores mean: isotonic regression of what was bought on the score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from recsys.ranking.calibration import Calibration
from recsys.training.rows import Rows
from recsys.types import Floats, Ints

WANTED_PER_BIN = 30
MAX_BINS = 60
LEAST_WANTED = 100
"""With fewer wanted rows there is nothing to fit."""


def fit_calibration(scores: Floats, labels: NDArray[np.uint8], weights: Floats) -> Calibration | None:
    """The share of the weight that is wanted, as a function of the score that never falls; None with too few wanted rows.

    Rows are put into bins by score, each with as many wanted rows, so that the few rows with high scores, which are those that are
    shown, are told apart best; the shares of the bins are then made to rise.

    scores, labels, weights: of rows that the ranker did not learn from, shape (n,); a weight says how many candidates a row stands for

    Source: Zadrozny & Elkan (2002), KDD, isotonic calibration; in bins as in Naeini et al. (2015), AAAI.
    """
    n_wanted = int(labels.sum())
    if n_wanted < LEAST_WANTED:
        return None
    order = np.argsort(scores, kind="stable")
    n_bins = min(MAX_BINS, n_wanted // WANTED_PER_BIN)
    before = np.cumsum(labels[order]) - labels[order]
    bins = np.minimum(before * n_bins // n_wanted, n_bins - 1)
    weight, wanted, total = (
        np.bincount(bins, values[order].astype(np.float64), n_bins) for values in (weights, weights * labels, weights * scores)
    )
    shares = (wanted / (weight + 1.0)).clip(max=1 - 1e-6)  # as if one more row in each bin had not been wanted: never certain
    risen = isotonic_regression(shares, weights=weight).x
    knots, first = np.unique(total / weight, return_index=True)
    return Calibration(knots, np.maximum.accumulate(risen[first]))


def candidates_per_row(rows: Rows) -> Floats:
    """How many candidates each row stands for, float32 (n,): all wanted ones are there, the others were drawn from more."""
    starts = np.concatenate([[0], np.cumsum(rows.sizes)])[:-1]
    wanted: Ints = np.add.reduceat(rows.labels, starts, dtype=np.int32) if len(starts) else np.empty(0, np.int32)
    of_others = (rows.n_candidates - wanted) / np.maximum(rows.sizes - wanted, 1)
    return np.where(rows.labels == 1, 1.0, np.repeat(of_others, rows.sizes)).astype(np.float32)

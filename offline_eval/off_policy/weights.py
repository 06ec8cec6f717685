"""What importance weights say of themselves: how many rows and units really speak, and whether their mean is 1 as it must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from offline_eval.off_policy.estimators import Terms
from offline_eval.significance import Doubles


@dataclass(frozen=True)
class WeightFacts:
    """Of the weights of one estimator; of several places the worst. Rows of one unit are alike, so a unit counts with the sum of its rows.

    effective_size:    Kish's size of the weights used: the number of rows of equal weight that would say as much
    effective_units:   the same of the units' sums of weights
    effective_rewards: the same of the units' sums of weight times |reward|: on how many customers' rewards the estimate rests
    largest_share:     share of the unit with most weight in the sum of all, as used
    largest:           the greatest weight before any was cut
    clipped_share:     share of rows whose weight was cut
    removed:           share of the sum of weights that was cut away
    mean:              mean weight before any was cut; 1 in expectation where the log supports the policy and its propensities are right
    mean_p:            two-sided p of the mean being 1, normal approximation, clustered by unit, Bonferroni over places
    """

    effective_size: float
    effective_units: float
    effective_rewards: float
    largest_share: float
    largest: float
    clipped_share: float
    removed: float
    mean: float
    mean_p: float


def facts_of(terms: Terms, units: NDArray[np.intp]) -> WeightFacts | None:
    """The facts of an estimator's weights, None when it uses none. units: number of each row's unit, from 0 on without gaps."""
    if terms.weights is None or terms.used is None:
        return None
    raw, used = terms.weights, terms.used
    by_unit = _sums(np.abs(used), units)
    sums = by_unit.sum(axis=0)
    means, p_values = _tests(raw, units)
    worst = int(np.argmin(p_values))
    return WeightFacts(
        effective_size=min(kish(column) for column in used.T),
        effective_units=min(kish(column) for column in by_unit.T),
        effective_rewards=kish(_sums(np.abs(used * terms.rewards), units).sum(axis=1)),
        largest_share=float(np.max(by_unit.max(axis=0) / np.where(sums > 0, sums, np.nan))),
        largest=float(raw.max()),
        clipped_share=float(np.mean(used != raw)),
        removed=float(1 - used.sum() / raw.sum()) if raw.sum() > 0 else np.nan,
        mean=float(means[worst]),
        mean_p=float(min(1.0, p_values[worst] * raw.shape[1])),
    )


def kish(weights: Doubles) -> float:
    """Effective sample size: (sum w)^2 / sum w^2; 0 when all are 0.

    Source:
        Kish (1965), Survey Sampling, section 11.7.
    """
    squares = float(np.sum(weights**2))
    return float(weights.sum() ** 2 / squares) if squares > 0 else 0.0


def _tests(weights: Doubles, units: NDArray[np.intp]) -> tuple[Doubles, Doubles]:
    """Mean of each column and the p of its being 1; both (n_places,)."""
    means = weights.mean(axis=0)
    sums = _sums(weights - means, units)
    n_units = len(sums)
    errors = np.sqrt((sums**2).sum(axis=0) * n_units / max(1, n_units - 1)) / len(weights)
    off = np.abs(means - 1)
    # equal weights leave no error: then the mean is 1 up to rounding, or it is not
    z = np.divide(off, errors, out=np.where(off > 1e-6, np.inf, 0.0), where=errors > 1e-12)
    return means, np.asarray(2 * ndtr(-z), np.float64)


def _sums(values: Doubles, units: NDArray[np.intp]) -> Doubles:
    """Sum of each unit's rows; (n_units, n_places)."""
    return np.stack([np.bincount(units, column) for column in values.T], axis=1)

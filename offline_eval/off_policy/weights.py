"""What importance weights say of themselves: how many rows really speak, and whether their mean is 1 as it must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from offline_eval.off_policy.estimators import Terms
from offline_eval.significance import Doubles


@dataclass(frozen=True)
class WeightFacts:
    """Of the weights of one estimator; of several places the worst.

    effective_size:    Kish's size of the weights used: the number of rows of equal weight that would say as much
    effective_rewards: the same of weight times |reward|: on how many rewards the estimate rests
    largest_share:     share of the greatest weight in the sum of all, as used
    largest:           the greatest weight before any was cut
    clipped_share:     share of rows whose weight was cut
    removed:           share of the sum of weights that was cut away
    mean:              mean weight before any was cut; 1 in expectation where the log supports the policy and its propensities are right
    mean_p:            two-sided p of the mean being 1, normal approximation, clustered by unit, Bonferroni over places
    """

    effective_size: float
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
    sums = np.abs(used).sum(axis=0)
    means, p_values = _tests(raw, units)
    worst = int(np.argmin(p_values))
    return WeightFacts(
        effective_size=min(kish(column) for column in used.T),
        effective_rewards=kish(np.abs(used * terms.rewards).sum(axis=1)),
        largest_share=float(np.max(np.abs(used).max(axis=0) / np.where(sums > 0, sums, np.nan))),
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
    n_units = int(units.max()) + 1
    means = weights.mean(axis=0)
    sums = np.zeros((n_units, weights.shape[1]))
    np.add.at(sums, units, weights - means)
    errors = np.sqrt((sums**2).sum(axis=0) * n_units / max(1, n_units - 1)) / len(weights)
    off = np.abs(means - 1)
    # equal weights leave no error: then the mean is 1 up to rounding, or it is not
    z = np.divide(off, errors, out=np.where(off > 1e-6, np.inf, 0.0), where=errors > 1e-12)
    return means, np.asarray(2 * ndtr(-z), np.float64)

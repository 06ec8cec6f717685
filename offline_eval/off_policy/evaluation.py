"""What a policy would have earned, from the log of another: estimates with intervals, and whether anything may be concluded from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.estimators import Terms, estimators
from offline_eval.off_policy.rewards import PredictedRewards
from offline_eval.off_policy.slates import Draws, slate_estimators, slates_of
from offline_eval.off_policy.weights import WeightFacts, facts_of
from offline_eval.significance import Bootstrap, Doubles, Interval, bootstrap

N_RESAMPLES = 2_000
LEVEL = 0.95
PREFERRED = ("DR", "SNIPS", "SN-RIPS", "SN-IIPS")
"""The estimate that the verdict is about: the first of these that was made."""

Word: TypeAlias = Literal["better", "worse", "undecided", "refused"]


@dataclass(frozen=True)
class Limits:
    """From where on nothing is concluded.

    min_units:             units in the log; with fewer a bootstrap over units is no guide
    min_effective_size:    Kish's size of the rows' weights
    min_effective_units:   Kish's size of the units' sums of weights: one unit with very many rows is still one
    min_effective_rewards: Kish's size of the units' sums of weights times |rewards|; with fewer the interval covers less often than it says
    max_weight_share:      share of one unit in the sum of weights
    max_removed:           share of the sum of weights that clipping or switching took away
    max_unsupported:       the evaluated policy's mean probability of actions that the log never shows
    mean_weight_p:         p below which the mean weight counts as different from 1
    """

    min_units: int = 50
    min_effective_size: float = 100
    min_effective_units: float = 50
    min_effective_rewards: float = 30
    max_weight_share: float = 0.05
    max_removed: float = 0.01
    max_unsupported: float = 0.01
    mean_weight_p: float = 0.01


@dataclass(frozen=True)
class Estimate:
    """What one estimator says.

    value:       earned per decision (or per list), bootstrap over units, bias-corrected and accelerated
    normal:      the same by the normal approximation, with the jackknife's standard error over units
    against_log: the value minus what the log earned, of the same draws
    weights:     facts of its weights, None = it uses none
    refusals:    why nothing may be concluded from it; empty = something may
    """

    estimator: str
    value: Interval
    normal: Interval
    against_log: Interval
    weights: WeightFacts | None
    refusals: tuple[str, ...]

    @property
    def word(self) -> Word:
        """The policy against the log's, at the level of the intervals."""
        if self.refusals:
            return "refused"
        return "better" if self.against_log.low > 0 else "worse" if self.against_log.high < 0 else "undecided"


@dataclass(frozen=True)
class OffPolicyResult:
    """All estimates of one policy from one log.

    per:         what a value is of: "decision" or "list"
    logged:      what the log earned
    n:           decisions or lists
    unsupported: the evaluated policy's mean probability of actions that the log never shows; NaN = not known
    level:       probability that an interval is to cover
    """

    per: str
    logged: Interval
    n: int
    unsupported: float
    level: float
    estimates: tuple[Estimate, ...]

    @property
    def chosen(self) -> Estimate:
        """The estimate that the verdict is about, see `PREFERRED`."""
        by_name = {estimate.estimator: estimate for estimate in self.estimates}
        return next((by_name[name] for name in PREFERRED if name in by_name), self.estimates[0])


def evaluate_policy(
    log: Decisions,
    rng: np.random.Generator,
    predicted: PredictedRewards | None = None,
    *,
    threshold: float | None = None,
    limits: Limits | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
) -> OffPolicyResult:
    """Estimate what the evaluated policy earns per decision.

    Args:
        predicted: rewards by a model, for the direct method and the doubly robust estimators; None = those are left out.
        threshold: of clipped IPS and switch-DR; None = the square root of the number of rows.

    Raises:
        ValueError: the threshold, n_resamples or level is out of range, or the predictions are of another log.
    """
    terms = estimators(log, predicted, threshold)
    return _evaluate(terms, "decision", log.units, log.rewards, log, rng, limits or Limits(), n_resamples, level)


def evaluate_slates(
    log: Decisions,
    draws: Draws,
    rng: np.random.Generator,
    *,
    limits: Limits | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
) -> OffPolicyResult:
    """Estimate what the evaluated policy earns per list, by the estimators that hold for how items were drawn.

    Raises:
        DataError: a list has a place twice, lacks one that its draws need, or went to two units.
        ValueError: n_resamples or level is out of range.
    """
    slates = slates_of(log, draws)
    terms = slate_estimators(slates, draws)
    return _evaluate(terms, "list", slates.units, slates.rewards.sum(axis=1), log, rng, limits or Limits(), n_resamples, level)


def _evaluate(
    terms: Sequence[Terms],
    per: str,
    units: NDArray[np.str_],
    earned: Doubles,
    log: Decisions,
    rng: np.random.Generator,
    limits: Limits,
    n_resamples: int,
    level: float,
) -> OffPolicyResult:
    columns = np.concatenate([earned[:, None], *(term.columns for term in terms)], axis=1)
    resampled = bootstrap(list(units), columns, rng, n_resamples, level)
    unsupported = float(log.unsupported.mean())
    common = _common_refusals(int(resampled.n[0]), unsupported, limits)
    numbers = np.unique(units, return_inverse=True)[1]
    estimates = []
    first = 1
    for term in terms:
        last = first + term.columns.shape[1]
        estimates.append(_estimate(term, _part(resampled, first, last), numbers, common, limits))
        first = last
    return OffPolicyResult(per, resampled.mean(0), len(units), unsupported, level, tuple(estimates))


def _part(whole: Bootstrap, first: int, last: int) -> Bootstrap:
    """Column 0, what the log earned, and the columns of one estimator."""
    columns = [0, *range(first, last)]
    return Bootstrap(whole.means[columns], whole.draws[:, columns], whole.left_out[:, columns], whole.n[columns], whole.level)


def _estimate(terms: Terms, part: Bootstrap, units: NDArray[np.intp], common: tuple[str, ...], limits: Limits) -> Estimate:
    value, against_log = _applied(terms, part, less_log=False), _applied(terms, part, less_log=True)
    facts = facts_of(terms, units)
    interval = value.mean(0)
    refusals = (*common, *_refusals(facts, interval, limits))
    return Estimate(terms.name, interval, _normal(value), against_log.mean(0), facts, refusals)


def _applied(terms: Terms, part: Bootstrap, *, less_log: bool) -> Bootstrap:
    """The bootstrap of the estimate itself, in one column."""

    def statistic(means: Doubles) -> Doubles:
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw without any weight has no ratio; its NaN leaves no interval
            return (terms.value(means[..., 1:]) - (means[..., 0] if less_log else 0.0))[..., None]

    return Bootstrap(statistic(part.means), statistic(part.draws), statistic(part.left_out), part.n[:1], part.level)


def _normal(value: Bootstrap) -> Interval:
    """By the jackknife over units.

    Source:
        Efron & Tibshirani (1993), An Introduction to the Bootstrap, equation 11.5.
    """
    estimate, n = float(value.means[0]), int(value.n[0])
    if n < 2:
        return Interval(estimate, np.nan, np.nan, n)
    half = ndtri((1 + value.level) / 2) * np.sqrt((n - 1) * np.var(value.left_out[:, 0]))
    return Interval(estimate, float(estimate - half), float(estimate + half), n)


def _common_refusals(n_units: int, unsupported: float, limits: Limits) -> tuple[str, ...]:
    refusals = []
    if n_units < limits.min_units:
        refusals.append(f"the log has {n_units} units, fewer than {limits.min_units}")
    if unsupported > limits.max_unsupported:
        refusals.append(
            f"the policy gives {unsupported:.1%} of its probability to actions that the log never shows, "
            f"more than {limits.max_unsupported:.1%}"
        )
    return tuple(refusals)


def _refusals(facts: WeightFacts | None, value: Interval, limits: Limits) -> list[str]:
    if facts is None:
        return ["it rests on the reward model alone, and no log says how wrong that is"]
    refusals = []
    if facts.effective_size < limits.min_effective_size:
        refusals.append(f"the effective sample size is {facts.effective_size:,.0f}, below {limits.min_effective_size:,.0f}")
    if facts.effective_units < limits.min_effective_units:
        refusals.append(f"the weight is that of {facts.effective_units:,.1f} effective units, fewer than {limits.min_effective_units:,.0f}")
    if facts.effective_rewards < limits.min_effective_rewards:
        refusals.append(f"it rests on {facts.effective_rewards:,.1f} effective rewards, fewer than {limits.min_effective_rewards:,.0f}")
    if facts.largest_share > limits.max_weight_share:
        refusals.append(f"one unit has {facts.largest_share:.1%} of all weight, more than {limits.max_weight_share:.1%}")
    if facts.removed > limits.max_removed:
        refusals.append(f"{facts.removed:.1%} of the weight was cut away, more than {limits.max_removed:.1%}: it is biased by that")
    if facts.mean_p < limits.mean_weight_p:
        refusals.append(
            f"the mean weight is {facts.mean:.3f} and not 1 ({_p(facts.mean_p)}): "
            "the log does not support the policy, or propensities are wrong"
        )
    if not np.isfinite([value.low, value.high]).all():
        refusals.append("the data do not determine an interval")
    return refusals


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"

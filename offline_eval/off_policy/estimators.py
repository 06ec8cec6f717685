"""Estimators of what a policy would have earned per decision, from what another policy logged.

Throughout, over n logged rows i: r = reward, p = the log's propensity of the logged action, e = the evaluated policy's probability of it,
w = e / p the importance weight, q = predicted reward of the logged action, v = predicted reward of an action drawn from the evaluated
policy. An estimator is a smooth function of means over rows, so one bootstrap gives every interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.rewards import PredictedRewards
from offline_eval.significance import Doubles

Statistic: TypeAlias = Callable[[Doubles], Doubles]
"""Means of the columns, shape (..., m), to the estimate, shape (...)."""


@dataclass(frozen=True)
class Terms:
    """An estimator, written as a function of means over rows.

    name:    as printed
    columns: what is averaged; float64, shape (n, m)
    value:   the estimate from the m means
    weights: importance weights, whose mean is 1 where the log supports the policy; float64, shape (n, n_places); None = it uses none
    used:    what of them multiplies rewards: less than `weights` where clipped
    rewards: what they multiply; shape (n, n_places)
    """

    name: str
    columns: Doubles
    value: Statistic
    weights: Doubles | None
    used: Doubles | None
    rewards: Doubles


def default_threshold(n: int) -> float:
    """The square root of the number of rows: weights above it are cut.

    Source:
        Ionides (2008), Journal of Computational and Graphical Statistics 17(2): at this rate truncation keeps the estimate consistent.
    """
    return float(np.sqrt(n))


def ips(log: Decisions) -> Terms:
    """Inverse propensity scoring: mean of w r. Unbiased where p is right and positive wherever e is; any size of variance.

    Source:
        Horvitz & Thompson (1952), JASA 47(260); for policies Precup, Sutton & Singh (2000), ICML.
    """
    return _of(log, "IPS", [log.weights * log.rewards], _first)


def snips(log: Decisions) -> Terms:
    """Self-normalised inverse propensity scoring: sum of w r over sum of w. A weighted mean of rewards, so never outside their range;
    biased by the order of 1 / n, with less variance as a rule, and unchanged when all rewards are shifted or propensities scaled.

    Source:
        Hájek (1971), in Foundations of Statistical Inference; Swaminathan & Joachims (2015), NeurIPS.
    """
    return _of(log, "SNIPS", [log.weights * log.rewards, log.weights], _ratio)


def clipped_ips(log: Decisions, threshold: float) -> Terms:
    """Inverse propensity scoring with weights cut: mean of min(w, threshold) r. Too low, for rewards of at least 0, by what was cut.

    Source:
        Ionides (2008), Journal of Computational and Graphical Statistics 17(2); Bottou et al. (2013), JMLR 14.
    """
    used = np.minimum(log.weights, threshold)
    return _of(log, "clipped IPS", [used * log.rewards], _first, used)


def dm(log: Decisions, predicted: PredictedRewards) -> Terms:
    """Direct method: mean of v. Little variance, and all the bias that the reward model has, which nothing here can see.

    Source:
        Dudík, Langford & Li (2011), ICML.
    """
    return Terms("DM", predicted.expected[:, None], _first, None, None, log.rewards[:, None])


def dr(log: Decisions, predicted: PredictedRewards) -> Terms:
    """Doubly robust: mean of v + w (r - q). Unbiased when either propensities or predictions are right; weights multiply only what the
    model failed to predict.

    Source:
        Dudík, Langford & Li (2011), ICML; Robins, Rotnitzky & Zhao (1994), JASA 89(427).
    """
    return _of(log, "DR", [predicted.expected + log.weights * (log.rewards - predicted.logged)], _first)


def sndr(log: Decisions, predicted: PredictedRewards) -> Terms:
    """Self-normalised doubly robust: mean of v, plus sum of w (r - q) over sum of w.

    Source:
        Thomas & Brunskill (2016), ICML, weighted doubly robust at horizon 1.
    """
    correction = log.weights * (log.rewards - predicted.logged)
    return _of(log, "SNDR", [predicted.expected, correction, log.weights], _first_and_ratio)


def switch_dr(log: Decisions, predicted: PredictedRewards, threshold: float) -> Terms:
    """Doubly robust where w is at most the threshold, the direct method elsewhere: mean of v + w (r - q) [w <= threshold].

    Source:
        Wang, Agarwal & Dudík (2017), ICML, with the threshold given and not tuned on the same log.
    """
    used = np.where(log.weights <= threshold, log.weights, 0.0)
    return _of(log, "switch-DR", [predicted.expected + used * (log.rewards - predicted.logged)], _first, used)


def estimators(log: Decisions, predicted: PredictedRewards | None = None, threshold: float | None = None) -> list[Terms]:
    """All of the above; those that need predictions only where there are some. threshold: None = `default_threshold`.

    Raises:
        ValueError: the threshold is not positive, or the predictions are of another log.
    """
    cut = default_threshold(len(log)) if threshold is None else threshold
    if not cut > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    weighted = [ips(log), snips(log), clipped_ips(log, cut)]
    if predicted is None:
        return weighted
    if len(predicted.logged) != len(log):
        raise ValueError(f"the log has {len(log)} rows and {len(predicted.logged)} of them are predicted")
    return [*weighted, dm(log, predicted), dr(log, predicted), sndr(log, predicted), switch_dr(log, predicted, cut)]


def _of(log: Decisions, name: str, columns: list[Doubles], value: Statistic, used: Doubles | None = None) -> Terms:
    weights = log.weights[:, None]
    return Terms(name, np.stack(columns, axis=1), value, weights, weights if used is None else used[:, None], log.rewards[:, None])


def _first(means: Doubles) -> Doubles:
    return means[..., 0]


def _ratio(means: Doubles) -> Doubles:
    return means[..., 0] / means[..., 1]


def _first_and_ratio(means: Doubles) -> Doubles:
    return means[..., 0] + means[..., 1] / means[..., 2]

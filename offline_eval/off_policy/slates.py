"""Estimators of what a policy would have earned per list, from logged lists.

Throughout, over n logged lists i and places k = 1..K: r_k = reward of the item in place k, w_k = e_k / p_k its importance weight. A list's
value is the sum of its rewards. What w_k means depends on how the items were drawn (`Draws`), and which estimators hold on that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.estimators import Statistic, Terms
from offline_eval.significance import Doubles
from recsys.errors import DataError

Draws: TypeAlias = Literal["marginal", "conditional", "independent"]
"""What the probabilities of a row are, those of the log and of the evaluated policy alike.

marginal:    of the item in that place, whatever stands above it
conditional: of the item in that place, given the items above it
independent: both, because each place is drawn without regard to the others
"""
DRAWS: tuple[Draws, ...] = ("marginal", "conditional", "independent")


@dataclass(frozen=True)
class Slates:
    """Logged lists as parallel arrays of length n; a place that a list does not have has weight 1 and reward 0.

    units:   who received each
    weights: w_k; float64, shape (n, K)
    rewards: r_k; float64, shape (n, K)
    """

    units: NDArray[np.str_]
    weights: Doubles
    rewards: Doubles

    def __len__(self) -> int:
        return len(self.units)


def slates_of(log: Decisions, draws: Draws = "independent") -> Slates:
    """The rows of a log as lists. How long a list is must not depend on the policy: nothing here corrects for it.

    Raises:
        DataError: a list has a place twice, lacks one above its last where weights of places are multiplied (all draws but marginal), or
            went to two units.
    """
    _, first, slates = np.unique(log.slates, return_index=True, return_inverse=True)
    places, columns = np.unique(log.positions, return_inverse=True)
    cells = slates * len(places) + columns
    if len(np.unique(cells)) < len(log):
        twice = np.flatnonzero(np.bincount(cells)[cells] > 1)[:2] + 1
        raise DataError(f"rows {twice[0]} and {twice[1]} are the same place of one list; a list has each place once")
    if draws != "marginal":
        _refuse_gaps(log, slates)
    strange = log.units != log.units[first][slates]
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(
            f"row {row + 1}: unit {log.units[row]} is in a list of unit {log.units[first][slates[row]]}; a list goes to one unit"
        )
    weights, rewards = np.ones((len(first), len(places))), np.zeros((len(first), len(places)))
    weights[slates, columns], rewards[slates, columns] = log.weights, log.rewards
    return Slates(log.units[first], weights, rewards)


def _refuse_gaps(log: Decisions, slates: NDArray[np.intp]) -> None:
    """Places of a list are counted from 1, or from 0 where the log does so."""
    start = min(1, int(log.positions.min()))
    order = np.lexsort([log.positions, slates])
    starts = np.diff(slates[order], prepend=-1) > 0
    expected = np.where(starts, start, np.roll(log.positions[order], 1) + 1)
    wrong = log.positions[order] != expected
    if wrong.any():
        first = int(np.argmax(wrong))
        row = int(order[first])
        raise DataError(
            f"row {row + 1}: place {log.positions[row]} of its list (unit {log.units[row]}) is there and place {expected[first]} is not; "
            "the weight of a list is a product over its places, so all down to the last must be logged"
        )


def independent_ips(slates: Slates, *, normalised: bool = False) -> Terms:
    """Independent-position IPS: mean of sum_k w_k r_k. Needs marginal probabilities; right where the reward of a place depends on the item
    in it and not on the rest of the list.

    Source:
        Li, Abbasi-Yadkori, Kveton et al. (2018), KDD, item-position model.
    """
    return _of(slates, "IIPS", slates.weights, normalised)


def reward_interaction_ips(slates: Slates, *, normalised: bool = False) -> Terms:
    """Reward-interaction IPS: mean of sum_k (w_1 ... w_k) r_k. Needs conditional probabilities; right where the reward of a place depends
    on the items in it and above it, as where lists are read from the top.

    Source:
        McInerney, Brost, Chandar, Mehrotra & Carterette (2020), KDD; theirs is the normalised form.
    """
    return _of(slates, "RIPS", np.asarray(np.cumprod(slates.weights, axis=1), np.float64), normalised)


def slate_ips(slates: Slates, *, normalised: bool = False) -> Terms:
    """Standard IPS of whole lists: mean of (w_1 ... w_K) sum_k r_k. Assumes nothing of how places act on each other; its variance grows
    with the power of the length.

    Source:
        Horvitz & Thompson (1952), JASA 47(260), a list being one action.
    """
    whole = np.prod(slates.weights, axis=1, keepdims=True)
    return _of(slates, "SIPS", np.repeat(whole, slates.weights.shape[1], axis=1), normalised)


def pseudo_inverse(slates: Slates) -> Terms:
    """Pseudo-inverse: mean of (1 + sum_k (w_k - 1)) times the reward of the list. Right where the expected reward of the whole list is a
    sum of what its items add in their places, wherever that shows; in this closed form only where places are drawn independently.

    Source:
        Swaminathan, Krishnamurthy, Agarwal et al. (2017), NeurIPS; closed form as in Vlassis, Chandrashekar, Gil & Kallus (2021), NeurIPS.
    """
    weights = 1 + (slates.weights - 1).sum(axis=1, keepdims=True)
    rewards = slates.rewards.sum(axis=1, keepdims=True)
    return Terms("PI", weights * rewards, lambda means: means[..., 0], weights, weights, rewards)


def slate_estimators(slates: Slates, draws: Draws) -> list[Terms]:
    """The estimators that hold for how the items were drawn, each also self-normalised ("SN-"): per place, mean of W r over mean of W."""
    found = []
    if draws in ("marginal", "independent"):
        found += [independent_ips(slates), independent_ips(slates, normalised=True)]
    if draws in ("conditional", "independent"):
        found += [reward_interaction_ips(slates), reward_interaction_ips(slates, normalised=True)]
        found += [slate_ips(slates), slate_ips(slates, normalised=True)]
    return [*found, pseudo_inverse(slates)] if draws == "independent" else found


def _of(slates: Slates, name: str, weights: Doubles, normalised: bool) -> Terms:
    earned = weights * slates.rewards  # (n, n_places)
    if not normalised:
        return Terms(name, earned.sum(axis=1, keepdims=True), lambda means: means[..., 0], weights, weights, slates.rewards)
    value = _sum_of_ratios(weights.shape[1])
    return Terms(f"SN-{name}", np.concatenate([earned, weights], axis=1), value, weights, weights, slates.rewards)


def _sum_of_ratios(n_places: int) -> Statistic:
    return lambda means: (means[..., :n_places] / means[..., n_places:]).sum(axis=-1)

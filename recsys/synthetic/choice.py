"""The choice model: one for the shop's own pages and for recommendation lists, for what happened and for what would have.

    wanting  w = taste theta.phi + (tier value - price sensitivity) dearness + promotion sensitivity depth / 0.25
    utility  u = appeal + newness + w                       (on a list also what the visit is for)
    choice   P(item at position p) = p^-bias exp(u) / (exp(outside) + the same summed over the page)     multinomial logit
    purchase P(bought | chosen) = logistic(BUY + w / 2)

McFadden (1974), Conditional logit analysis of qualitative choice behavior; position weights as in Craswell et al. (2008), WSDM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.calendar import Calendar
from recsys.synthetic.catalogue import PlantedItems
from recsys.synthetic.config import Behaviour, Signals
from recsys.synthetic.customers import Customers
from recsys.types import Floats, Ints

BUY = 0.8
BUY_NEED = 0.95
"""Log odds that a chosen item of middling wanting is bought; probability that a due need is met when nothing is compared."""

ABANDONED = 0.2
"""Probability that a chosen item which is not bought is left in a cart."""

LEFT_PAGE = 0.25
"""Share of pages that the average customer leaves without choosing anything."""

INTENT, DUE = 2.0, 2.0
"""Utility on a list of an item whose type the visit is for; further utility of the very item that met the need last time."""

LIST_OUTSIDE = 5.0
"""Utility of ignoring a list, over what the spread of wanting adds to the best of many items."""

_A_QUARTER = 0.25
_STRONGEST = 70.0


@dataclass(frozen=True)
class ChoiceModel:
    """What everybody's choices follow.

    outside: utility of leaving the page of each type; float32 (n_types,)
    list_outside: utility of ignoring a list
    """

    items: PlantedItems
    calendar: Calendar
    signals: Signals
    behaviour: Behaviour
    outside: Floats
    list_outside: float

    @staticmethod
    def of(items: PlantedItems, calendar: Calendar, signals: Signals, behaviour: Behaviour) -> ChoiceModel:
        """The model whose average customer leaves LEFT_PAGE of the pages."""
        spread = (signals.taste**2 + signals.price**2 * 0.3 + signals.tier**2 * 0.3) / 2  # E exp of a normal wanting
        bias = behaviour.position_bias
        weights = [np.exp(items.appeal[page] + spread - bias * np.log(items.positions[page])).sum() for page in items.pages]
        outside = np.log(np.array(weights)) + np.log(LEFT_PAGE / (1 - LEFT_PAGE))
        return ChoiceModel(items, calendar, signals, behaviour, outside.astype(np.float32), LIST_OUTSIDE + spread)

    def wanting(self, customers: Customers, owners: Ints, weeks: NDArray[np.intp], items: Ints) -> Floats:
        """What of each item's utility is the customer's own; float32 (m, n).

        owners, weeks: rows of `customers` and weeks, (m,); items: of one page for all, (n,), or of a list for each, (m, n)
        """
        vectors = self.items.vectors[items]
        tastes = customers.tastes[owners]
        liked = tastes @ vectors.T if items.ndim == 1 else np.einsum("md,mnd->mn", tastes, vectors)
        depth = self.calendar.depth[weeks[:, None], items]
        sensitivity = customers.sensitivity[owners][:, None]
        for_dear = self.signals.tier * customers.value[owners][:, None] - self.signals.price * sensitivity
        offers = np.float32(self.behaviour.promotion / _A_QUARTER) * sensitivity * depth
        return np.asarray(self.signals.taste * liked + for_dear * self.items.dearness[items] + offers, np.float32)

    def page_weights(self, wanting: Floats, weeks: NDArray[np.intp], page: Ints) -> Floats:
        """Logit weights of the items of a type's page, exp(u) p^-bias; float32 (m, n)."""
        same = self.items.appeal[page] - self.behaviour.position_bias * np.log(self.items.positions[page])
        return _weights(wanting + same + self.calendar.newness[weeks[:, None], page])

    def list_weights(self, wanting: Floats, weeks: NDArray[np.intp], lists: Ints, intent: Floats) -> Floats:
        """Logit weights of the items of lists, first position first; float32 (m, k). intent: INTENT and DUE where they apply, (m, k)."""
        biased = -self.behaviour.position_bias * np.log(np.arange(1, lists.shape[1] + 1))
        utility = wanting + self.items.appeal[lists] + self.calendar.newness[weeks[:, None], lists] + intent + biased
        return _weights(utility)


def _weights(utility: NDArray[np.floating]) -> Floats:
    """exp(u) within what a float32 can hold and sum; only the strongest settings come so far."""
    return np.asarray(np.exp(np.clip(utility, -_STRONGEST, _STRONGEST)), np.float32)


def buying(wanting: Floats) -> Floats:
    """Probability that a chosen item is bought."""
    return np.asarray(1 / (1 + np.exp(-(BUY + wanting / 2))), np.float32)


def choice_probabilities(weights: Floats, outside: Floats) -> Floats:
    """Multinomial logit: the probability of each item, (m, n); outside: utilities (m,) or a scalar array."""
    return np.asarray(weights / (weights.sum(axis=1, keepdims=True) + np.exp(outside).reshape(-1, 1)), np.float32)


def race(weights: Floats, outside: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Finishing times of an exponential race, (m, n), and whether anything beat the outside option, (m,).

    The first to finish is a draw of the multinomial logit, the order of finishing one of the Plackett-Luce model.
    """
    times = rng.standard_exponential(weights.shape, np.float32) / weights
    left_at = rng.standard_exponential(len(weights), np.float32) / np.exp(outside)
    return times, times.min(axis=1) < left_at

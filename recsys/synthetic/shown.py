"""Recommendation lists that the shop showed at the start of some visits, chosen with known probabilities, and what came of them.

The logging policy: the items on sale, in the shop's own order, are dealt into as many pools as a list has places; each place draws from its
pool with weights rank to the minus one half. So no item stands twice in a list, and a propensity is exact.

On a list an item is bought, once chosen, as on a page where it is what the visit is for; if it is not, its wanting counts INTENT less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.behaviour import Purchases, Scene
from recsys.synthetic.choice import ABANDONED, DUE, INTENT, buying, choice_probabilities
from recsys.synthetic.visits import NEED, SHOWN, Missions
from recsys.types import Flags, Floats, Ints

PLACES = 6


@dataclass(frozen=True)
class Shown:
    """Lists as parallel arrays of length n, by visit.

    visits:        rows of Visits, each at most once
    items:         int32 (n, PLACES); propensities: of each item at its place, float32 (n, PLACES)
    probabilities: true probability that each is chosen from this list; float32 (n, PLACES)
    buying:        true probability that it is bought once chosen; float32 (n, PLACES)
    chosen:        place of the item that was looked at, -1 = none; int32
    bought:        whether it was bought; carted: whether it was put into the cart, as all that was bought; bool
    """

    visits: NDArray[np.intp]
    items: Ints
    propensities: Floats
    probabilities: Floats
    buying: Floats
    chosen: Ints
    bought: Flags
    carted: Flags

    def __len__(self) -> int:
        return len(self.visits)

    @property
    def purchases(self) -> Purchases:
        """Lines bought from lists."""
        rows = np.flatnonzero(self.bought)
        n = len(rows)
        nothing = np.full(n, -1)
        listed = self.items[rows, self.chosen[rows]]
        return Purchases(self.visits[rows], nothing, listed, np.full(n, SHOWN, np.int8), nothing.astype(np.int32))


def draw_shown(scene: Scene, missions: Missions, last_met: Ints, by_pages: Purchases, rng: np.random.Generator) -> Shown:
    """Lists and answers.

    last_met: item that met each mission's need last time, -1 = none; (n_missions,)
    by_pages: lines bought from pages; whoever has a durable item from an earlier visit does not buy it again
    """
    n_visits = len(scene.visits)
    visits = np.flatnonzero(rng.random(n_visits) < scene.model.behaviour.shown)
    items, propensities = _logged_lists(scene, visits, rng)
    chances, likely = answer_probabilities(scene, visits, items, intents(scene, missions, last_met, visits, items))
    chosen = _choose(chances, rng)
    rows = np.flatnonzero(chosen >= 0)
    keen = np.zeros(len(visits), np.bool_)
    keen[rows] = rng.random(len(rows)) < likely[rows, chosen[rows]]
    left = rng.random(len(visits)) < ABANDONED
    has = _first_visits(scene, by_pages.visits, by_pages.items)
    owned = _is_owned(scene, has, visits, items)
    sold = keen & ~np.take_along_axis(owned, np.maximum(chosen, 0)[:, None], axis=1)[:, 0]
    by_lists = _first_visits(scene, visits[sold], items[sold, chosen[sold]])
    owned |= _is_owned(scene, by_lists, visits, items)  # bought from an earlier list
    bought = keen & ~np.take_along_axis(owned, np.maximum(chosen, 0)[:, None], axis=1)[:, 0]
    likely = np.where(owned, 0, likely).astype(np.float32)
    return Shown(visits, items, propensities, chances, likely, chosen, bought, bought | ((chosen >= 0) & left))


def answer_probabilities(scene: Scene, visits: NDArray[np.intp], lists: Ints, intent: Floats) -> tuple[Floats, Floats]:
    """The true answer to lists: the probability that each item is chosen, and that it is bought once chosen; float32 (m, k) each.

    lists: item numbers, first place first, (m, k); -1 = the list is shorter
    intent: see `intents`
    """
    weeks = scene.model.calendar.weeks(scene.visits.days[visits])
    is_item = lists >= 0
    items = np.where(is_item, lists, 0)
    wanting = scene.model.wanting(scene.customers, scene.visits.owners[visits], weeks, items)
    weights = np.where(is_item, scene.model.list_weights(wanting, weeks, items, intent), 0).astype(np.float32)
    return choice_probabilities(weights, np.full(1, scene.model.list_outside, np.float32)), buying(wanting + intent - INTENT)


def intents(scene: Scene, missions: Missions, last_met: Ints, visits: NDArray[np.intp], lists: Ints) -> Floats:
    """What of each listed item's utility is what the visit is for: INTENT for its types, and DUE for the item of a due need; (m, k)."""
    types = scene.model.items.true.types
    n_types = len(scene.model.items.types)
    wanted_types = np.unique(missions.visits * n_types + missions.types)
    by_type = np.isin(visits[:, None] * n_types + types[lists], wanted_types)
    n_items = len(scene.model.items)
    due = (missions.causes == NEED) & (last_met >= 0)
    by_item = np.isin(visits[:, None] * n_items + lists, np.unique(missions.visits[due] * n_items + last_met[due]))
    return (INTENT * by_type + DUE * by_item).astype(np.float32)


def _logged_lists(scene: Scene, visits: NDArray[np.intp], rng: np.random.Generator) -> tuple[Ints, Floats]:
    """What the logging policy showed, and how likely each item was at its place."""
    items, weeks = scene.model.items, scene.model.calendar.weeks(scene.visits.days[visits])
    order = np.argsort(-items.rating, kind="stable").astype(np.int32)
    lists, chances = np.zeros((len(visits), PLACES), np.int32), np.zeros((len(visits), PLACES), np.float32)
    for week in np.unique(weeks):
        mine = np.flatnonzero(weeks == week)
        there = order[items.launch_day[order] <= 7 * week]
        for place in range(PLACES):
            pool = there[place::PLACES]
            weight = 1 / np.sqrt(np.arange(1, len(pool) + 1))
            drawn = rng.choice(len(pool), len(mine), p=weight / weight.sum())
            lists[mine, place], chances[mine, place] = pool[drawn], (weight / weight.sum())[drawn]
    return lists, chances


def _first_visits(scene: Scene, visits: NDArray[np.intp], items: Ints) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Durable items that customers bought, as sorted keys of owner and item, and the first visit with each."""
    durable = scene.model.items.is_durable[items]
    keys = scene.visits.owners[visits[durable]].astype(np.int64) * len(scene.model.items) + items[durable]
    order = np.lexsort((visits[durable], keys))
    found, first = np.unique(keys[order], return_index=True)
    return found, visits[durable][order][first]


def _is_owned(scene: Scene, has: tuple[NDArray[np.int64], NDArray[np.intp]], visits: NDArray[np.intp], lists: Ints) -> NDArray[np.bool_]:
    """Listed items that the customer has from an earlier visit; (m, k)."""
    keys, first = has
    if not len(keys):
        return np.zeros(lists.shape, np.bool_)
    asked = scene.visits.owners[visits].astype(np.int64)[:, None] * len(scene.model.items) + lists
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.asarray((keys[at] == asked) & (first[at] < visits[:, None]))


def _choose(probabilities: Floats, rng: np.random.Generator) -> Ints:
    """A place of each list, -1 = none, by the inverse of the cumulative probabilities."""
    drawn = rng.random(len(probabilities))[:, None]
    place = (probabilities.cumsum(axis=1) <= drawn).sum(axis=1)
    return np.where(place < probabilities.shape[1], place, -1).astype(np.int32)

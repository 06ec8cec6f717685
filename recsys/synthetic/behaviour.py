"""What a block of customers did: the pages and lists they saw, what they looked at, what they bought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.calendar import NOT_LAUNCHED
from recsys.synthetic.choice import ABANDONED, BUY_NEED, ChoiceModel, buying, race
from recsys.synthetic.customers import Customers
from recsys.synthetic.visits import COMPLEMENT, NEED, Missions, Needs, Visits
from recsys.types import Flags, Floats, Ints

MAX_VIEWS = 5
_CELLS = 4_000_000
"""Logit weights computed at once: 16 MB."""


@dataclass(frozen=True)
class Scene:
    """A block of customers on their visits, before they meet an item."""

    model: ChoiceModel
    customers: Customers
    visits: Visits
    needs: Needs


@dataclass(frozen=True)
class Picks:
    """What came of each mission, as parallel arrays.

    chosen:  item that the page's logit chose, -1 = left without; int32
    bought:  whether it was bought; carted: whether it was put into the cart, as all that was bought; bool
    viewed:  items looked at, in order, -1 = no more; the chosen one is among them; int32 (n, MAX_VIEWS)
    """

    chosen: Ints
    bought: Flags
    carted: Flags
    viewed: Ints

    def then(self, more: Picks) -> Picks:
        """These, then others."""
        return Picks(*(np.concatenate([mine, theirs]) for mine, theirs in zip(vars(self).values(), vars(more).values(), strict=True)))


@dataclass(frozen=True)
class Purchases:
    """Lines bought, as parallel arrays. visits: rows of Visits; missions: rows of Missions, -1 = from a list; items: int32; causes: int8;
    needs: rows of Needs, -1 = none; int32.
    """

    visits: NDArray[np.intp]
    missions: NDArray[np.intp]
    items: Ints
    causes: NDArray[np.int8]
    needs: Ints

    def __len__(self) -> int:
        return len(self.visits)

    def take(self, rows: NDArray[np.intp] | Flags) -> Purchases:
        """The given lines."""
        return Purchases(*(column[rows] for column in vars(self).values()))


def pick_all(scene: Scene, missions: Missions, rng: np.random.Generator) -> tuple[Missions, Picks]:
    """Picks of every mission, and of the complements that its purchases lead on to, which are added to the missions."""
    picks = _pick(scene, missions, rng)
    _meet_needs(scene.model, missions, picks, rng)
    more = _complements(scene.model, missions, picks, rng)
    return missions.then(more), picks.then(_pick(scene, more, rng))


def purchases_of(missions: Missions, picks: Picks) -> Purchases:
    """The lines bought by missions."""
    bought = picks.bought
    return Purchases(missions.visits[bought], np.flatnonzero(bought), picks.chosen[bought], missions.causes[bought], missions.needs[bought])


def without_repeats(purchases: Purchases, visits: Visits, is_durable: Flags) -> Flags:
    """Lines that stay: a durable item is bought once by a customer, and an item once per visit; the first line counts."""
    owners, items = visits.owners[purchases.visits], purchases.items
    order = np.lexsort((purchases.visits, items, owners))  # visits of an owner are numbered in time
    same_item = np.zeros(len(order), np.bool_)
    same_item[1:] = (np.diff(owners[order]) == 0) & (np.diff(items[order]) == 0)
    same_visit = np.zeros(len(order), np.bool_)
    same_visit[1:] = np.diff(purchases.visits[order]) == 0
    stays = np.empty(len(order), np.bool_)
    stays[order] = ~(same_item & (same_visit | is_durable[items[order]]))
    return stays


def _pick(scene: Scene, missions: Missions, rng: np.random.Generator) -> Picks:
    """A page, a choice and a decision for each mission, type by type."""
    n = len(missions)
    picks = Picks(np.full(n, -1, np.int32), np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.full((n, MAX_VIEWS), -1, np.int32))
    order = np.argsort(missions.types, kind="stable")
    pages = scene.model.items.pages
    ends = np.searchsorted(missions.types[order], np.arange(len(pages) + 1))
    for kind, page in enumerate(pages):
        mine = order[ends[kind] : ends[kind + 1]]
        step = max(1, _CELLS // len(page))
        for start in range(0, len(mine), step):
            _pick_on_page(scene, missions, mine[start : start + step], kind, picks, rng)
    return picks


def _pick_on_page(scene: Scene, missions: Missions, rows: NDArray[np.intp], kind: int, picks: Picks, rng: np.random.Generator) -> None:
    """Fills the rows of `picks`, whose missions are all of one type."""
    model, page, at = scene.model, scene.model.items.pages[kind], missions.visits[rows]
    weeks = model.calendar.weeks(scene.visits.days[at])
    wanting = model.wanting(scene.customers, scene.visits.owners[at], weeks, page)
    times, any_chosen = race(model.page_weights(wanting, weeks, page), np.full(1, model.outside[kind]), rng)
    chosen = times.argmin(axis=1)
    chosen_wanting = wanting[np.arange(len(rows)), chosen]
    is_need = missions.causes[rows] == NEED
    any_chosen |= is_need
    likely = np.where(is_need, BUY_NEED, buying(chosen_wanting))
    picks.chosen[rows] = np.where(any_chosen, page[chosen], -1)
    picks.bought[rows] = any_chosen & (rng.random(len(rows)) < likely)
    picks.carted[rows] = picks.bought[rows] | (any_chosen & (rng.random(len(rows)) < ABANDONED))
    n_views = np.minimum(any_chosen + rng.poisson(model.behaviour.views_per_mission, len(rows)) * ~is_need, MAX_VIEWS)
    n_views = np.minimum(n_views, (model.calendar.newness[weeks[:, None], page] > NOT_LAUNCHED).sum(axis=1))
    picks.viewed[rows] = _first_to_finish(times, page, n_views)


def _first_to_finish(times: Floats, page: Ints, n: NDArray[np.integer]) -> Ints:
    """The first n of each row to finish, best last: who buys has looked around before; -1 where there are no more; (m, MAX_VIEWS)."""
    width = min(MAX_VIEWS, times.shape[1])
    if width < times.shape[1]:
        first = np.argpartition(times, width - 1, axis=1)[:, :width]
    else:
        first = np.broadcast_to(np.arange(width), (len(times), width))
    ranked = np.take_along_axis(first, np.argsort(np.take_along_axis(times, first, 1), axis=1), 1)
    backwards = n[:, None] - 1 - np.arange(MAX_VIEWS)[None, :]
    seen = page[np.take_along_axis(ranked, np.clip(backwards, 0, width - 1), 1)]
    return np.where((backwards >= 0) & (backwards < width), seen, -1).astype(np.int32)


def _meet_needs(model: ChoiceModel, missions: Missions, picks: Picks, rng: np.random.Generator) -> None:
    """A due need is met with the item of last time, unless the customer looks around again, as the first time."""
    rows = np.flatnonzero(missions.causes == NEED)
    rows = rows[np.lexsort((missions.visits[rows], missions.needs[rows]))]
    of = missions.needs[rows]
    is_first = np.diff(of, prepend=-1) != 0
    looks_around = is_first | (rng.random(len(rows)) >= model.behaviour.loyalty)
    latest = np.maximum.accumulate(np.where(looks_around, np.arange(len(rows)), 0))
    picks.chosen[rows] = picks.chosen[rows][latest]
    picks.viewed[rows[~looks_around]] = -1  # bought from the list of past orders


def _complements(model: ChoiceModel, missions: Missions, picks: Picks, rng: np.random.Generator) -> Missions:
    """What purchases lead on to, in the same visit."""
    goes_on = picks.bought & (rng.random(len(missions)) < model.behaviour.complements)
    following = model.items.types.complement[missions.types]
    rows = np.flatnonzero(goes_on & (following >= 0))
    return Missions.of(missions.visits[rows], following[rows].astype(np.int32), COMPLEMENT)


def last_met(missions: Missions, picks: Picks) -> Ints:
    """The item that met each mission's need the time before; -1 = never yet, or no need; int32 (n_missions,)."""
    rows = np.flatnonzero(missions.causes == NEED)
    rows = rows[np.lexsort((missions.visits[rows], missions.needs[rows]))]
    is_later = np.diff(missions.needs[rows], prepend=-1) == 0
    before = np.full(len(missions), -1, np.int32)
    before[rows[is_later]] = picks.chosen[rows[np.flatnonzero(is_later) - 1]]
    return before

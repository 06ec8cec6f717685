"""The best that anybody could know at a time: what customers will buy and spend, and whether they will come, by the true model.

The oracle knows every parameter and all that happened before the time, and nothing that happens after it. Its expectations are closed
forms of the model in `choice` and `visits`. Left out, and small: purchases from logged lists (`behaviour.shown`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from recsys.synthetic.choice import BUY_NEED, buying, choice_probabilities
from recsys.synthetic.leaving import Leaving
from recsys.synthetic.visits import NEED, NEED_SHAPE, TYPE_TASTE, any_success, missions_expected, type_utilities
from recsys.synthetic.world import Block, World
from recsys.types import Floats, Ints

PIECES = 1.35
"""Mean quantity of a line of what runs out; a durable item is bought singly."""

BOUGHT_BEFORE, BOUGHT_TOGETHER, PERSONA, TASTE, POPULAR = "bought_before", "bought_together", "persona", "taste", "popular"
"""Why an item is likely to be bought, see `Oracle.causes`."""


@dataclass(frozen=True)
class Expected:
    """Expected purchases in the horizon by cause, apart from what is owned already; float32 (m, n_items) each.

    explored: looked for; followed: complements of other purchases; needed: probability of meeting a need with it, below 1
    """

    explored: Floats
    followed: Floats
    needed: Floats

    @property
    def total(self) -> Floats:
        """Rate whose first event is a purchase; the needed part as a rate that makes its probability."""
        return np.asarray(self.explored + self.followed - np.log1p(-np.minimum(self.needed, 0.999)), np.float32)


@dataclass(frozen=True)
class Oracle:
    """What the true model expects of one block's customers in [day, day + horizon_days), given all before `day`.

    `owners` are rows of the block, int32 (m,); matrices take m times n_items times 4 bytes a few times over.
    """

    world: World
    block: Block
    day: float
    horizon_days: float

    def purchase_probabilities(self, owners: Ints) -> Floats:
        """Probability of buying each item at least once; float32 (m, n_items). Best first, this is the best ranking there can be."""
        here = self._leaving.still_here(owners)
        share = self._alive(owners) / np.maximum(here, 1e-12)  # of the horizon, in which those who are here come
        return np.asarray(here[:, None] * -np.expm1(-share[:, None] * self.expected(owners).total), np.float32)

    def expected_spend(self, owners: Ints) -> NDArray[np.float64]:
        """Money expected from each customer; (m,)."""
        expected, items, alive = self.expected(owners), self.world.model.items, self._alive(owners)
        looked_for = alive[:, None] * (expected.explored + expected.followed)
        pieces = np.where(items.is_durable, -np.expm1(-looked_for), PIECES * looked_for)  # what lasts is bought once
        return np.asarray(pieces @ (items.prices * self._price_paid()) + alive * self._spent_on_needs(owners, expected.needed))

    def no_purchase(self, owners: Ints) -> NDArray[np.float64]:
        """Probability that each customer buys nothing; (m,)."""
        return self._leaving.no_purchase(owners, self._buying_visits(owners))

    def expected(self, owners: Ints) -> Expected:
        """Purchases expected of customers who stay."""
        by_type, explored, _ = self._explored(owners)
        types = self.world.model.items.types
        needed = self._needed(owners)
        bought = self._by_type(explored) + self._by_type(needed)  # (m, n_types)
        sent = np.zeros_like(by_type)
        has = np.flatnonzero(types.complement >= 0)
        np.add.at(sent.T, types.complement[has], self.world.config.behaviour.complements * bought[:, has].T)
        followed = explored * (sent / np.maximum(by_type, 1e-12))[:, self.world.model.items.true.types]
        owned = self._owned(owners)
        return Expected(*(np.where(owned, 0, part).astype(np.float32) for part in (explored, followed, needed)))

    def causes(self, owners: Ints) -> NDArray[np.str_]:
        """The chief cause of each customer's likelihood of buying each item; (m, n_items).

        A need or a complement that makes up half of the rate is the cause. Else it is what adds most to the utility of item and type:
        what the persona likes, what the customer alone likes, or what everybody likes.
        """
        expected, items, signals = self.expected(owners), self.world.model.items, self.world.config.signals
        customers = self.block.scene.customers
        shared = np.sqrt(signals.segment) * self.world.personas.tastes[customers.personas[owners]]
        seen = items.vectors + TYPE_TASTE * items.types.vectors[items.true.types]
        parts = {
            PERSONA: signals.taste * shared @ seen.T if signals.segment else np.full(expected.total.shape, -np.inf),
            TASTE: signals.taste * (customers.tastes[owners] - shared) @ seen.T,
            POPULAR: np.broadcast_to(items.appeal + items.types.appeal[items.true.types], (len(owners), len(items))),
        }
        chief = np.array(list(parts))[np.stack(list(parts.values())).argmax(axis=0)]
        half = expected.total / 2
        chief = np.where(expected.followed > half, BOUGHT_TOGETHER, chief)
        return np.where(-np.log1p(-np.minimum(expected.needed, 0.999)) > half, BOUGHT_BEFORE, chief)

    @property
    def _window(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Weeks of the horizon, and the busy days of each within it."""
        calendar = self.world.model.calendar
        edges = np.unique(np.clip(np.append(np.arange(calendar.n_weeks + 1) * 7.0, [self.day, self._end]), self.day, self._end))
        return calendar.weeks(edges[:-1]), np.diff(calendar.busy_days(edges))

    @property
    def _end(self) -> float:
        return min(self.day + self.horizon_days, float(self.world.config.n_days))

    @cached_property
    def _leaving(self) -> Leaving:
        return Leaving(self.world, self.block, self.day, self._end)

    def _alive(self, owners: Ints) -> NDArray[np.float64]:
        """Expected share of the horizon's busy days in which each customer still comes."""
        return self._leaving.expected_share(owners)

    def _explored(self, owners: Ints) -> tuple[Floats, Floats, Floats]:
        """What is looked for: missions by type, (m, n_types), lines by item, (m, n_items), and the share of missions that succeed, (m,).

        An item counts once per visit, so its lines are visits in which at least one mission ends with it.
        """
        world, customers = self.world, self.block.scene.customers
        utilities = type_utilities(customers.take(owners.astype(np.intp)), world.model.items.types, world.config.signals)
        mean, visits = customers.missions[owners][:, None], customers.visits[owners][:, None]
        succeeded = np.zeros(len(owners), np.float32)
        by_type = np.zeros((len(owners), len(world.model.items.types)), np.float32)
        by_item = np.zeros((len(owners), len(world.model.items)), np.float32)
        for week, busy_days in zip(*self._window, strict=True):
            weight = np.exp(utilities + world.model.calendar.season[week])
            share = weight / weight.sum(axis=1, keepdims=True)
            looked_for = visits * busy_days * missions_expected(mean) * share
            by_type += looked_for
            for kind, page in enumerate(world.model.items.pages):
                chosen, likely = self._page(owners, week, kind)
                succeeded += looked_for[:, kind] * (chosen * likely).sum(axis=1)
                by_item[:, page] += visits * busy_days * any_success(mean, share[:, [kind]] * chosen * likely)
        return by_type, by_item, succeeded / np.maximum(by_type.sum(axis=1), 1e-12)

    def _page(self, owners: Ints, week: int, kind: int, *, must_choose: bool = False) -> tuple[Floats, Floats]:
        """Probability that each item of a type's page is chosen, and bought once chosen; (m, n_page) each."""
        model, weeks = self.world.model, np.full(len(owners), week)
        page = model.items.pages[kind]
        wanting = model.wanting(self.block.scene.customers, owners, weeks, page)
        outside = np.full(1, -np.inf if must_choose else model.outside[kind])
        return choice_probabilities(model.page_weights(wanting, weeks, page), outside), buying(wanting)

    def _needed(self, owners: Ints) -> Floats:
        """Probability that a need is met with each item, (m, n_items): the item of last time, or one that the page's logit chooses."""
        items, week = self.world.model.items, int(self._window[0][0])
        loyalty = self.world.config.behaviour.loyalty
        needed = np.zeros((len(owners), len(items)), np.float32)
        rows, places = self._own_needs(owners)
        met = self._met(rows) * BUY_NEED
        last = self._last_item[rows]
        looks = np.where(last >= 0, 1 - loyalty, 1.0)
        types = self.block.scene.needs.types[rows]
        for kind in np.unique(types):
            mine = np.flatnonzero(types == kind)
            chosen, _ = self._page(owners[places[mine]], week, kind, must_choose=True)
            needed[places[mine, None], items.pages[kind]] += (met * looks)[mine, None] * chosen
        known = np.flatnonzero(last >= 0)
        np.add.at(needed, (places[known], last[known]), (met * loyalty)[known])
        return needed

    def _own_needs(self, owners: Ints) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of Needs of the given customers, and the place of each one's customer among them."""
        needs = self.block.scene.needs
        place = np.full(len(self.block.scene.customers), -1)
        place[owners] = np.arange(len(owners))
        rows = np.flatnonzero(place[needs.owners] >= 0)
        return rows, place[needs.owners[rows]]

    def _met(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Probability that each need falls due and is met by a visit within the horizon, if the customer stays.

        A due that no visit has met yet is pending: any visit meets it. One still to come is met by a visit after it, which for
        a due at a random moment of the horizon has probability 1 - (1 - exp(-v)) / v with v expected visits.
        """
        needs, customers = self.block.scene.needs, self.block.scene.customers
        owners, cycle, horizon = needs.owners[rows], needs.cycle_days[rows], self._end - self.day
        visits = np.maximum(customers.visits[owners] * self._window[1].sum(), 1e-9)
        any_visit = -np.expm1(-visits)
        since = (self.day - self._last_due[rows]) / cycle
        gone = _renewal_cdf(since)
        falls_due = (_renewal_cdf(since + horizon / cycle) - gone) / np.maximum(1 - gone, 1e-9)
        falls_due = np.where(np.isinf(self._last_due[rows]), self._first_falls_due(rows), falls_due)
        return np.asarray(np.where(self._is_pending[rows], any_visit, falls_due * (1 - any_visit / visits)))

    @cached_property
    def _last_due(self) -> NDArray[np.float64]:
        """Day on which each need fell due last; -inf = not yet."""
        last = np.full(len(self.block.scene.needs), -np.inf)
        past = self.block.dues.days < self.day
        np.maximum.at(last, self.block.dues.needs[past], self.block.dues.days[past])
        return last

    def _first_falls_due(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The same of needs that never fell due: the first due is uniform over the cycle after arrival, and is not past."""
        needs, customers = self.block.scene.needs, self.block.scene.customers
        arrival = np.maximum(customers.arrival, 0)[needs.owners[rows]]
        earliest, latest = np.maximum(arrival, self.day), arrival + needs.cycle_days[rows]
        return np.asarray(np.clip((self._end - earliest) / np.maximum(latest - earliest, 1e-9), 0, 1))

    @cached_property
    def _is_pending(self) -> NDArray[np.bool_]:
        """Needs that fell due after their owner's last visit."""
        return self._last_due > self._leaving.last_visit[self.block.scene.needs.owners]

    @cached_property
    def _last_item(self) -> Ints:
        """The item that met each need last; -1 = none yet."""
        missions, days = self.block.missions, self.block.scene.visits.days
        rows = np.flatnonzero((missions.causes == NEED) & (days[missions.visits] < self.day))
        rows = rows[np.argsort(missions.visits[rows], kind="stable")]
        last = np.full(len(self.block.scene.needs), -1, np.int32)
        last[missions.needs[rows]] = self.block.picks.chosen[rows]  # later visits are written later
        return last

    def _owned(self, owners: Ints) -> NDArray[np.bool_]:
        """Durable items that each customer has bought; (m, n_items)."""
        visits, purchases = self.block.scene.visits, self.block.purchases
        past = (visits.days[purchases.visits] < self.day) & self.world.model.items.is_durable[purchases.items]
        place = np.full(len(self.block.scene.customers), -1)
        place[owners] = np.arange(len(owners))
        rows = place[visits.owners[purchases.visits[past]]]
        owned = np.zeros((len(owners), len(self.world.model.items)), np.bool_)
        owned[rows[rows >= 0], purchases.items[past][rows >= 0]] = True
        return owned

    def _buying_visits(self, owners: Ints) -> NDArray[np.float64]:
        """Expected visits with a purchase per busy day, if the customer stays."""
        customers = self.block.scene.customers
        _, _, success = self._explored(owners)
        needs = np.bincount(self.block.scene.needs.owners, 1 / self.block.scene.needs.cycle_days, len(customers))[owners]
        nothing_met = np.exp(-BUY_NEED * needs / customers.visits[owners])
        nothing_found = 1 - any_success(customers.missions[owners], success)
        return np.asarray(customers.visits[owners] * (1 - nothing_found * nothing_met))

    def _spent_on_needs(self, owners: Ints, needed: Floats) -> NDArray[np.float64]:
        """Money expected for needs, met with items in the shares of `needed`: a due is met unless the next one comes before a visit."""
        rows, places = self._own_needs(owners)
        needs = self.block.scene.needs
        owner, kind, cycle = needs.owners[rows], needs.types[rows], needs.cycle_days[rows]
        missed = (1 + self.block.scene.customers.visits[owner] * cycle / NEED_SHAPE) ** -NEED_SHAPE  # mean over gamma intervals
        paid = self.world.model.items.prices * self._price_paid()
        price = (self._by_type(needed * paid) / np.maximum(self._by_type(needed), 1e-30))[places, kind]
        meetings = (self._end - self.day) / cycle * (1 - missed)
        return np.bincount(places, meetings * BUY_NEED * PIECES * price, len(owners)).astype(np.float64)

    def _price_paid(self) -> Floats:
        """Share of its price that each item costs in the horizon, (n_items,)."""
        return np.asarray(1 - self.world.model.calendar.depth[self._window[0]].mean(axis=0), np.float32)

    def _by_type(self, by_item: Floats) -> Floats:
        pages = self.world.model.items.pages
        return np.stack([by_item[:, page].sum(axis=1) for page in pages], axis=1)


def _renewal_cdf(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that an interval is shorter than so many mean intervals."""
    return np.asarray(gammainc(NEED_SHAPE, NEED_SHAPE * np.maximum(np.nan_to_num(cycles, posinf=1e6), 0)))

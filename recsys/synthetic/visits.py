"""When customers come, and what they come for: visits, needs that fall due, and the missions of each visit.

Visits are a Poisson process in busyness-weighted time between arrival and churn. Each need falls due by a renewal process of its own
(gamma intervals, shape NEED_SHAPE) and is met at the next visit. Beside due needs a visit has a negative binomial number of missions,
one at least; what it looks for is drawn by multinomial logit over the types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.calendar import Calendar
from recsys.synthetic.catalogue import Types
from recsys.synthetic.config import Behaviour, Signals
from recsys.synthetic.customers import Customers
from recsys.types import Floats, Ints

NEED_SHAPE = 6.0
MISSION_SHAPE = 0.33
"""Shapes of the intervals between dues, and of the number of missions: the smaller, the more they vary."""

TYPE_TASTE = 0.6
"""What taste adds to utility between types, as a share of what it adds within them."""

EXPLORE, NEED, COMPLEMENT, SHOWN = 0, 1, 2, 3
CAUSES = ("explore", "need", "complement", "shown")
"""Why a mission came up, by code."""

_MAX_NEEDS = 30
_CHUNK = 32_768


@dataclass(frozen=True)
class Visits:
    """Visits as parallel arrays, by owner and then by day. owners: rows of the block; days: since the world's first."""

    owners: Ints
    days: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.owners)

    def after(self, owners: NDArray[np.integer], days: NDArray[np.float64]) -> NDArray[np.intp]:
        """The first visit of each owner at or after each day; -1 = none."""
        horizon = 1e5  # days; longer than any world
        at = np.searchsorted(self.owners * horizon + self.days, owners * horizon + days)
        found = np.minimum(at, max(len(self) - 1, 0))
        is_own = (at < len(self)) & (self.owners[found] == owners) if len(self) else np.zeros(len(at), np.bool_)
        return np.where(is_own, found, -1)


@dataclass(frozen=True)
class Needs:
    """What customers buy again and again, as parallel arrays by owner.

    owners: rows of the block; types: int32; cycle_days: mean time between dues; first_due: day, at or after arrival; float64
    """

    owners: Ints
    types: Ints
    cycle_days: NDArray[np.float64]
    first_due: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.owners)


@dataclass(frozen=True)
class Dues:
    """Times at which needs fell due, as parallel arrays by need and then by day. needs: rows of Needs; days: float64."""

    needs: NDArray[np.intp]
    days: NDArray[np.float64]


@dataclass(frozen=True)
class Missions:
    """Types looked for during visits, as parallel arrays. causes: codes of CAUSES, int8; needs: rows of Needs, -1 = none; int32."""

    visits: NDArray[np.intp]
    types: Ints
    causes: NDArray[np.int8]
    needs: Ints

    def __len__(self) -> int:
        return len(self.visits)

    @staticmethod
    def of(visits: NDArray[np.intp], types: Ints, cause: int, needs: Ints | None = None) -> Missions:
        """Missions of one cause."""
        n = len(visits)
        return Missions(visits, types, np.full(n, cause, np.int8), np.full(n, -1, np.int32) if needs is None else needs)

    def then(self, more: Missions) -> Missions:
        """These, then others."""
        return Missions(*(np.concatenate([mine, theirs]) for mine, theirs in zip(vars(self).values(), vars(more).values(), strict=True)))


def draw_visits(customers: Customers, calendar: Calendar, rng: np.random.Generator) -> Visits:
    """Every visit within the history."""
    came = calendar.busy_days(np.clip(customers.arrival, 0, calendar.n_days))
    left = calendar.busy_days(np.clip(customers.churn, 0, calendar.n_days))
    owners = np.repeat(np.arange(len(customers), dtype=np.int32), rng.poisson(customers.visits * np.maximum(left - came, 0)))
    busy = came[owners] + rng.random(len(owners)) * (left - came)[owners]
    order = np.lexsort((busy, owners))
    return Visits(owners[order], np.floor(calendar.days_at(busy[order]) * 1440) / 1440)


def type_utilities(customers: Customers, types: Types, signals: Signals) -> Floats:
    """What each customer sees in each type, apart from its season; float32 (n_customers, n_types)."""
    return np.asarray(types.appeal + TYPE_TASTE * signals.taste * (customers.tastes @ types.vectors.T), np.float32)


def draw_needs(customers: Customers, types: Types, utilities: Floats, behaviour: Behaviour, rng: np.random.Generator) -> Needs:
    """Needs are types that run out, the likelier the more the customer likes them, none twice."""
    consumable = np.flatnonzero(~np.isnan(types.cycle_days))
    wanted = np.minimum(rng.poisson(behaviour.needs, len(customers)), min(len(consumable), _MAX_NEEDS))
    race = rng.standard_exponential((len(customers), len(consumable)), np.float32) / np.exp(utilities[:, consumable])
    first = np.argsort(race, axis=1)
    owners = np.repeat(np.arange(len(customers), dtype=np.int32), wanted)
    place = np.arange(len(owners)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    kinds = consumable[first[owners, place]].astype(np.int32)
    cycle = types.cycle_days[kinds] * np.exp(0.35 * rng.standard_normal(len(owners)))
    since = np.maximum(customers.arrival[owners], 0)
    return Needs(owners, kinds, cycle, since + cycle * rng.random(len(owners)))


def draw_missions(
    customers: Customers, visits: Visits, needs: Needs, dues: Dues, utilities: Floats, calendar: Calendar, rng: np.random.Generator
) -> Missions:
    """What every visit is for, complements aside: they follow from what was bought. What fell due twice before a visit is met once."""
    visited = visits.after(needs.owners[dues.needs], dues.days)
    met = np.unique(np.stack([dues.needs, visited], axis=1)[visited >= 0], axis=0)
    due = Missions.of(met[:, 1], needs.types[met[:, 0]], NEED, met[:, 0].astype(np.int32))
    mean = customers.missions[visits.owners]
    n_more = np.maximum(1, rng.negative_binomial(MISSION_SHAPE, MISSION_SHAPE / (MISSION_SHAPE + mean)))
    explored = np.repeat(np.arange(len(visits)), n_more)
    return due.then(Missions.of(explored, _looked_for(visits, explored, utilities, calendar, rng), EXPLORE))


def missions_expected(missions: Floats) -> Floats:
    """Mean of the number of missions beside due needs, given the mean before one became the least: m + P(0)."""
    return np.asarray(missions + (MISSION_SHAPE / (MISSION_SHAPE + missions)) ** MISSION_SHAPE, np.float32)


def any_success(missions: Floats, success: Floats) -> Floats:
    """Probability that at least one mission of a visit, due needs aside, ends in a purchase: 1 - E[(1 - s)^N], s the share that do."""
    none = (MISSION_SHAPE / (MISSION_SHAPE + missions)) ** MISSION_SHAPE
    return np.asarray(none * success - np.expm1(-MISSION_SHAPE * np.log1p(missions / MISSION_SHAPE * success)), np.float32)


def _looked_for(visits: Visits, explored: NDArray[np.intp], utilities: Floats, calendar: Calendar, rng: np.random.Generator) -> Ints:
    """A type for every mission: the winner of an exponential race with the logit's weights as its speeds."""
    speeds, season = np.exp(utilities), np.exp(calendar.season)
    week = calendar.weeks(visits.days)
    chosen = np.empty(len(explored), np.int32)
    for start in range(0, len(explored), _CHUNK):
        rows = explored[start : start + _CHUNK]
        race = rng.standard_exponential((len(rows), speeds.shape[1]), np.float32)
        race /= speeds[visits.owners[rows]]
        race /= season[week[rows]]
        chosen[start : start + _CHUNK] = race.argmin(axis=1)
    return chosen


def draw_dues(customers: Customers, needs: Needs, calendar: Calendar, rng: np.random.Generator) -> Dues:
    """When needs fall due while their owners are customers."""
    until = np.minimum(customers.churn[needs.owners], calendar.n_days)
    span = np.maximum(until - needs.first_due, 0)
    n_dues = np.where(until > needs.first_due, np.ceil(1.5 * span / needs.cycle_days + 5), 0).astype(np.int64)
    rows = np.repeat(np.arange(len(needs)), n_dues)
    gaps = rng.standard_gamma(NEED_SHAPE, len(rows)) / NEED_SHAPE * needs.cycle_days[rows]
    firsts = np.cumsum(n_dues) - n_dues
    gaps[firsts[n_dues > 0]] = needs.first_due[n_dues > 0]
    total = np.cumsum(gaps)
    before = np.concatenate([[0.0], total])[firsts]
    days = total - before[rows]
    is_within = days < until[rows]
    return Dues(rows[is_within], days[is_within])

"""The visits of a period that happen whatever a shop recommends: who comes, when, what for, and what is bought there from its own pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.behaviour import Purchases, Scene, purchases_of
from recsys.synthetic.customers import Customers
from recsys.synthetic.visits import NEED, Missions, Needs, Visits
from recsys.synthetic.world import Block, World
from recsys.types import Flags, Ints


@dataclass(frozen=True)
class Owned:
    """Durable items bought from pages, and before the period from lists too. owners: rows of the scene's customers; days: when."""

    owners: NDArray[np.int64]
    items: Ints
    days: NDArray[np.float64]


@dataclass(frozen=True)
class Coming:
    """Customers who come in a period, and their visits, as parallel arrays by visit.

    scene:    those customers, their visits within the period by time, and their needs
    numbers:  of the customers in the world; int64 (n_customers,)
    blocks, rows: where a visit comes from: the block, and the row of its `Visits`; intp
    is_guest: no login; bool
    missions: what the visits are for, by visit
    last_met, met: item that met each mission's need the time before, and the one that meets it now; -1 = none; int32
    owned:    what nobody will buy again
    """

    scene: Scene
    numbers: NDArray[np.int64]
    blocks: NDArray[np.intp]
    rows: NDArray[np.intp]
    is_guest: Flags
    missions: Missions
    last_met: Ints
    met: Ints
    owned: Owned

    def __len__(self) -> int:
        return len(self.rows)

    def then(self, more: Coming) -> Coming:
        """These, then those of another block."""
        customers, visits, needs = len(self.scene.customers), len(self), len(self.scene.needs)
        theirs = replace(
            more,
            scene=replace(
                more.scene,
                visits=replace(more.scene.visits, owners=more.scene.visits.owners + np.int32(customers)),
                needs=replace(more.scene.needs, owners=more.scene.needs.owners + np.int32(customers)),
            ),
            missions=replace(
                more.missions,
                visits=more.missions.visits + visits,
                needs=np.where(more.missions.needs >= 0, more.missions.needs + np.int32(needs), np.int32(-1)),
            ),
            owned=replace(more.owned, owners=more.owned.owners + customers),
        )
        return _joined(self, theirs)

    def by_time(self) -> Coming:
        """The same, first visit first."""
        order = np.argsort(self.scene.visits.days, kind="stable")
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        at = place[self.missions.visits]
        by_visit = np.argsort(at, kind="stable")
        missions = Missions(at[by_visit], *(column[by_visit] for name, column in vars(self.missions).items() if name != "visits"))
        return replace(
            self,
            scene=replace(self.scene, visits=Visits(self.scene.visits.owners[order], self.scene.visits.days[order])),
            blocks=self.blocks[order],
            rows=self.rows[order],
            is_guest=self.is_guest[order],
            missions=missions,
            last_met=self.last_met[by_visit],
            met=self.met[by_visit],
        )

    def missions_of(self, visits: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of the missions of some visits, visit after visit; those of a visit named twice come twice. Needs the order by time."""
        first, end = (np.searchsorted(self.missions.visits, visits, side=side) for side in ("left", "right"))
        n = end - first
        return np.asarray(np.repeat(first - (np.cumsum(n) - n), n) + np.arange(n.sum()), np.intp)


def coming(world: World, start: float, end: float, n_customers: int) -> Coming:
    """The first customers of a world who come in [start, end), at most n_customers, with all their visits in it; days of the calendar.

    Raises:
        ValueError: the period is not within the world's history, nobody comes in it, or n_customers is below 1.
    """
    if not 0 <= start < end <= world.config.n_days:
        raise ValueError(f"a period from day {start:g} to {end:g} is not within the {world.config.n_days} days of this world")
    if n_customers < 1:
        raise ValueError(f"n_customers must be at least 1, got {n_customers}")
    found = None
    for part in _parts(world, start, end, n_customers):
        found = part if found is None else found.then(part)
    if found is None or not len(found):
        raise ValueError(f"nobody comes from day {start:g} to {end:g}; choose a longer period")
    return found.by_time()


def _parts(world: World, start: float, end: float, n_customers: int) -> Iterator[Coming]:
    for number in range(world.n_blocks):
        part = _of_block(world.block(number), start, end, n_customers)
        yield part
        n_customers -= len(part.numbers)
        if n_customers <= 0:
            return


def _of_block(block: Block, start: float, end: float, most: int) -> Coming:
    """Who comes of a block; visits by owner."""
    scene, visits = block.scene, block.scene.visits
    within = (visits.days >= start) & (visits.days < end)
    who = np.unique(visits.owners[within])[:most].astype(np.intp)
    place = _places(who, len(scene.customers))
    rows = np.flatnonzero(within & (place[visits.owners] >= 0))
    has_need = np.flatnonzero(place[scene.needs.owners] >= 0)
    needs = Needs(
        place[scene.needs.owners[has_need]].astype(np.int32), *(column[has_need] for column in list(vars(scene.needs).values())[1:])
    )
    missions, at = _missions(block, _places(rows, len(visits)), _places(has_need, len(scene.needs)))
    return Coming(
        scene=Scene(scene.model, scene.customers.take(who), Visits(place[visits.owners[rows]].astype(np.int32), visits.days[rows]), needs),
        numbers=scene.customers.first + who,
        blocks=np.full(len(rows), block.number),
        rows=rows,
        is_guest=block.is_guest[rows],
        missions=missions,
        last_met=block.last_met[at],
        met=np.where(missions.causes == NEED, block.picks.chosen[at], np.int32(-1)),
        owned=_owned(block, place, start),
    )


def _missions(block: Block, visit_place: NDArray[np.intp], need_place: NDArray[np.intp]) -> tuple[Missions, NDArray[np.intp]]:
    """Missions of the visits that have a place, with visits and needs numbered by it; and their rows in the block."""
    every = block.missions
    at = np.flatnonzero(visit_place[every.visits] >= 0)
    needs = need_place[every.needs[at]].astype(np.int32)
    return Missions(visit_place[every.visits[at]], every.types[at], every.causes[at], needs), at


def _owned(block: Block, place: NDArray[np.intp], start: float) -> Owned:
    """Bought before the period, or in it from a page: what the shop's own lists sold in it did not happen here."""
    visits, is_durable = block.scene.visits, block.scene.model.items.is_durable
    before = block.purchases.take(visits.days[block.purchases.visits] < start)
    pages = purchases_of(block.missions, block.picks)
    both = Purchases(*(np.concatenate(pair) for pair in zip(vars(before).values(), vars(pages).values(), strict=True)))
    owners = place[visits.owners[both.visits]]
    kept = (owners >= 0) & is_durable[both.items]
    return Owned(owners[kept].astype(np.int64), both.items[kept], visits.days[both.visits[kept]])


def _places(chosen: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Place of each of n rows among the chosen, -1 = not chosen; one entry more, so that row -1, which means none, has place -1."""
    place = np.full(n + 1, -1, np.intp)
    place[chosen] = np.arange(len(chosen))
    return place


def _joined(mine: Coming, theirs: Coming) -> Coming:
    def pairs(one: object, other: object) -> Iterator[NDArray[np.generic]]:
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True):
            yield np.concatenate([a, b])

    one, other = mine.scene, theirs.scene
    people = (
        np.concatenate([getattr(one.customers, name), getattr(other.customers, name)]) for name in vars(one.customers) if name != "first"
    )
    customers = Customers(one.customers.first, *people)
    scene = Scene(one.model, customers, Visits(*pairs(one.visits, other.visits)), Needs(*pairs(one.needs, other.needs)))  # type: ignore[arg-type]
    return Coming(
        scene=scene,
        numbers=np.concatenate([mine.numbers, theirs.numbers]),
        blocks=np.concatenate([mine.blocks, theirs.blocks]),
        rows=np.concatenate([mine.rows, theirs.rows]),
        is_guest=np.concatenate([mine.is_guest, theirs.is_guest]),
        missions=mine.missions.then(theirs.missions),
        last_met=np.concatenate([mine.last_met, theirs.last_met]),
        met=np.concatenate([mine.met, theirs.met]),
        owned=Owned(*pairs(mine.owned, theirs.owned)),  # type: ignore[arg-type]
    )

"""Planted customers who answer recommendations: the lists of any strategy, at the same visits, with the same luck, and with the truth.

That a customer comes, and what for, does not depend on what is shown; what is shown at the start of a visit is answered by the choice
model of `recsys.synthetic.choice`, as in the logged lists. So all strategies meet the same visits, each of which has its own random
numbers, and what a list is expected to bring is a closed form, also of a list that nobody was ever shown. What is bought from a list is
remembered: a durable item is not bought twice, and an item that met a need is what the customer looks for when the need is due again.
What the visit then brings on the shop's own pages happens whatever the list was, and counts for no strategy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.synthetic.answers import N_LUCK, Answers, Doubles, Expected, Odds, greedy
from recsys.synthetic.coming import Coming, coming
from recsys.synthetic.oracle import PIECES
from recsys.synthetic.shown import answer_probabilities, intents
from recsys.synthetic.tables import customer_id, item_id
from recsys.synthetic.visits import NEED, Missions
from recsys.synthetic.world import VERSION, World
from recsys.types import Flags, Ints, aware

Progress: TypeAlias = Callable[[int, int | None, str], None]
"""Called as progress(visits done, visits, what)."""

_STREAM = 1_000_000
"""Apart from the streams that the world itself is drawn from."""

_BATCH = 512
_COLUMNS = 256
"""Visits answered at once, and items looked at at once for the best list."""

_Part = TypeVar("_Part", Expected, Answers)


@dataclass(frozen=True)
class Visit:
    """What a storefront knows when a customer comes. customer_id: None = a guest, who has a visitor_id instead; time: aware."""

    customer_id: str | None
    visitor_id: str | None
    time: dt.datetime
    request_id: str


Recommend: TypeAlias = Callable[[Visit], Sequence[str]]
"""Anything that can be asked for a list: item ids, first place first, without repeats; may be short or empty."""


@dataclass(frozen=True)
class Memory:
    """What customers bought from lists since the start.

    owned:      durable items, as owner * n_items + item; int64, ascending
    met:        item that met each need last, -1 = no list has; int32 (n_needs,)
    instead_of: item that the page sold for it then; once it sells another, the customer has looked around again; int32 (n_needs,)
    """

    owned: NDArray[np.int64]
    met: Ints
    instead_of: Ints


@dataclass(frozen=True)
class Outcomes:
    """What lists were shown, what they were expected to bring and what they brought, by visit as in `Shoppers.visits`."""

    lists: tuple[tuple[str, ...], ...]
    expected: Expected
    answers: Answers


@dataclass(frozen=True)
class Shoppers:
    """Customers who come in a period, and answer.

    visits: first visit first; functions here take row numbers of them, which may repeat
    luck:   uniform numbers that decide each visit's answer; float64 (n_visits, N_LUCK)
    """

    world: World
    coming: Coming
    visits: tuple[Visit, ...]
    luck: Doubles

    @staticmethod
    def of(world: World, start: np.datetime64, end: np.datetime64, n_customers: int, seed: int = 0) -> Shoppers:
        """The first customers of the world who come in [start, end), at most n_customers.

        Args:
            seed: of what is random in the answers; visits, and what is expected of lists, do not depend on it.

        Raises:
            ValueError: the period is not within the world's history, nobody comes in it, or n_customers is below 1.
        """
        days = world.model.calendar.days
        found = coming(world, days(start), days(end), n_customers)
        return Shoppers(world, found, tuple(_visits(world, found)), _luck(world, found, seed))

    def redrawn(self, seed: int) -> Shoppers:
        """The same visits with other luck."""
        return replace(self, luck=_luck(self.world, self.coming, seed))

    @cached_property
    def customer_ids(self) -> tuple[str, ...]:
        """Who is behind each visit, also behind a guest's: the truth."""
        return tuple(customer_id(self.coming.numbers[self.coming.scene.visits.owners]).to_pylist())

    @cached_property
    def personas(self) -> tuple[str, ...]:
        """The planted segment of who is behind each visit: the truth."""
        names = [persona.name for persona in self.world.lexicon.personas]
        return tuple(names[at] for at in self.coming.scene.customers.personas[self.coming.scene.visits.owners])

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """External ids by item number."""
        return tuple(item_id(np.arange(len(self.world.model.items), dtype=np.int32)).to_pylist())

    @property
    def nothing_bought(self) -> Memory:
        """The memory at the start."""
        none = np.full(len(self.coming.scene.needs), -1, np.int32)
        return Memory(np.empty(0, np.int64), none, none)

    def expected(self, numbers: NDArray[np.intp], lists: Sequence[Sequence[str]], memory: Memory | None = None) -> Expected:
        """The truth about lists shown at some visits; memory None = no list sold anything before.

        Raises:
            ValueError: a list repeats an item, or names one that the world lacks.
        """
        return self._odds(numbers, self._items(numbers, lists), memory or self.nothing_bought).expected()

    def answer(self, numbers: NDArray[np.intp], lists: Sequence[Sequence[str]], memory: Memory | None = None) -> Answers:
        """What customers do with lists shown at some visits; whatever the list, a visit's luck is the same.

        Raises:
            ValueError: a list repeats an item, or names one that the world lacks.
        """
        return self._odds(numbers, self._items(numbers, lists), memory or self.nothing_bought).drawn(self.luck[numbers])

    def respond(self, numbers: NDArray[np.intp], lists: Sequence[Sequence[str]], memory: Memory) -> tuple[Expected, Answers]:
        """`expected` and `answer` at once."""
        odds = self._odds(numbers, self._items(numbers, lists), memory)
        return odds.expected(), odds.drawn(self.luck[numbers])

    def remember(self, numbers: NDArray[np.intp], answers: Answers, memory: Memory) -> Memory:
        """The memory after some visits, no two of them of one customer."""
        sold = np.flatnonzero(answers.bought)
        items, types = answers.viewed[sold], self.world.model.items.true.types
        owners = self.coming.scene.visits.owners[numbers[sold]].astype(np.int64)
        durable = self.world.model.items.is_durable[items]
        owned = np.union1d(memory.owned, (owners * len(types) + items)[durable])
        missions, item_of = self.coming.missions, np.full(len(self.coming), -1, np.int32)
        item_of[numbers[sold]] = items
        rows = self.coming.missions_of(numbers[sold])
        bought = item_of[missions.visits[rows]]
        mine = (missions.causes[rows] == NEED) & (missions.types[rows] == types[bought])
        met, instead_of = memory.met.copy(), memory.instead_of.copy()
        met[missions.needs[rows[mine]]] = bought[mine]
        instead_of[missions.needs[rows[mine]]] = self.coming.met[rows[mine]]
        return Memory(owned, met, instead_of)

    def best_lists(self, numbers: NDArray[np.intp], k: int, memory: Memory | None = None) -> list[tuple[str, ...]]:
        """For each visit the list that is expected to sell most, found greedily: about the most that is possible."""
        parts = [self._alone(numbers, part, memory or self.nothing_bought) for part in _columns(len(self.item_ids))]
        weights, bought = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
        chosen = greedy(weights, bought, k, self.world.config.behaviour.position_bias)
        return [tuple(self.item_ids[item] for item in row if item >= 0) for row in chosen]

    def events(self, numbers: NDArray[np.intp], answers: Answers) -> pa.Table:
        """What a shop would note of answers: rows of the contract's interactions, visit after visit."""
        kinds = (("view", answers.viewed >= 0), ("cart", answers.carted), ("purchase", answers.bought))
        rows = [(at, second, kind) for at in range(len(numbers)) for second, (kind, has) in enumerate(kinds, 1) if has[at]]
        return pa.Table.from_pylist(
            [self._event(self.visits[numbers[at]], answers, *(at, second, kind)) for at, second, kind in rows], _EVENTS
        )

    def _event(self, visit: Visit, answers: Answers, at: int, second: int, kind: str) -> dict[str, Any]:
        is_sold = kind == "purchase"
        return {
            "event_id": f"s{visit.request_id}-{second}",
            "item_id": self.item_ids[answers.viewed[at]],
            "customer_id": visit.customer_id,
            "visitor_id": visit.visitor_id,
            "event": kind,
            "event_time": visit.time + dt.timedelta(seconds=second),
            "session_id": visit.request_id,
            "quantity": float(answers.quantities[at]) if is_sold else None,
            "value": float(answers.revenue[at]) if is_sold else None,
        }

    def _items(self, numbers: NDArray[np.intp], lists: Sequence[Sequence[str]]) -> Ints:
        """Item numbers, -1 = the list is shorter; (m, k)."""
        items = np.full((len(numbers), max((len(ids) for ids in lists), default=0) or 1), -1, np.int32)
        for row, (number, ids) in enumerate(zip(numbers, lists, strict=True)):
            if len(set(ids)) < len(ids):
                raise ValueError(f"the list for visit {self.visits[number].request_id} repeats an item: {', '.join(ids)}")
            for place, id_ in enumerate(ids):
                if id_ not in self._number_of:
                    raise ValueError(f"the list for visit {self.visits[number].request_id} names item {id_!r}, which this world lacks")
                items[row, place] = self._number_of[id_]
        return items

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {id_: number for number, id_ in enumerate(self.item_ids)}

    def _odds(self, numbers: NDArray[np.intp], items: Ints, memory: Memory) -> Odds:
        planted, missions = self.world.model.items, self.coming.missions
        rows = self.coming.missions_of(numbers)
        mine = Missions(*(column[rows] for column in vars(missions).values()))
        intent = intents(self.coming.scene, mine, self._last_met(rows, memory), numbers, items)
        chosen, bought = answer_probabilities(self.coming.scene, numbers, items, intent)
        weeks = self.world.model.calendar.weeks(self.coming.scene.visits.days[numbers])
        paid = np.round(planted.prices[items] * (1 - self.world.model.calendar.depth[weeks[:, None], items].astype(np.float64)), 2)
        pieces = np.where(planted.is_durable[items], 1.0, PIECES)
        return Odds(items, chosen.astype(np.float64), np.where(self._is_owned(numbers, items, memory), 0.0, bought), paid, pieces)

    def _last_met(self, missions: NDArray[np.intp], memory: Memory) -> Ints:
        """The item that met the need of each of some missions the time before, lists included; -1 = none."""
        planted, needs = self.coming.last_met[missions], self.coming.missions.needs[missions]
        from_list = np.append(memory.met, np.int32(-1))[needs]
        holds = (from_list >= 0) & (np.append(memory.instead_of, np.int32(-1))[needs] == planted)
        return np.where(holds, from_list, planted)

    def _is_owned(self, numbers: NDArray[np.intp], items: Ints, memory: Memory) -> Flags:
        visits = self.coming.scene.visits
        codes = visits.owners[numbers].astype(np.int64)[:, None] * len(self.item_ids) + items
        known, since = self._owned_since
        at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        from_pages = (known[at] == codes) & (since[at] < visits.days[numbers][:, None])
        return np.asarray(from_pages | np.isin(codes, memory.owned))

    @cached_property
    def _owned_since(self) -> tuple[NDArray[np.int64], Doubles]:
        """Durable items as owner * n_items + item, ascending, and the day each was first bought; one entry that is nobody's at the end."""
        owned = self.coming.owned
        codes = np.append(owned.owners * len(self.item_ids) + owned.items, np.iinfo(np.int64).max)
        days = np.append(owned.days, np.inf)
        order = np.lexsort((days, codes))
        known, first = np.unique(codes[order], return_index=True)
        return known, days[order][first]

    def _alone(self, numbers: NDArray[np.intp], items: Ints, memory: Memory) -> tuple[Doubles, Doubles]:
        """Weight of each item in first place as a multiple of the outside option's, and its probability of being bought; (m, n)."""
        odds = self._odds(numbers, np.broadcast_to(items, (len(numbers), len(items))), memory)
        ignored = 1 - odds.chosen.sum(axis=1, keepdims=True)
        unbiased = np.arange(1, len(items) + 1) ** self.world.config.behaviour.position_bias
        return odds.chosen * unbiased / np.maximum(ignored, 1e-9), odds.bought


def simulate(
    shoppers: Shoppers,
    recommend: Recommend,
    k: int,
    feed: Callable[[pa.Table], None] | None = None,
    progress: Progress | None = None,
) -> Outcomes:
    """Ask for a list at the start of each visit, in time order, and let the customers answer.

    Args:
        k: places that are shown.
        feed: given the interactions of answers before the same customer comes again, so that whoever recommends may learn from them.

    Raises:
        ValueError: a list is longer than k, repeats an item, or names one that the world lacks.
    """

    def ask(numbers: NDArray[np.intp], _memory: Memory) -> list[tuple[str, ...]]:
        lists = [tuple(recommend(shoppers.visits[number])) for number in numbers]
        for number, ids in zip(numbers, lists, strict=True):
            if len(ids) > k:
                raise ValueError(f"the list for visit {shoppers.visits[number].request_id} has {len(ids)} items; only {k} are shown")
        return lists

    return _played(shoppers, ask, feed, progress)


def simulate_best(shoppers: Shoppers, k: int, progress: Progress | None = None) -> Outcomes:
    """The same with `Shoppers.best_lists`: what somebody who knew the true model would bring about."""
    return _played(shoppers, lambda numbers, memory: shoppers.best_lists(numbers, k, memory), None, progress)


def _played(
    shoppers: Shoppers,
    ask: Callable[[NDArray[np.intp], Memory], list[tuple[str, ...]]],
    feed: Callable[[pa.Table], None] | None,
    progress: Progress | None,
) -> Outcomes:
    memory, lists, parts = shoppers.nothing_bought, list[tuple[str, ...]](), list[tuple[Expected, Answers]]()
    for numbers in _batches(shoppers.coming.scene.visits.owners):
        lists += ask(numbers, memory)
        parts.append(shoppers.respond(numbers, lists[-len(numbers) :], memory))
        answers = parts[-1][1]
        memory = shoppers.remember(numbers, answers, memory)
        if feed is not None:
            feed(shoppers.events(numbers, answers))
        if progress is not None:
            progress(len(lists), len(shoppers.visits), "shopping")
    return Outcomes(tuple(lists), _together([truth for truth, _ in parts]), _together([answers for _, answers in parts]))


def _together(parts: Sequence[_Part]) -> _Part:
    """One after another."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return type(parts[0])(*(np.concatenate(column) for column in columns))


def _batches(owners: Ints) -> Iterator[NDArray[np.intp]]:
    """Consecutive visits, no two of one customer: what one does at a visit matters for the next one."""
    start, seen = 0, set[int]()
    for at, owner in enumerate(owners.tolist()):
        if owner in seen or at - start == _BATCH:
            yield np.arange(start, at)
            start, seen = at, set()
        seen.add(owner)
    yield np.arange(start, len(owners))


def _columns(n: int) -> Iterator[Ints]:
    for start in range(0, n, _COLUMNS):
        yield np.arange(start, min(start + _COLUMNS, n), dtype=np.int32)


def _visits(world: World, found: Coming) -> Iterator[Visit]:
    owners, times = found.scene.visits.owners, world.model.calendar.times(found.scene.visits.days)
    ids = customer_id(found.numbers[owners]).to_pylist()
    numbers = np.zeros(len(found), np.uint32)
    for block in np.unique(found.blocks):
        mine = found.blocks == block
        numbers[mine] = world.visit_numbers(int(block), found.rows[mine])
    for id_, guest, block, number, time in zip(ids, found.is_guest, found.blocks, numbers, times, strict=True):
        yield Visit(None if guest else id_, f"v{block}-{number}" if guest else None, aware(time), f"r{block}-{number}")


def _luck(world: World, found: Coming, seed: int) -> Doubles:
    """N_LUCK uniform numbers per visit; those of a visit do not depend on the period or on which other customers come."""
    luck = np.empty((len(found), N_LUCK))
    for block in np.unique(found.blocks):
        mine = np.flatnonzero(found.blocks == block)
        rng = np.random.default_rng((world.config.seed, VERSION, _STREAM, int(block), seed))
        luck[mine] = rng.random((int(found.rows[mine].max()) + 1, N_LUCK))[found.rows[mine]]
    return luck


_EVENTS = pa.schema(
    [
        *((name, pa.string()) for name in ("event_id", "item_id", "customer_id", "visitor_id", "event")),
        ("event_time", pa.timestamp("us", "UTC")),
        ("session_id", pa.string()),
        ("quantity", pa.float64()),
        ("value", pa.float64()),
    ]
)

"""A world as the tables of the data contract, one block of customers at a time: what a shop would see, and nothing of the truth."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.synthetic.catalogue import NO_ATTRIBUTE, values_of
from recsys.synthetic.item_texts import description_of, title_of
from recsys.synthetic.lexicon import ItemType
from recsys.synthetic.messages import INTENTS, write_message
from recsys.synthetic.reviews import ASPECTS, AspectOpinion, Language, ReviewFacts, write_review
from recsys.synthetic.shown import PLACES
from recsys.synthetic.world import Block, World
from recsys.types import CART, PURCHASE, RETURN, STANDARD_EVENTS, VIEW, Ints, Times

_TIME = pa.timestamp("us", "UTC")
_SECONDS_PER_STEP = 20
_STEPS_OF_A_LIST = 3


def item_id(numbers: Ints) -> pa.Array:
    """External ids of items."""
    return _ids("i", numbers)


def customer_id(numbers: NDArray[np.integer]) -> pa.Array:
    """External ids of customers, by their number in the world."""
    return _ids("c", numbers)


def items_table(world: World) -> pa.Table:
    """The items table, in the order of the item numbers."""
    items, rng = world.model.items, _words(world, "item words", 0)
    rows = list(_written_rows(world, rng))
    launch = world.model.calendar.times(items.launch_day.astype(np.float64))
    has_text = world.rng("missing item words", 0).random(len(items)) >= world.config.mess.missing_texts
    titles = [row["title"] if there else "" for row, there in zip(rows, has_text, strict=True)]
    described = [row["description"] if there and world.config.texts else None for row, there in zip(rows, has_text, strict=True)]
    columns = {
        "item_id": item_id(np.arange(len(items), dtype=np.int32)),
        "title": pa.array(titles),
        "description": pa.array(described, pa.string()),
        "brand": pa.array([row["brand"] for row in rows]),
        "category": pa.array([row["category"] for row in rows], pa.list_(pa.string())),
        "price": pa.array(np.round(items.prices.astype(np.float64), 2)),
        "attributes": pa.array([row["attributes"] for row in rows], pa.map_(pa.string(), pa.string())),
        "created_time": pa.array(launch, _TIME),
        "valid_from": pa.array(launch, _TIME),
    }
    return pa.table(columns)


def customers_table(world: World, block: Block) -> pa.Table:
    """What customers said of themselves when they registered."""
    customers = block.scene.customers
    since = world.model.calendar.times(np.floor(customers.arrival))
    return pa.table(
        {
            "customer_id": customer_id(customers.first + np.arange(len(customers))),
            "language": pa.array(np.where(customers.is_chinese, "zh", "en")),
            "registered": pa.array(since, _TIME).cast(pa.date32()).cast(pa.string()),
        }
    )


def interactions_table(world: World, block: Block) -> pa.Table:
    """Views, carts, purchases and returns by time; clean, see `recsys.synthetic.mess` for what exports suffer from."""
    rows = _rows(block)
    time, order = _in_time(world, block, rows)
    visits = rows.visits[order]
    guest = block.is_guest[visits] & (rows.events[order] != RETURN)  # what comes back has an address
    prefix = str(block.number)
    numbers = world.visit_numbers(block.number, visits)
    occasion = _ids(f"{prefix}-", numbers)
    owners = customer_id(block.scene.customers.first + block.scene.visits.owners[visits])
    events = pa.DictionaryArray.from_arrays(rows.events[order], pa.array(STANDARD_EVENTS)).cast(pa.string())
    return pa.table(
        {
            "event_id": _ids(f"e{prefix}-", np.arange(len(order))),
            "item_id": item_id(rows.items[order]),
            "customer_id": pc.if_else(pa.array(guest), None, owners),
            "visitor_id": pc.if_else(pa.array(guest), _ids(f"v{prefix}-", numbers), None),
            "event": events,
            "event_time": pa.array(time[order], _TIME),
            "basket_id": pc.if_else(pa.array(rows.events[order] == PURCHASE), occasion, None),
            "session_id": pc.if_else(pa.array(rows.events[order] == RETURN), None, occasion),
            "quantity": pa.array(rows.quantities[order], from_pandas=True),
            "value": pa.array(rows.values[order], from_pandas=True),
        }
    )


def purchase_event_ids(world: World, block: Block) -> pa.Array:
    """The event_id of each line bought, in the order of `Block.purchases`; null for the few that fall after the last day."""
    rows = _rows(block)
    _, order = _in_time(world, block, rows)
    place = np.full(len(rows.visits), -1)
    place[order] = np.arange(len(order))
    mine = place[np.flatnonzero(rows.events == PURCHASE)]
    return pc.if_else(pa.array(mine >= 0), _ids(f"e{block.number}-", mine), None)


def visitors_table(world: World, block: Block) -> pa.Table:
    """Whose the visits without a login were; part of the truth."""
    rows = np.flatnonzero(block.is_guest)
    owners = block.scene.customers.first + block.scene.visits.owners[rows]
    return pa.table({"visitor_id": _ids(f"v{block.number}-", world.visit_numbers(block.number, rows)), "customer_id": customer_id(owners)})


def exposures_table(world: World, block: Block) -> pa.Table:
    """The logged lists, a row per place."""
    shown, visits = block.shown, block.scene.visits
    at = np.repeat(shown.visits, PLACES)
    numbers = world.visit_numbers(block.number, at)
    guest = pa.array(block.is_guest[at])
    n = len(at)
    return pa.table(
        {
            "request_id": _ids(f"r{block.number}-", numbers),
            "item_id": item_id(shown.items.ravel()),
            "position": pa.array(np.tile(np.arange(1, PLACES + 1), len(shown))),
            "event_time": pa.array(world.model.calendar.times(visits.days[at]), _TIME),
            "customer_id": pc.if_else(guest, None, customer_id(block.scene.customers.first + visits.owners[at])),
            "visitor_id": pc.if_else(guest, _ids(f"v{block.number}-", numbers), None),
            "placement": pa.repeat("home", n),
            "propensity": pa.array(shown.propensities.ravel().astype(np.float64)),
            "strategy": pa.repeat("drawn by rank", n),
        }
    )


def reviews_table(world: World, block: Block) -> pa.Table:
    """Reviews in words."""
    reviews, rng = block.reviews, _words(world, "review words", block.number)
    owners = block.scene.visits.owners[block.purchases.visits[reviews.lines]]
    items = block.purchases.items[reviews.lines]
    texts = [write_review(facts, rng) for facts in _review_facts(world, block, owners, items)]
    missing = world.rng("missing review words", block.number).random(len(texts)) < world.config.mess.missing_texts
    return pa.table(
        {
            "customer_id": customer_id(block.scene.customers.first + owners),
            "item_id": item_id(items),
            "title": pa.array([None if gone else title for (title, _), gone in zip(texts, missing, strict=True)], pa.string()),
            "text": pa.array(["" if gone else text for (_, text), gone in zip(texts, missing, strict=True)], pa.string()),
            "rating": pa.array(reviews.stars.astype(np.float64)),
            "event_time": pa.array(world.model.calendar.times(reviews.days), _TIME),
            "helpful_count": pa.array(world.rng("helpful", block.number).geometric(0.6, len(texts)) - 1),
        }
    )


def messages_table(world: World, block: Block) -> pa.Table:
    """Messages in words."""
    messages, rng = block.messages, _words(world, "message words", block.number)
    customers, kinds = block.scene.customers, _kinds(world)
    texts = []
    for owner, intent, kind in zip(messages.owners, messages.intents, messages.types, strict=True):
        brand = rng.choice(world.lexicon.brands[kinds[kind].path[0]])
        language: Language = "zh" if customers.is_chinese[owner] else "en"
        noun = kinds[kind].noun_zh if customers.is_chinese[owner] else kinds[kind].noun
        texts.append(write_message(INTENTS[intent], noun, brand, language, rng))
    return pa.table(
        {
            "customer_id": customer_id(customers.first + messages.owners),
            "text": pa.array(texts, pa.string()),
            "event_time": pa.array(world.model.calendar.times(messages.days), _TIME),
            "channel": pa.array([rng.choice(("mail", "chat")) for _ in texts], pa.string()),
        }
    )


def stated(world: World) -> list[tuple[ItemType, str, list[str]]]:
    """Type, brand and attribute words that each item's row states."""
    facts, kinds, words = world.model.items.written, _kinds(world), values_of(world.lexicon)
    found = []
    for kind, brand, attributes in zip(facts.types, facts.brands, facts.attributes, strict=True):
        item_type = kinds[kind]
        has = [words[value] for value in attributes if value != NO_ATTRIBUTE]
        found.append((item_type, world.lexicon.brands[item_type.path[0]][brand], has))
    return found


@dataclass(frozen=True)
class _Rows:
    """Interactions of a block, as parallel arrays, before they are sorted.

    days: when the visit began, or when it came back; seconds: after that; quantities, values: NaN = none
    """

    visits: NDArray[np.intp]
    items: Ints
    events: NDArray[np.int8]
    days: NDArray[np.float64]
    seconds: NDArray[np.int64]
    quantities: NDArray[np.float64]
    values: NDArray[np.float64]


def _rows(block: Block) -> _Rows:
    step = _steps(block)
    looked, place = np.nonzero(block.picks.viewed >= 0)
    carted, clicked = _carted(block), np.flatnonzero(block.shown.chosen >= 0)
    kept = np.flatnonzero(block.shown.carted)
    sold, back = block.purchases, np.flatnonzero(np.isfinite(block.lines.returned))
    listed = block.shown.items[np.arange(len(block.shown)), np.maximum(block.shown.chosen, 0)]
    last = np.zeros(len(block.scene.visits), np.int64)
    np.maximum.at(last, block.missions.visits, step)
    parts = [
        (block.missions.visits[looked], block.picks.viewed[looked, place], VIEW, _SECONDS_PER_STEP * step[looked] + 3 * place),
        (block.missions.visits[carted], block.picks.chosen[carted], CART, _SECONDS_PER_STEP * step[carted] + 16),
        (block.shown.visits[clicked], listed[clicked], VIEW, np.full(len(clicked), 1)),
        (block.shown.visits[kept], listed[kept], CART, np.full(len(kept), 2)),
        (sold.visits, sold.items, PURCHASE, _SECONDS_PER_STEP * (last[sold.visits] + 1)),
        (sold.visits[back], sold.items[back], RETURN, np.zeros(len(back))),
    ]
    visits = np.concatenate([part[0] for part in parts])
    money = (block.lines.quantities * block.lines.prices).astype(np.float64).round(2)
    empty = np.full(len(visits) - len(sold) - len(back), np.nan)
    days = block.scene.visits.days[visits]
    days[len(days) - len(back) :] = block.lines.returned[back]
    return _Rows(
        visits=visits,
        items=np.concatenate([part[1] for part in parts]).astype(np.int32),
        events=np.concatenate([np.full(len(part[0]), part[2], np.int8) for part in parts]),
        days=days,
        seconds=np.concatenate([part[3] for part in parts]).astype(np.int64),
        quantities=np.concatenate([empty, block.lines.quantities, block.lines.quantities[back]]),
        values=np.concatenate([empty, money, money[back]]),
    )


def _in_time(world: World, block: Block, rows: _Rows) -> tuple[Times, NDArray[np.intp]]:
    """The time of each row, and the rows within the history by time; rows of one moment in an order that tells nothing."""
    time = world.model.calendar.times(rows.days) + rows.seconds.astype("timedelta64[s]")
    order = np.lexsort((world.rng("ties", block.number).random(len(time)), time))
    return time, order[time[order] < world.model.calendar.times(np.array(float(world.config.n_days)))]


def _carted(block: Block) -> NDArray[np.intp]:
    """Missions that put something into the cart: what was bought, and what was left there."""
    bought = block.purchases.missions[block.purchases.missions >= 0]
    return np.union1d(bought, np.flatnonzero(block.picks.carted & ~block.picks.bought))


def _steps(block: Block) -> NDArray[np.int64]:
    """The place of each mission in its visit, after the list; in the order of the missions' rows."""
    visits = block.missions.visits
    order = np.argsort(visits, kind="stable")
    firsts = np.searchsorted(visits[order], visits[order])
    steps = np.empty(len(visits), np.int64)
    steps[order] = np.arange(len(visits)) - firsts + _STEPS_OF_A_LIST
    return steps


def _written_rows(world: World, rng: random.Random) -> list[dict[str, object]]:
    """What the items table says of each item."""
    made: defaultdict[tuple[str, ...], int] = defaultdict(int)
    group_of = {word: name for name, group in world.lexicon.attributes.items() for word in group.words}
    rows: list[dict[str, object]] = []
    for kind, brand, words in stated(world):
        title_words = words[:2]  # a title does not tell all
        key = (kind.noun, brand, *title_words)
        rows.append(
            {
                "title": title_of(kind, brand, title_words, made[key]),
                "description": description_of(kind, brand, words, rng) if world.config.texts else None,
                "brand": brand,
                "category": list(kind.category),
                "attributes": [(group_of[word], word) for word in words],
            }
        )
        made[key] += 1
    return rows


def _review_facts(world: World, block: Block, owners: Ints, items: Ints) -> list[ReviewFacts]:
    reviews, customers, said = block.reviews, block.scene.customers, stated(world)
    personas = world.lexicon.personas
    facts = []
    for row, (owner, item) in enumerate(zip(owners, items, strict=True)):
        is_chinese = bool(customers.is_chinese[owner])
        kind, brand, _ = said[item]
        facts.append(
            ReviewFacts(
                noun=kind.noun_zh if is_chinese else kind.noun,
                brand=brand,
                language="zh" if is_chinese else "en",
                sentiment=int(reviews.sentiment[row]),
                aspects=tuple(AspectOpinion(ASPECTS[at], int(reviews.aspects[row, at])) for at in np.flatnonzero(reviews.aspects[row])),
                need=personas[customers.personas[owner]].need if reviews.tells_need[row] else None,
                stars=int(reviews.stars[row]),
            )
        )
    return facts


def _kinds(world: World) -> Sequence[ItemType]:
    return [world.lexicon.types[word] for word in world.model.items.types.words]


def _words(world: World, stream: str, block: int) -> random.Random:
    return random.Random(int(world.rng(stream, block).integers(2**62)))


def _ids(prefix: str, numbers: NDArray[np.integer]) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")

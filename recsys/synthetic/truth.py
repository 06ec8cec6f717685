"""The truth of a world as tables: what no shop knows and no training may read.

world.json            the settings, the seed, and the version of the generator
items, promotions     what items are, whatever their rows say; price cuts by week
personas              the planted segments
customers-*           persona, taste, value level, price sensitivity, rates, arrival and churn of each customer
needs-*               what customers buy again and again, and how often
purchases-*           why each line was bought, and how it pleased
reviews-*, messages-* sentiment, aspects, need; intent
exposures-*           probability that each shown item is chosen from its list, and bought once chosen
bots-*                visitor ids of crawlers
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DataError
from recsys.synthetic.config import WorldConfig, parse_world_config
from recsys.synthetic.messages import INTENTS
from recsys.synthetic.reviews import ASPECTS
from recsys.synthetic.tables import customer_id, exposures_table, item_id, purchase_event_ids, stated, visitors_table
from recsys.synthetic.visits import CAUSES
from recsys.synthetic.world import VERSION, Block, World

WORLD_FILE = "world.json"
_TIME = pa.timestamp("us", "UTC")


def write_settings(config: WorldConfig, folder: Path) -> None:
    """Write what the world can be built again from."""
    document = {"version": VERSION, "settings": config.model_dump(mode="json")}
    unfinished = folder / f".{WORLD_FILE}"
    unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / WORLD_FILE)


def read_settings(folder: Path) -> WorldConfig:
    """The settings of the world whose truth is in a folder.

    Raises:
        DataError: there is none, or another version of the generator made it and would not make it again.
    """
    try:
        document = json.loads((folder / WORLD_FILE).read_text(encoding="utf-8"))
        version, settings = document["version"], document["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no truth of a planted world ({WORLD_FILE}: {error}); `segrec synthetic make` writes it") from error
    if version != VERSION:
        raise DataError(f"{folder} was made by version {version} of the generator, this is version {VERSION}; make the world again")
    return parse_world_config(settings, str(folder / WORLD_FILE))


def shared_truth(world: World) -> dict[str, pa.Table]:
    """The truth that is the same for all customers, by table name."""
    return {"items": _items(world), "personas": _personas(world), "promotions": _promotions(world)}


def block_truth(world: World, block: Block) -> dict[str, pa.Table]:
    """The truth of a block of customers, by table name."""
    tables = {"customers": _customers(world, block), "needs": _needs(world, block), "purchases": _purchases(world, block)}
    if block.is_guest.any():
        tables["visitors"] = visitors_table(world, block)
    if world.config.texts:
        tables |= {"reviews": _reviews(world, block), "messages": _messages(world, block)}
    if len(block.shown):
        exposures = exposures_table(world, block).select(["request_id", "item_id", "position"])
        for name, column in (("choice_probability", block.shown.probabilities), ("buying_probability", block.shown.buying)):
            exposures = exposures.append_column(name, pa.array(column.ravel()))
        tables["exposures"] = exposures
    return tables


def _items(world: World) -> pa.Table:
    items, kinds = world.model.items, world.lexicon.types
    nouns = [kinds[word].noun for word in items.types.words]
    said = [kind.noun for kind, _, _ in stated(world)]
    return pa.table(
        {
            "item_id": item_id(np.arange(len(items), dtype=np.int32)),
            "type": pa.array([nouns[kind] for kind in items.true.types]),
            "stated_type": pa.array(said),
            "appeal": pa.array(items.appeal),
            "quality": pa.array(items.quality),
            "dearness": pa.array(items.dearness),
            "launch_time": pa.array(world.model.calendar.times(items.launch_day.astype(np.float64)), _TIME),
            "vector": pa.array(list(items.vectors), pa.list_(pa.float32())),
        }
    )


def _personas(world: World) -> pa.Table:
    personas = world.lexicon.personas
    return pa.table(
        {
            "persona": [persona.name for persona in personas],
            "description": [persona.description for persona in personas],
            "likes": pa.array([list(persona.likes) for persona in personas]),
            "departments": pa.array([list(persona.departments) for persona in personas]),
            "need": [persona.need for persona in personas],
            "taste": pa.array(list(world.personas.tastes), pa.list_(pa.float32())),
        }
    )


def _promotions(world: World) -> pa.Table:
    weeks, items = np.nonzero(world.model.calendar.depth)
    return pa.table(
        {
            "week_start": pa.array(world.model.calendar.times((weeks * 7).astype(np.float64)), _TIME),
            "item_id": item_id(items.astype(np.int32)),
            "price_cut": pa.array(world.model.calendar.depth[weeks, items]),
        }
    )


def _customers(world: World, block: Block) -> pa.Table:
    customers, calendar = block.scene.customers, world.model.calendar
    names = np.array([persona.name for persona in world.lexicon.personas])
    far = 36_500.0  # a hundred years: an Arrow time cannot be infinite
    return pa.table(
        {
            "customer_id": customer_id(customers.first + np.arange(len(customers))),
            "persona": pa.array(names[customers.personas]),
            "value_level": pa.array(customers.value),
            "price_sensitivity": pa.array(customers.sensitivity),
            "visits_per_day": pa.array(customers.visits),
            "churn_per_day": pa.array(customers.churn_rate),
            "arrival_time": pa.array(calendar.times(customers.arrival), _TIME),
            "churn_time": pa.array(calendar.times(np.minimum(customers.churn, far).astype(np.float64)), _TIME),
            "taste": pa.array(list(customers.tastes), pa.list_(pa.float32())),
        }
    )


def _needs(world: World, block: Block) -> pa.Table:
    needs, kinds = block.scene.needs, world.lexicon.types
    nouns = np.array([kinds[word].noun for word in world.model.items.types.words])
    return pa.table(
        {
            "customer_id": customer_id(block.scene.customers.first + needs.owners),
            "type": pa.array(nouns[needs.types]),
            "cycle_days": pa.array(needs.cycle_days),
        }
    )


def _purchases(world: World, block: Block) -> pa.Table:
    columns = {
        "event_id": purchase_event_ids(world, block),
        "cause": pa.array(np.array(CAUSES)[block.purchases.causes]),
        "satisfaction": pa.array(block.lines.satisfaction),
    }
    return pa.table(columns).filter(pc.is_valid(columns["event_id"]))


def _reviews(world: World, block: Block) -> pa.Table:
    reviews, customers = block.reviews, block.scene.customers
    owners = block.scene.visits.owners[block.purchases.visits[reviews.lines]]
    needs = np.array([persona.need for persona in world.lexicon.personas])[customers.personas[owners]]
    columns = {
        "customer_id": customer_id(customers.first + owners),
        "item_id": item_id(block.purchases.items[reviews.lines]),
        "event_time": pa.array(world.model.calendar.times(reviews.days), _TIME),
        "sentiment": pa.array(reviews.sentiment),
        "need": pc.if_else(pa.array(reviews.tells_need), pa.array(needs), None),
        "is_true": pa.array(reviews.is_true),
    }
    return pa.table(columns | {f"aspect_{name}": pa.array(reviews.aspects[:, at]) for at, name in enumerate(ASPECTS)})


def _messages(world: World, block: Block) -> pa.Table:
    messages = block.messages
    return pa.table(
        {
            "customer_id": customer_id(block.scene.customers.first + messages.owners),
            "event_time": pa.array(world.model.calendar.times(messages.days), _TIME),
            "intent": pa.array(np.array(INTENTS)[messages.intents]),
        }
    )

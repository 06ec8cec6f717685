"""Shop folders in the canonical layout, from a few readable rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.dataset import Dataset

DAY0 = np.datetime64("2024-01-01T00:00:00", "us")

TYPES = {
    "item_id": pa.string(),
    "customer_id": pa.string(),
    "visitor_id": pa.string(),
    "event": pa.string(),
    "event_time": pa.timestamp("us", "UTC"),
    "basket_id": pa.string(),
    "session_id": pa.string(),
    "quantity": pa.float64(),
    "value": pa.float64(),
    "title": pa.string(),
    "description": pa.string(),
    "brand": pa.string(),
    "category": pa.list_(pa.string()),
    "price": pa.float64(),
    "group_id": pa.string(),
    "available": pa.bool_(),
    "recommendable": pa.bool_(),
    "created_time": pa.timestamp("us"),
    "valid_from": pa.timestamp("us"),
}


def at(day: float) -> np.datetime64:
    """So many days after the first of January 2024."""
    return DAY0 + np.timedelta64(round(day * 86_400_000_000), "us")


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table with the columns that some row has."""
    names = [name for name in TYPES if any(name in row for row in rows)]
    columns = {name: [_plain(row.get(name)) for row in rows] for name in names}
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.datetime64) else value


def write_shop(folder: Path, interactions: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write interactions, whose `day` stands for event_time and whose event is a purchase unless given, and items.

    Without `items` every item that is named exists, in the order of the names.
    """
    rows = [{"event": "purchase", **{name: value for name, value in row.items() if name != "day"}} for row in interactions]
    for row, given in zip(rows, interactions, strict=True):
        if "day" in given:
            row["event_time"] = at(given["day"])
    if items is None:
        items = [{"item_id": id_, "title": id_} for id_ in sorted({row["item_id"] for row in rows})]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), folder / "interactions.parquet")
    pq.write_table(table(items), folder / "items.parquet")
    return folder


def load_shop(folder: Path, interactions: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]] | None = None) -> Dataset:
    """`write_shop`, loaded, its items numbered as they are listed."""
    return as_listed(Dataset.load(write_shop(folder, interactions, items)))


def as_listed(shop: Dataset) -> Dataset:
    """The same shop with its items numbered in the order of the folder's table: any order will do, and this one is easy to read."""
    items = pq.read_table(shop.folder / "items.parquet")
    place = {item: number for number, item in enumerate(items["item_id"].to_pylist())}
    places = np.array([place[item] for item in shop.item_ids.ids], np.int32)
    return replace(shop, items=items, interactions=replace(shop.interactions, items=places[shop.interactions.items]))

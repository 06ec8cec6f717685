"""Amazon Reviews (McAuley lab): reviews and metadata in the layouts of 2014, 2018 and 2023, one object per line, gzipped or not.

A folder holds the files as published: names that begin with ``meta_`` are metadata (``meta_Beauty.json.gz``), all others reviews
(``reviews_Beauty_5.json.gz``, ``Beauty_5.json.gz``, ``All_Beauty.jsonl.gz``). The 2014 metadata are Python literals, not JSON.

What becomes what:
    interactions  one ``review`` per review. When the item was bought, and by whom else, is not known, so it is not called a purchase; with
                  ``data.positive_events = ["review"]`` it counts as one.
    reviews       the same lines with headline, stars, helpful votes and text, HTML undone
    items         one per item of the metadata; a repeated line (2018 has about 1 %) is dropped. What is derived from everybody's
                  behaviour, and so from the future (also bought, sales rank, average rating), is never read.
In 2023 an item is its ``parent_asin``: the variants share one page and its reviews.
"""

from __future__ import annotations

import ast
import html
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.data.casting import cast
from recsys.data.checks import SeenIds
from recsys.data.readers import RecordBlock, column_of, read_records, require_columns
from recsys.data.schema import ARROW_TYPES
from recsys.data.shop import Chunk, Shop, TimeFormat
from recsys.errors import DataError

SOURCE = "amazon"

_ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
_OLD_REVIEW = {
    "item_id": "asin",
    "customer_id": "reviewerID",
    "event_time": "unixReviewTime",
    "rating": "overall",
    "title": "summary",
    "text": "reviewText",
}
_NEW_REVIEW = {
    "item_id": "parent_asin",
    "customer_id": "user_id",
    "event_time": "timestamp",
    "rating": "rating",
    "title": "title",
    "text": "text",
}
_REVIEW_KEYS = (("parent_asin", "user_id", "timestamp"), ("asin", "reviewerID", "unixReviewTime"))
_ITEM_KEYS = (("parent_asin", "title"), ("asin", "title"))
_COLUMNS = {
    "items": ("item_id", "title", "description", "brand", "category", "price", "attributes"),
    "interactions": ("item_id", "customer_id", "event", "event_time"),
    "reviews": ("customer_id", "item_id", "text", "title", "rating", "event_time", "helpful_count"),
}
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_PRICE = re.compile(r"\$?\s*([\d,]*\.?\d+)")


def amazon(folder: Path) -> Shop:
    """The shop in a folder of published files.

    Raises:
        DataError: the folder lacks metadata or reviews.
    """
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_ENDINGS)) if folder.is_dir() else []
    metadata = [path for path in files if path.name.startswith("meta_")]
    reviews = [path for path in files if path not in metadata]
    for what, found, example in (("metadata", metadata, "meta_Beauty.json.gz"), ("reviews", reviews, "reviews_Beauty_5.json.gz")):
        if not found:
            raise DataError(f"{folder} holds no {what}; expected a file such as {example} among: {', '.join(path.name for path in files)}")
    return Shop(SOURCE, _COLUMNS, _chunks(metadata, reviews))


def _chunks(metadata: list[Path], reviews: list[Path]) -> Iterator[Chunk]:
    seen = SeenIds()
    for path in metadata:
        for block in _blocks(path, "items", _ITEM_KEYS):
            chunk = Chunk.of("items", block, _items(block.records))
            is_new = seen.add(cast("id", chunk.rows["item_id"], TimeFormat()))
            yield chunk.without({"repeated line of an item": pa.array(~is_new)})
    for path in reviews:
        for block in _blocks(path, "reviews", _REVIEW_KEYS):
            columns = _reviews(block.records)
            yield Chunk.of("interactions", block, {name: columns[name] for name in _COLUMNS["interactions"]})
            yield Chunk.of("reviews", block, {name: columns[name] for name in _COLUMNS["reviews"]})


def _blocks(path: Path, table: str, layouts: tuple[tuple[str, ...], ...]) -> Iterator[RecordBlock]:
    """The lines of a file, whose first ones must have all keys of one layout."""
    for number, block in enumerate(read_records(path, _json_or_literal)):
        if number == 0:
            keys = tuple(dict.fromkeys(key for record in block.records for key in record))
            if not any(set(layout) <= set(keys) for layout in layouts):
                require_columns(path, keys, next((layout for layout in layouts if layout[0] in keys), layouts[0]), table)
        yield block


def _json_or_literal(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        with warnings.catch_warnings(action="ignore", category=Warning):  # of odd escapes inside strings
            return ast.literal_eval(line.strip())


def _reviews(records: list[dict[str, Any]]) -> dict[str, pa.Array]:
    layout = _NEW_REVIEW if records and "parent_asin" in records[0] else _OLD_REVIEW
    columns = {name: [record.get(key) for record in records] for name, key in layout.items()}
    columns["title"] = [_text(title) for title in columns["title"]]
    columns["text"] = [_text(text) for text in columns["text"]]
    columns["helpful_count"] = [_helpful(record) for record in records]
    columns["event"] = ["review"] * len(records)
    return {name: column_of(values) for name, values in columns.items()}


def _helpful(record: dict[str, Any]) -> Any:
    """2023: a count; 2014: [helpful votes, all votes]; 2018: a string such as "1,234", absent = nobody voted."""
    if "helpful_vote" in record:
        return record["helpful_vote"]
    votes = record.get("helpful", record.get("vote", 0))
    if isinstance(votes, list):
        return votes[0] if votes else None
    return votes.replace(",", "") if isinstance(votes, str) else votes


def _items(records: list[dict[str, Any]]) -> dict[str, pa.Array]:
    rows = [_item(record) for record in records]
    columns = {name: column_of([row[name] for row in rows]) for name in ("item_id", "title", "description", "brand", "price")}
    columns["category"] = pa.array([row["category"] for row in rows], ARROW_TYPES["path"])
    columns["attributes"] = pa.array([row["attributes"] for row in rows], ARROW_TYPES["attributes"])
    return columns


def _item(record: dict[str, Any]) -> dict[str, Any]:
    features = record.get("features") or record.get("feature") or []
    details = record.get("details")
    return {
        "item_id": record.get("parent_asin", record.get("asin")),
        "title": _text(record.get("title")),
        "description": _text([record.get("description"), features]),
        "brand": _text(record.get("store") or record.get("brand")),
        "category": _category(record),
        "price": _price(record.get("price")),
        "attributes": [(name, _text(value)) for name, value in details.items() if isinstance(value, str)]
        if isinstance(details, dict)
        else None,
    }


def _category(record: dict[str, Any]) -> list[str]:
    """2014 lists several paths, of which the first counts; 2018 and 2023 one, which is empty where only the main category is known."""
    path = record.get("categories") or record.get("category") or []
    if path and isinstance(path[0], list):
        path = path[0]
    names = [_text(name) for name in path] or [_text(record.get("main_category") or record.get("main_cat"))]
    return [name for name in names if name]


def _price(value: Any) -> float | None:
    """Of 12.99, "$1,299.00" or nothing; a range or other text is no price, and 0 means unknown."""
    found = _PRICE.fullmatch(str(value).strip())
    price = float(found[1].replace(",", "")) if found else 0.0
    return price or None


def _text(value: Any) -> str | None:
    """Plain text of a string or of all strings in nested lists."""
    if isinstance(value, list):
        return " ".join(filter(None, map(_text, value))) or None
    if not isinstance(value, str):
        return None
    if "<" in value or "&" in value:
        value = html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", value)))
    return " ".join(value.split())

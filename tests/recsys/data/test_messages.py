"""Messages as of a time, on a shop whose every message is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.data.dataset import Dataset
from recsys.data.messages import read_messages
from recsys.errors import DataError


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    lines = [("one", "a", 1), ("two", "b", 2), ("late", "a", 40)]
    return load_shop(tmp_path, [{"customer_id": name, "item_id": item, "day": day} for name, item, day in lines])


def write(shop: Dataset, *messages: dict[str, Any]) -> None:
    rows = [{"customer_id": "one", "text": "text", **message} for message in messages]
    times = pa.array([None if row.get("day") is None else at(row["day"]).item() for row in rows], pa.timestamp("us", "UTC"))
    columns = {name: [row.get(name) for row in rows] for name in ("customer_id", "text", "channel")}
    pq.write_table(pa.table({**columns, "event_time": times}), shop.folder / "messages.parquet")


def test_a_view_knows_what_was_sent_before_its_end_oldest_first(shop: Dataset) -> None:
    write(
        shop, {"day": 9, "text": "second"}, {"day": 3, "text": "first"}, {"day": 30, "text": "at the end"}, {"day": None, "text": "undated"}
    )
    assert read_messages(shop.before(at(30))).texts.tolist() == ["first", "second"]
    assert len(read_messages(shop)) == 3


def test_who_came_later_is_nobody_yet_and_no_text_is_an_empty_one(shop: Dataset) -> None:
    write(shop, {"day": 3, "customer_id": "late"}, {"day": 4, "customer_id": "two", "text": None})
    assert read_messages(shop.before(at(30))).customers.tolist() == [-1, 1]
    assert read_messages(shop).customers.tolist() == [2, 1]
    assert read_messages(shop).texts.tolist() == ["text", ""]


def test_a_shop_without_messages_has_none_and_a_damaged_table_is_named(shop: Dataset) -> None:
    assert len(read_messages(shop)) == 0
    (shop.folder / "messages.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"messages\.parquet cannot be read"):
        read_messages(shop)

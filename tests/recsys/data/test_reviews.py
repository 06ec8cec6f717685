"""Reviews as of a time, on a shop whose every review is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.errors import DataError


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    lines = [("one", "a", 1), ("two", "b", 2), ("late", "a", 40)]
    return load_shop(tmp_path, [{"customer_id": name, "item_id": item, "day": day} for name, item, day in lines])


def write(shop: Dataset, *reviews: dict[str, Any]) -> None:
    rows = [{"customer_id": "one", "item_id": "a", "text": "text", **review} for review in reviews]
    times = pa.array([None if row.get("day") is None else at(row["day"]).item() for row in rows], pa.timestamp("us", "UTC"))
    columns = {name: [row.get(name) for row in rows] for name in ("customer_id", "item_id", "text", "title")}
    numbers = {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in ("rating", "helpful_count")}
    pq.write_table(pa.table({**columns, **numbers, "event_time": times}), shop.folder / "reviews.parquet")


def test_a_view_knows_what_was_written_before_its_end_oldest_first(shop: Dataset) -> None:
    write(shop, {"day": 9, "text": "third"}, {"day": 3, "text": "first"}, {"day": 5, "text": "second"}, {"day": 30, "text": "at the end"})
    assert read_reviews(shop.before(at(30))).texts.tolist() == ["first", "second", "third"]
    assert len(read_reviews(shop)) == 4


def test_what_has_no_date_could_be_of_any_time(shop: Dataset) -> None:
    write(shop, {"day": None}, {"day": 3, "text": "dated"})
    assert read_reviews(shop).texts.tolist() == ["dated"]
    assert read_reviews(shop.before(at(10))).texts.tolist() == ["dated"]


def test_who_came_later_is_nobody_yet_and_unknown_items_are_left_out(shop: Dataset) -> None:
    write(shop, {"day": 3, "customer_id": "late"}, {"day": 4, "customer_id": "two"}, {"day": 5, "item_id": "gone"})
    assert read_reviews(shop.before(at(30))).customers.tolist() == [-1, 1]
    assert read_reviews(shop).customers.tolist() == [2, 1]


def test_stars_votes_and_headlines_are_read_where_there_are_any(shop: Dataset) -> None:
    write(shop, {"day": 3, "title": "Good", "rating": 4.0, "helpful_count": 7.0}, {"day": 4, "text": None})
    found = read_reviews(shop)
    assert found.texts.tolist() == ["Good. text", ""]
    np.testing.assert_array_equal(found.stars, [4, np.nan])
    assert found.helpful.tolist() == [7, 0]


def test_a_shop_without_reviews_has_none(shop: Dataset) -> None:
    assert len(read_reviews(shop)) == 0


def test_the_fingerprint_follows_the_contents(shop: Dataset) -> None:
    write(shop, {"day": 3}, {"day": 4})
    first = read_reviews(shop).fingerprint
    assert read_reviews(shop).fingerprint == first
    assert read_reviews(shop.before(at(4))).fingerprint != first


def test_a_damaged_table_is_named(shop: Dataset) -> None:
    (shop.folder / "reviews.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"reviews\.parquet cannot be read"):
        read_reviews(shop)

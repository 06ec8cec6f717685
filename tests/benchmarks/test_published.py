"""Published files as tables of the data contract."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.published import write_tables
from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importing import import_shop
from recsys.errors import DataError


def test_a_review_of_an_instrument_is_a_purchase_and_a_text(tmp_path: Path) -> None:
    reviews = {
        "user_id": ["a", "b"],
        "item_id": ["i1", "i2"],
        "timestamp": [1_400_000_000, 1_353_024_000],
        "rating": [5, 1],
        "review_title": ["Loud", "No"],
        "review_text": ["Plays well.", "The strings broke."],
        "helpful_votes": [3, 0],
        "total_votes": [4, 0],
    }
    items = {"item_id": ["i1", "i2"], "title": ["Drum", None], "category": ["Drums", "Strings"], "price": [7.5, None], "n_reviews": [1, 1]}
    for name, columns in (("reviews", reviews), ("items", items)):
        pd.DataFrame(columns).to_parquet(tmp_path / f"amazon2014_musical_instruments_{name}.parquet")
    write_tables("instruments", tmp_path, tmp_path / "tables")
    report = import_shop(open_shop("tables", tmp_path / "tables"), tmp_path / "shop")
    assert {name: table.kept for name, table in report.tables.items()} == {"items": 2, "interactions": 2, "reviews": 2}
    dataset = Dataset.load(tmp_path / "shop")
    assert [dataset.customers.ids[customer] for customer in dataset.interactions.customers] == ["b", "a"]
    told = pq.read_table(tmp_path / "shop" / "reviews.parquet").sort_by("customer_id").to_pydict()
    assert told["text"] == ["Plays well.", "The strings broke."]
    assert told["helpful_count"] == [3, 0]
    assert pq.read_table(tmp_path / "shop" / "items.parquet").sort_by("item_id")["category"].to_pylist() == [["Drums"], ["Strings"]]


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"amazon2014_beauty_interactions\.parquet and no .*amazon2014_beauty_items\.parquet"):
        write_tables("beauty", tmp_path, tmp_path / "tables")

"""Promises of every import, whatever the rows: nothing is lost or counted twice, and the canonical folder can be imported again."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.checks import SeenIds
from recsys.data.importers import open_shop
from recsys.data.importing import import_shop

Row = dict[str, Any]

ids = st.sampled_from(["a", "b", "c", "x", "", "nan", " a "])
interactions = st.fixed_dictionaries(
    {
        "item_id": ids,
        "event": st.sampled_from(["view", "Purchase", "", "order"]),
        "event_time": st.sampled_from(["2024-05-01", "2024-05-01T10:00:00Z", "1714559400", "never", "", "1985-01-01", "2024-02-30"]),
        "customer_id": ids,
        "event_id": st.sampled_from(["", "", "", "e1", "e2"]),
        "quantity": st.sampled_from(["", "1", "-3.5", "many", "inf", "1e10"]),
    }
)
items = st.fixed_dictionaries(
    {"item_id": ids, "title": st.sampled_from(["", "Apple", "Brot & Käse"]), "price": st.sampled_from(["", "1", "-1", "x"])}
)


def write_csv(path: Path, rows: list[Row], columns: list[str], malformed: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
        file.writelines(f"{line}\n" for line in malformed)


def write_json_lines(path: Path, rows: list[Row], columns: list[str], malformed: list[str]) -> None:
    lines = [json.dumps(row) for row in rows] + malformed
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(interactions, max_size=5),
    st.lists(items, max_size=5),
    st.integers(0, 2),
    st.sampled_from([("csv", write_csv), ("jsonl", write_json_lines)]),
)
def test_every_row_is_kept_dropped_or_refused_and_never_two_of_these(rows: Any, catalogue: Any, n_malformed: int, form: Any) -> None:
    ending, write = form
    good = {"item_id": "good", "event": "view", "event_time": "2024-05-01", "customer_id": "c", "event_id": "", "quantity": "7"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "source")
        folder.mkdir()
        write(folder / f"interactions.{ending}", [good, *rows], list(good), ["{ broken"] * n_malformed)
        write(
            folder / f"items.{ending}", [{"item_id": "good", "title": "Good", "price": "1"}, *catalogue], ["item_id", "title", "price"], []
        )
        mapping = Path(name, "mapping.toml")
        mapping.write_text('[interactions]\ndrop = { event = ["order"] }', encoding="utf-8")
        report = import_shop(open_shop("tables", folder, mapping), Path(name, "out"), max_bad=1.0)
        kept = pq.read_table(Path(name, "out", "interactions.parquet"))
        known = set(pq.read_table(Path(name, "out", "items.parquet"))["item_id"].to_pylist())

    n_given = {"interactions": 1 + len(rows) + n_malformed, "items": 1 + len(catalogue)}
    for table, counts in report.tables.items():
        assert counts.read == n_given[table]
        assert counts.read == counts.kept + counts.dropped.total() + counts.refused.total
    interactions_report = report.tables["interactions"]
    examples = [example for found in interactions_report.refused.examples.values() for example in found]
    numbers = [re.search(r"(?:row|line) (\d+) of", example)[1] for example in examples]
    assert len(numbers) == len(set(numbers)) == interactions_report.refused.total
    assert interactions_report.dropped.total() == sum(row["event"] == "order" for row in rows)
    assert kept.num_rows == interactions_report.kept
    assert set(kept["item_id"].to_pylist()) <= known


good_ids = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6).filter(
    lambda text: text.strip() == text and text.lower() not in ("nan", "null", "none", "<na>", "nat")
)
good_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).map(str.strip)
times = st.integers(631_152_000_000_000, 4_102_444_800_000_000)
numbers = st.none() | st.floats(-1e9, 1e9)
good_interactions = st.fixed_dictionaries(
    {
        "item_id": good_ids,
        "customer_id": good_ids,
        "event": st.sampled_from(["view", "purchase"]),
        "event_time": times,
        "quantity": numbers,
        "value": numbers,
    }
)
good_items = st.fixed_dictionaries(
    {
        "item_id": good_ids,
        "title": good_texts,
        "category": st.none() | st.lists(good_ids, min_size=1, max_size=3),
        "attributes": st.none() | st.dictionaries(good_ids, good_texts, max_size=2).map(lambda pairs: list(pairs.items())),
        "price": st.none() | st.floats(0, 1e9),
        "available": st.booleans(),
    }
)
SCHEMAS = {
    "interactions": pa.schema(
        {
            "item_id": pa.string(),
            "customer_id": pa.string(),
            "event": pa.string(),
            "event_time": pa.timestamp("us", "UTC"),
            "quantity": pa.float64(),
            "value": pa.float64(),
        }
    ),
    "items": pa.schema(
        {
            "item_id": pa.string(),
            "title": pa.string(),
            "category": pa.list_(pa.string()),
            "attributes": pa.map_(pa.string(), pa.string()),
            "price": pa.float64(),
            "available": pa.bool_(),
        }
    ),
}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(good_interactions, min_size=1, max_size=5), st.lists(good_items, min_size=1, max_size=5, unique_by=lambda row: row["item_id"])
)
def test_a_canonical_folder_imports_as_itself(rows: Any, catalogue: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, first, second = (Path(name, part) for part in ("source", "first", "second"))
        source.mkdir()
        given_tables = {
            "interactions": pa.Table.from_pylist(rows, SCHEMAS["interactions"]),
            "items": pa.Table.from_pylist(catalogue, SCHEMAS["items"]),
        }
        for table, given_rows in given_tables.items():
            pq.write_table(given_rows, source / f"{table}.parquet")
        import_shop(open_shop("tables", source), first, max_bad=0.0)
        report = import_shop(open_shop("tables", first), second, max_bad=0.0)
        for table, given_rows in given_tables.items():
            once, twice = (pq.read_table(folder / f"{table}.parquet") for folder in (first, second))
            assert twice.equals(once)
            assert once.select(given_rows.column_names).to_pylist()[: len(given_rows)] == given_rows.to_pylist()
        assert report.n_stubs == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.none() | st.integers(0, 30).map(str), max_size=20), max_size=8))
def test_seen_ids_agree_with_a_set(batches: Any) -> None:
    seen, expected = SeenIds(), set()
    for batch in batches:
        first = []
        for value in batch:
            first.append(value is None or value not in expected)
            expected.add(value)
        assert np.array_equal(seen.add(pa.array(batch, pa.string())), np.array(first, bool))

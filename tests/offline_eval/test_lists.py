"""Files of lists: what is read back, what is refused, and what is counted."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_eval.lists import Kept, Lists, Notice, notices, read_lists, told, write_lists
from recsys.errors import DataError
from recsys.types import Query

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)
ranked = st.lists(ids, min_size=1, max_size=5, unique=True).map(tuple)
tables = st.dictionaries(
    ids, st.dictionaries(ids, st.dictionaries(ids, ranked, min_size=1, max_size=4), min_size=1, max_size=3), min_size=1
)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def query(customer: str | None, k: int = 3) -> Query:
    return Query(k=k, time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), customer_id=customer)


@settings(max_examples=50, deadline=None)
@given(lists=tables)
def test_what_is_written_is_read_back(
    lists: dict[str, dict[str, dict[str, tuple[str, ...]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lists") / "lists.parquet"
    write_lists({table: {system: Lists(of) for system, of in systems.items()} for table, systems in lists.items()}, path)
    found = read_lists(path)
    assert {table: {system: dict(of.of) for system, of in systems.items()} for table, systems in found.items()} == lists
    assert not any(of.notices for systems in found.values() for of in systems.values())


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("order", [{"rank": (2, 1)}, {"score": (0.5, 1.5)}, {"rank": (2, 1), "score": (9.0, 1.0)}])
def test_rank_or_score_gives_the_order_and_ids_stay_as_they_are_written(tmp_path: Path, ending: str, order: dict[str, tuple]) -> None:
    rows = [
        {"customer_id": "007", "item_id": item, **{name: values[at] for name, values in order.items()}}
        for at, item in enumerate(("NA", "1e3"))
    ]
    found = read_lists(write(tmp_path / f"theirs.{ending}", rows))
    assert found["all purchases"]["theirs"].of == {"007": ("1e3", "NA")}


def test_equal_scores_go_by_item_id_in_whatever_order_the_file_is_and_are_counted(tmp_path: Path) -> None:
    rows = [{"customer_id": "c", "item_id": item, "score": 1.0} for item in "cab"]
    for number, order in enumerate((rows, rows[::-1])):
        lists = read_lists(write(tmp_path / f"l{number}.csv", order))["all purchases"][f"l{number}"]
        assert lists.of == {"c": ("a", "b", "c")}
        assert [(notice.count, notice.what.split()[0]) for notice in lists.notices] == [(2, "scores")]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_customer_whose_scores_stand_in_two_places_is_one_list_and_counted(tmp_path: Path, ending: str) -> None:
    blocks = [("ann", "a", 3.0), ("ann", "b", 1.0), ("bob", "a", 1.0), ("ann", "c", 2.0), ("guy", "c", 1.0)]
    rows: list[dict[str, object]] = [{"customer_id": customer, "item_id": item, "score": score} for customer, item, score in blocks]
    lists = read_lists(write(tmp_path / f"l.{ending}", rows))["all purchases"]["l"]
    assert lists.of == {"ann": ("a", "c", "b"), "bob": ("a",), "guy": ("c",)}
    assert [(notice.count, notice.example, "in several places" in notice.what) for notice in lists.notices] == [(1, "ann", True)]


def test_systems_that_take_turns_in_a_file_are_no_customers_in_two_places(tmp_path: Path) -> None:
    turns = [("ann", "one"), ("ann", "two"), ("bob", "one"), ("bob", "two"), ("ann", "three")]
    rows: list[dict[str, object]] = [{"customer_id": c, "item_id": "a", "score": 1.0, "system": system} for c, system in turns]
    found = read_lists(write(tmp_path / "l.csv", rows))["all purchases"]
    assert {system: lists.notices for system, lists in found.items()} == {"one": (), "two": (), "three": ()}


def test_gaps_between_ranks_are_counted(tmp_path: Path) -> None:
    rows = [{"customer_id": "c", "item_id": item, "rank": rank} for item, rank in (("a", 1), ("b", 2), ("d", 4))]
    (notice,) = read_lists(write(tmp_path / "l.csv", rows))["all purchases"]["l"].notices
    assert (notice.count, notice.example) == (1, "c")


GOOD = {"customer_id": "c", "item_id": "a", "rank": 1}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([GOOD, {**GOOD, "rank": 2}], "1 rows repeat an item of the same customer's list"),
        ([GOOD, {**GOOD, "item_id": "b"}], "repeat a rank of the same customer; is the customer in the file twice?"),
        ([GOOD, {**GOOD, "item_id": "b", "rank": None}], "1 rows have no finite rank"),
        ([{"customer_id": "c", "item_id": "a", "score": float("nan")}], "have no finite score"),
        ([{"customer_id": "c", "item_id": "a", "score": "high"}], "have no finite score"),
        ([{**GOOD, "customer_id": None}], "have no customer_id; the first is row 1"),
        ([{"customer_id": "c", "item_id": "a"}], "needs rows of customer_id, item_id and rank or score"),
        ([{"customer": "c", "item_id": "a", "rank": 1}], "needs rows of customer_id"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_what_has_no_one_meaning_is_refused(tmp_path: Path, ending: str, rows: list[dict[str, object]], reason: str) -> None:
    with pytest.raises(DataError, match="lists") as refused:
        read_lists(write(tmp_path / f"lists.{ending}", rows))
    assert reason in str(refused.value)


def test_a_file_of_another_kind_or_none_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists.txt").write_text("")
    (tmp_path / "lists.jsonl").write_text("{")
    (tmp_path / "empty.csv").write_text("customer_id,item_id,rank\n")
    for name, reason in (
        ("lists.txt", ".jsonl"),
        ("lists.jsonl", "cannot be read"),
        ("empty.csv", "needs rows"),
        ("none.csv", "cannot be read"),
    ):
        with pytest.raises(DataError, match=name) as refused:
            read_lists(tmp_path / name)
        assert reason in str(refused.value)


def test_all_that_changes_what_figures_mean_is_counted() -> None:
    lists = Lists({"ann": ("a", "b", "c"), "bob": ("a",), "eve": ("a", "nowhere")})
    found = {
        notice.what.partition(";")[0]: (notice.count, notice.example)
        for notice in notices("theirs", lists, {"ann", "bob", "guy"}, {"a", "b"}, 2)
    }
    assert found == {
        "customers with a list bought nothing that counts in the period, and are not measured": (1, "eve"),
        "customers who bought have no list, and count as an empty one": (1, "guy"),
        "lists are longer than 2": (1, "ann"),
        "lists are shorter than 2": (1, "bob"),
    }
    (unknown,) = (notices("theirs", lists, {"ann", "bob", "eve"}, {"a"}, 1),)
    assert [notice.what.split(",")[0] for notice in unknown] == ["lists are longer than 1; the rest is not read"]
    (places,) = [n for n in notices("theirs", lists, {"ann", "bob", "eve"}, {"a", "b", "c"}, 3) if "does not have" in n.what]
    assert (places.count, places.example) == (1, "nowhere")


def test_what_systems_have_in_common_is_told_once() -> None:
    found = [Notice(system, count, "lists are short", "ann") for system, count in (("a", 2), ("b", 1), ("c", 2))]
    assert told(found) == ["a, c: 2 lists are short, for example 'ann'", "b: 1 lists are short, for example 'ann'"]


def test_lists_answer_as_a_system_and_a_system_is_remembered() -> None:
    lists = Lists({"ann": ("a", "b", "c")})
    assert [list(items) for items in lists([query("ann", 2), query("bob"), query(None)])] == [["a", "b"], [], []]
    kept = Kept(lists)
    kept([query("ann", 2), query("bob")])
    assert kept.lists.of == {"ann": ("a", "b"), "bob": ()}

"""What the data contract accepts, refuses and says about it; through CSV files, as a shop would meet it."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shops import Import, Write

from recsys.errors import DataError

HEADER = "item_id,event,event_time,customer_id\n"
GOOD = "a,view,2024-05-01,c1\n"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


def test_good_rows_arrive_in_the_types_of_the_contract(import_tables: Import) -> None:
    done = import_tables("item_id,event,event_time,customer_id,quantity,value\n a ,PURCHASE,2024-05-01T10:00:00,c1,2,3.5\n")
    assert done.rows() == [
        {"item_id": "a", "customer_id": "c1", "event": "purchase", "event_time": utc(2024, 5, 1, 10), "quantity": 2.0, "value": 3.5}
    ]
    schema = pq.read_schema(done.folder / "interactions.parquet")
    assert schema.field("event_time").type == pa.timestamp("us", "UTC")
    assert schema.names == ["item_id", "customer_id", "event", "event_time", "quantity", "value"]


def test_rows_keep_the_order_of_the_file(import_tables: Import) -> None:
    lines = "".join(f"a,view,2024-05-0{day},c1\n" for day in (3, 1, 2))
    assert [time.day for time in import_tables(HEADER + lines).column("event_time")] == [3, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01", utc(2024, 5, 1)),
        ("2024-05-01 10:30", utc(2024, 5, 1, 10, 30)),
        ("2024-05-01T10:30:00Z", utc(2024, 5, 1, 10, 30)),
        ("2024-05-01T10:30:00+02:00", utc(2024, 5, 1, 8, 30)),
        ("2024-05-01 10:30:00 UTC", utc(2024, 5, 1, 10, 30)),
        ("2024-05-01T10:30:00.123456789", utc(2024, 5, 1, 10, 30, 0, 123456)),
        ("1714559400", utc(2024, 5, 1, 10, 30)),
        ("1714559400000", utc(2024, 5, 1, 10, 30)),
    ],
)
def test_times_are_read_in_many_forms(import_tables: Import, text: str, expected: Any) -> None:
    assert import_tables(f"{HEADER}a,view,{text},c1\n").column("event_time") == [expected]


@pytest.mark.parametrize(
    ("unit", "number"), [("s", 1714559400), ("ms", 1714559400_000), ("us", 1714559400_000_000), ("ns", 1714559400_000_000_000)]
)
def test_the_unit_of_numeric_times_is_told_by_magnitude_or_declared(import_tables: Import, unit: str, number: int) -> None:
    lines = f"{HEADER}a,view,{number},c1\n"
    for mapping in (None, f'[interactions]\ntime_unit = "{unit}"'):
        assert import_tables(lines, mapping=mapping).column("event_time") == [utc(2024, 5, 1, 10, 30)]


def test_a_time_format_is_strict(import_tables: Import) -> None:
    mapping = '[interactions]\ntime_format = "%d.%m.%Y %H:%M"'
    done = import_tables(f"{HEADER}a,view,01.05.2024 10:30,c1\na,view,30.02.2024 10:30,c1\n", mapping=mapping)
    assert done.column("event_time") == [utc(2024, 5, 1, 10, 30)]
    assert done.refused() == {"event_time is no time": 1}


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        (",view,2024-05-01,c1", "item_id is empty", ["item_id is None", "non-empty"]),
        ("NaN,view,2024-05-01,c1", "item_id is empty", ["item_id is 'NaN'"]),
        ("a,,2024-05-01,c1", "event is empty", ["view, cart, purchase"]),
        ("a,view,,c1", "event_time is empty", ["2024-05-31"]),
        ("a,view,yesterday,c1", "event_time is no time", ["'yesterday'", "2024-05-31"]),
        ("a,view,2023-02-29,c1", "event_time is no time", ["'2023-02-29'"]),
        ("a,view,1985-01-01,c1", "event_time is before 1990-01-01", ["'1985-01-01'", "time_unit"]),
        ("a,view,17145594,c1", "event_time is no time", ["'17145594'"]),
        ("a,view,2024-05-01,", "customer_id and its alternatives are empty", ["customer_id or visitor_id or basket_id"]),
        ("a,view,2024-05-01,nan", "customer_id and its alternatives are empty", ["customer_id is 'nan'"]),
    ],
)
def test_a_bad_row_is_refused_with_table_row_column_value_and_what_is_right(
    import_tables: Import, line: str, reason: str, words: Any
) -> None:
    done = import_tables(f"{HEADER}{GOOD}{line}\n")
    assert done.refused() == {reason: 1}
    example = done.example(reason)
    assert example.startswith("interactions, row 3 of interactions.csv: ")
    assert all(word in example for word in words)
    assert len(done.rows()) == 1


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        ("many", "quantity is no number"),
        ("1,5", "quantity is no number"),
        ("2e9", "quantity is out of bounds"),
        ("-2e9", "quantity is out of bounds"),
        ("inf", "quantity is not finite"),
    ],
)
def test_absurd_quantities_are_refused(import_tables: Import, quantity: str, reason: str) -> None:
    done = import_tables(f'{HEADER[:-1]},quantity\na,view,2024-05-01,c1,"{quantity}"\n{GOOD[:-1]},1\n')
    assert done.refused() == {reason: 1}
    assert quantity.lstrip("-") in done.example(reason)


def test_large_quantities_are_kept_and_missing_ones_are_null(import_tables: Import) -> None:
    done = import_tables(f"{HEADER[:-1]},quantity\n{GOOD[:-1]},89638\n{GOOD[:-1]},\n{GOOD[:-1]},nan\n")
    assert done.column("quantity") == [89638.0, None, None]


def test_nan_in_a_parquet_file_is_a_missing_value(write: Write, import_source: Import) -> None:
    rows = {"item_id": ["a"], "event": ["view"], "event_time": ["2024-05-01"], "customer_id": [17850.0]}
    rows |= {"quantity": [math.nan], "currency": [math.nan]}
    folder = write({"items.csv": "item_id,title\na,Apple\n"})
    pq.write_table(pa.table(rows), folder / "interactions.parquet")
    done = import_source("tables", folder)
    assert (done.column("quantity"), done.column("currency")) == ([None], [None])
    assert done.column("customer_id") == ["17850"]


def test_typed_columns_need_no_conversion_by_the_shop(write: Write, import_source: Import) -> None:
    folder = write({"items.jsonl": '{"item_id": 7, "title": "Apple", "description": ["Red.", "Sweet."], "category": ["Food"]}\n'})
    paris = pa.array([1714559400], pa.timestamp("s", "Europe/Paris"))
    rows = {"item_id": pa.array(["7"]).dictionary_encode(), "event": pa.array([b"view"]), "event_time": paris, "customer_id": [17850]}
    pq.write_table(pa.table(rows), folder / "interactions.parquet")
    done = import_source("tables", folder)
    assert (done.rows("items")[0]["item_id"], done.rows("items")[0]["description"]) == ("7", "Red., Sweet.")
    assert done.rows()[0] == {"item_id": "7", "customer_id": "17850", "event": "view", "event_time": utc(2024, 5, 1, 10, 30)}


@pytest.mark.parametrize("values", [[True], [[1]], [{"a": 1}]])
def test_values_of_a_wrong_type_are_refused(write: Write, import_source: Import, values: list[Any]) -> None:
    folder = write({"items.csv": "item_id,title\na,Apple\n"})
    good = {"item_id": ["a"], "event": ["view"], "event_time": ["2024-05-01"], "customer_id": ["c1"]}
    pq.write_table(pa.table(good | {"quantity": values}), folder / "interactions.parquet")
    with pytest.raises(DataError, match=r"quantity is no number \(1\)"):
        import_source("tables", folder)


def test_times_a_day_after_now_are_refused_when_now_is_given(import_tables: Import) -> None:
    lines = f"{HEADER}a,view,2024-05-02,c1\na,view,2024-05-03,c1\n"
    assert len(import_tables(lines).rows()) == 2
    done = import_tables(lines, now=utc(2024, 5, 1))
    assert done.refused() == {"event_time is in the future": 1}
    assert "'2024-05-03'; it may be at most 2024-05-02" in done.example("event_time is in the future")


def test_visitors_and_baskets_may_stand_for_customers(import_tables: Import) -> None:
    lines = "item_id,event,event_time,visitor_id,basket_id\na,view,2024-05-01,v1,\na,view,2024-05-01,,b1\na,view,2024-05-01,,\n"
    done = import_tables(lines)
    assert [(row["visitor_id"], row["basket_id"]) for row in done.rows()] == [("v1", None), (None, "b1")]
    assert sum(done.refused().values()) == 1


def test_an_unknown_item_becomes_a_stub(import_tables: Import) -> None:
    done = import_tables(f"{HEADER}{GOOD}x,view,2024-05-01,c1\nx,view,2024-05-02,c1\n", items="item_id,title,price\na,Apple,1\n")
    assert len(done.rows()) == 3
    assert done.report.n_stubs == 1
    assert done.rows("items")[1] == {"item_id": "x", "title": "", "price": None, "available": True, "recommendable": False}
    assert done.report.tables["items"].kept == 1


def test_the_first_of_several_rows_with_one_id_is_kept(import_tables: Import) -> None:
    customers = "customer_id,city\nc1,Bonn\nc1,Köln\n"
    events = (
        f"{HEADER[:-1]},event_id\n" + "a,view,2024-05-01,c1,e1\na,view,2024-05-02,c1,e1\na,view,2024-05-03,c1,\na,view,2024-05-04,c1,\n"
    )
    done = import_tables(events, items="item_id,title\na,Apple\nb,Bread\na,Apricot\n", files={"customers.csv": customers})
    assert done.column("title", "items") == ["Apple", "Bread"]
    assert done.rows("customers") == [{"customer_id": "c1", "city": "Bonn"}]
    assert [time.day for time in done.column("event_time")] == [1, 3, 4]
    assert done.refused("items") == {"item_id is a repeat": 1}
    assert done.refused("customers") == {"customer_id is a repeat": 1}
    assert done.refused() == {"event_id is a repeat": 1}
    assert done.example("item_id is a repeat", "items").startswith("items, row 4 of items.csv: item_id is 'a'; the first row")


def test_a_refused_row_does_not_take_the_id_of_a_good_one(import_tables: Import) -> None:
    done = import_tables(HEADER + GOOD, items="item_id,title,price\na,Apple,-1\na,Apple,2\n")
    assert done.column("price", "items") == [2.0]
    assert done.refused("items") == {"price is out of bounds": 1}
    assert done.example("price is out of bounds", "items").endswith("price is '-1'; it must be at least 0 and at most 1e+09")


def test_items_read_paths_attributes_and_flags(import_tables: Import) -> None:
    items = (
        "item_id,title,category,attributes,available\n"
        'a,Apple,Food > Fruit,"{""colour"": ""red"", ""weight"": 3}",no\n'
        'b,,"[""Food"", ""Bread""]",,\n'
        "c,Chair,Home,{broken,yes\n"
        "d,Door,Home,,perhaps\n"
    )
    done = import_tables(HEADER + GOOD, items=items)
    assert done.rows("items") == [
        {"item_id": "a", "title": "Apple", "category": ["Food", "Fruit"], "attributes": [("colour", "red"), ("weight", "3")]}
        | {"available": False, "recommendable": True},
        {"item_id": "b", "title": "", "category": ["Food", "Bread"], "attributes": None, "available": True, "recommendable": True},
    ]
    assert done.refused("items") == {"attributes is no attributes": 1, "available is no flag": 1}


def test_optional_tables_are_checked_too(import_tables: Import) -> None:
    files = {
        "reviews.csv": "customer_id,item_id,text,rating,helpful_count\nc1,a,good,5,3\nc1,a,,1,\nc1,a,bad,6,\nc1,a,so so,3,1.5\n",
        "messages.csv": "customer_id,text,channel\nc1,Where is it?,mail\n",
        "exposures.csv": "request_id,item_id,position,event_time,visitor_id,propensity\nr1,a,1,2024-05-01,v1,0.5\nr1,b,2,2024-05-01,v1,0\n",
    }
    done = import_tables(HEADER + GOOD, files=files)
    assert [(row["text"], row["rating"], row["helpful_count"]) for row in done.rows("reviews")] == [("good", 5.0, 3), ("", 1.0, None)]
    assert done.refused("reviews") == {"rating is out of bounds": 1, "helpful_count is no count": 1}
    assert done.rows("messages") == [{"customer_id": "c1", "text": "Where is it?", "channel": "mail"}]
    assert done.refused("exposures") == {"propensity is out of bounds": 1}
    assert done.example("propensity is out of bounds", "exposures").endswith("it must be more than 0 and at most 1")


def test_at_most_five_examples_are_kept_of_each_reason(import_tables: Import) -> None:
    done = import_tables(HEADER + GOOD + "a,view,never,c1\n" * 9)
    assert done.refused() == {"event_time is no time": 9}
    assert len(done.report.tables["interactions"].refused.examples["event_time is no time"]) == 5


def test_a_row_with_two_faults_counts_once(import_tables: Import) -> None:
    done = import_tables(HEADER + GOOD + ",view,never,\n")
    assert done.refused() == {"item_id is empty": 1}
    assert done.report.tables["interactions"].read == 2

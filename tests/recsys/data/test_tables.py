"""The generic importer: which files and columns it takes, and the mapping that renames them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shops import Import, Write

from recsys.data.importers import open_shop
from recsys.errors import ConfigError, DataError

HEADER = "item_id,event,event_time,customer_id\n"
LINE = "a,view,2024-05-01,c1\n"


def test_a_mapping_makes_a_shop_of_other_peoples_columns(import_tables: Import) -> None:
    mapping = """
    [interactions]
    file = "orders-*.csv"
    columns = { item_id = "sku", customer_id = "client", event_time = "when", event = "kind" }
    constants = { currency = "EUR", quantity = 1 }
    events = { order = "purchase", Refund = "return" }
    drop = { status = ["cancelled", "test"] }
    time_format = "%d/%m/%Y"
    delimiter = ";"

    [items]
    file = "catalogue.csv"
    columns = { item_id = "sku", title = "name" }
    attributes = { colour = "col", size = "size_eu" }

    [customers]
    columns = { customer_id = "client", city = "town" }
    """
    header = "sku;client;when;kind;status\n"
    files = {
        "orders-1.csv": header + "a;c1;01/05/2024;ORDER;\na;c1;02/05/2024;refund;ok\n",
        "orders-2.csv": header + "a;c2;03/05/2024;view;cancelled\na;c2;04/05/2024;view;\n",
        "catalogue.csv": "sku,name,col,size_eu,internal\na,Apple,red,,x\n",
        "customers.csv": "client,town,age\nc1,Bonn,44\n",
    }
    done = import_tables(mapping=mapping, files=files)
    assert [(row["event_time"].day, row["event"]) for row in done.rows()] == [(1, "purchase"), (2, "return"), (4, "view")]
    assert {(row["currency"], row["quantity"]) for row in done.rows()} == {("EUR", 1.0)}
    assert done.report.tables["interactions"].dropped == {"status is cancelled": 1}
    assert done.rows("items")[0]["attributes"] == [("colour", "red")]
    assert done.report.tables["items"].ignored == ("internal",)
    assert done.rows("customers") == [{"customer_id": "c1", "age": "44", "city": "Bonn"}]


def test_a_missing_column_is_named_with_what_there_is_and_the_nearest(write: Write) -> None:
    folder = write({"items.csv": "item_id,title\na,Apple\n", "interactions.csv": "item_id,event,event_tmie,customer_id\n"})
    words = r"table interactions: .*interactions.csv has no column 'event_time'; did you mean 'event_tmie'\? its columns are: 'item_id'"
    with pytest.raises(DataError, match=words):
        open_shop("tables", folder)


def test_a_mapped_column_that_is_not_there_is_an_error(import_tables: Import) -> None:
    with pytest.raises(DataError, match=r"has no column 'quantty'; did you mean 'quantity'\?"):
        import_tables(f"{HEADER[:-1]},quantity\n", mapping='[interactions]\ncolumns = { quantity = "quantty" }')


def test_nobody_to_attribute_rows_to_is_an_error(write: Write, import_source: Import) -> None:
    folder = write({"items.csv": "item_id,title\na,Apple\n", "interactions.csv": "item_id,event,event_time\na,view,2024-05-01\n"})
    with pytest.raises(DataError, match="interactions needs one of the columns customer_id, visitor_id, basket_id"):
        import_source("tables", folder)


def test_a_missing_table_is_an_error_that_lists_the_files(write: Write) -> None:
    with pytest.raises(DataError, match=r"no table interactions .*, such as interactions.csv; it has: items.csv"):
        open_shop("tables", write({"items.csv": "item_id,title\na,Apple\n"}))


def test_two_files_for_one_table_are_an_error(write: Write) -> None:
    with pytest.raises(DataError, match=r"more than one file could be it: items.csv, items.jsonl"):
        open_shop("tables", write({"items.csv": "item_id,title\n", "items.jsonl": "{}"}))


def test_numbered_parts_are_one_table_in_their_order(write: Write, import_source: Import) -> None:
    files = {
        "items.csv": "item_id,title\na,Apple\nb,Bread\nc,Cake\n",
        "interactions-00000.csv": HEADER + "a,view,2024-05-01,c1\n",
        "interactions-00002.csv": HEADER + "c,view,2024-05-03,c1\n",
        "interactions-00001.csv": HEADER + "b,view,2024-05-02,c1\n",
        "interactions-old.csv": "this is another thing\n",
    }
    done = import_source("tables", write(files))
    assert done.column("item_id") == ["a", "b", "c"]
    assert done.report.tables["interactions"].read == 3


def test_a_part_may_lack_a_column_that_another_has(write: Write, import_source: Import) -> None:
    files = {
        "items-1.csv": "item_id,title\na,Apple\n",
        "items-2.csv": "item_id,title,price\nb,Bread,2\n",
        "interactions.csv": HEADER + LINE,
    }
    assert import_source("tables", write(files)).column("price", "items") == [None, 2.0]


def test_parts_beside_a_whole_file_are_an_error(write: Write) -> None:
    folder = write({f"interactions{part}.csv": HEADER + LINE for part in ("", "-1", "-2", "-3")} | {"items.csv": "item_id,title\na,A\n"})
    words = r"table interactions: more than one file could be it: interactions-1.csv, interactions-2.csv, interactions.csv; name one"
    with pytest.raises(DataError, match=words):
        open_shop("tables", folder)


def test_a_mapped_file_that_is_not_there_is_an_error(import_tables: Import) -> None:
    with pytest.raises(DataError, match=r"has no file orders-\*.csv; it has: items.csv"):
        import_tables(mapping='[interactions]\nfile = "orders-*.csv"')


def test_a_file_with_a_named_delimiter_is_a_csv_wherever_it_lies(import_tables: Import, tmp_path: Path) -> None:
    (tmp_path / "orders.txt").write_text((HEADER + LINE).replace(",", "|"), encoding="utf-8")
    done = import_tables(mapping=f'[interactions]\nfile = "{tmp_path / "orders.txt"}"\ndelimiter = "|"')
    assert done.column("item_id") == ["a"]


def test_keys_that_appear_late_in_json_lines_are_not_lost(write: Write, import_source: Import) -> None:
    files = {
        "items.jsonl": '{"item_id": "a", "title": "Apple"}\n{"item_id": "b", "title": "Bread", "price": 2}\n',
        "interactions.csv": HEADER + LINE,
        "customers.jsonl": '{"customer_id": "c1"}\n' * 1 + '{"customer_id": "c2", "city": "Bonn"}\n',
    }
    done = import_source("tables", write(files))
    assert done.column("price", "items") == [None, 2.0]
    assert done.rows("customers") == [{"customer_id": "c1", "city": None}, {"customer_id": "c2", "city": "Bonn"}]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ("[interaction]\n", r"no table 'interaction'; did you mean 'interactions'\?"),
        (
            "[interactions]\ncolumn = {}\n",
            r"unknown key 'interactions.column'; did you mean 'columns'\? the keys of a table are: file, columns",
        ),
        ('[interactions]\ncolumns = { item = "a" }\n', r"table interactions has no column 'item'; did you mean 'item_id'\?"),
        ('[interactions]\nconstants = { evnt = "a" }\n', r"has no column 'evnt'; did you mean 'event'\?"),
        ('[interactions]\ntime_unit = "days"\n', r"interactions.time_unit: .*'s', 'ms', 'us' or 'ns' \(got 'days'\)"),
        ('[items]\nencoding = "utf-88"\n', r"items.encoding: no such encoding; .* \(got 'utf-88'\)"),
        ('[items]\nevents = { a = "b" }\n', "items.events has no meaning"),
        ('[interactions]\nattributes = { a = "b" }\n', "interactions.attributes has no meaning"),
        ("[interactions\n", "is not valid TOML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_nearest_known_name(import_tables: Import, mapping: str | None, words: Any) -> None:
    with pytest.raises(ConfigError, match=words):
        import_tables(HEADER + LINE, mapping=mapping)


def test_a_mapping_that_is_not_there_is_an_error(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no mapping"):
        open_shop("tables", write({"items.csv": ""}), tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("source", "path", "mapping", "words"),
    [
        ("table", None, None, r"no source 'table'; did you mean 'tables'\?"),
        ("movielens", None, None, "needs the path"),
        ("complete-journey", None, "x.toml", "takes no mapping"),
    ],
)
def test_a_source_is_found_by_name(source: str, path: Path | None, mapping: str | None, words: Any) -> None:
    with pytest.raises(ConfigError, match=words):
        open_shop(source, path, mapping)

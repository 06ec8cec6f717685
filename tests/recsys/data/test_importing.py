"""The canonical folder: whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from shops import Import

from recsys.data.importing import import_shop
from recsys.data.shop import Block, Chunk, Shop
from recsys.errors import DataError

HEADER = "item_id,event,event_time,customer_id\n"
LINE = "a,view,2024-05-01,c1\n"
COLUMNS = {"items": ("item_id", "title"), "interactions": ("item_id", "event", "event_time", "customer_id")}


def chunk(table: str, columns: Any, n_read: int | None = None) -> Chunk:
    rows = pa.RecordBatch.from_pydict(columns)
    numbers = np.arange(1, rows.num_rows + 1)
    return Chunk.of(table, Block(rows=rows, numbers=numbers, file="made up", n_read=n_read or rows.num_rows), columns_of(rows))


def columns_of(rows: Any) -> dict[str, pa.Array]:
    return dict(zip(rows.schema.names, rows.columns, strict=True))


ITEM = {"item_id": ["a"], "title": ["Apple"]}
VIEW = {"item_id": ["a"], "event": ["view"], "event_time": ["2024-05-01"], "customer_id": ["c1"]}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_holds_the_tables_and_a_report_with_their_checksums(import_tables: Import) -> None:
    done = import_tables(HEADER + LINE + "x,view,never,c1\n", mapping='[interactions]\ndrop = { event = ["cart"] }')
    assert listing(done.folder) == ["import.json", "interactions.parquet", "items.parquet"]
    report = json.loads((done.folder / "import.json").read_text(encoding="utf-8"))
    assert report["tables"]["interactions"] == {
        "read": 2,
        "kept": 1,
        "dropped": {},
        "refused": {
            "event_time is no time": {"count": 1, "examples": done.report.tables["interactions"].refused.examples["event_time is no time"]}
        },
        "ignored_columns": [],
    }
    assert report["files"] == {
        name: hashlib.sha256((done.folder / name).read_bytes()).hexdigest() for name in ("items.parquet", "interactions.parquet")
    }
    assert (report["source"], report["stub_items"]) == ("tables", 0)


def test_equal_sources_give_equal_files(import_tables: Import) -> None:
    assert import_tables(HEADER + LINE).report.files == import_tables(HEADER + LINE).report.files


def test_an_import_replaces_an_earlier_one(import_tables: Import, tmp_path: Path) -> None:
    import_tables(HEADER + LINE, files={"messages.csv": "customer_id,text\nc1,Hello\n"})
    (tmp_path / "source" / "messages.csv").unlink()
    done = import_tables(HEADER + LINE * 2)
    assert len(done.rows()) == 2
    assert listing(done.folder) == ["import.json", "interactions.parquet", "items.parquet"]
    assert listing(tmp_path) == ["imported", "source"]


def test_too_many_bad_rows_name_reasons_and_examples_and_change_nothing(import_tables: Import, tmp_path: Path) -> None:
    earlier = import_tables(HEADER + LINE).report
    with pytest.raises(DataError) as error:
        import_tables(HEADER + LINE * 97 + "a,view,never,c1\n" * 2 + "a,view,2024-05-01,\n", max_bad=0.02)
    message = str(error.value)
    assert "table interactions: 3 of 100 rows (3.00%) are bad, more than the 2.00% allowed; nothing was written" in message
    assert "event_time is no time (2)" in message
    assert "row 99 of interactions.csv: event_time is 'never'" in message
    assert "customer_id and its alternatives are empty (1)" in message
    assert json.loads((tmp_path / "imported" / "import.json").read_text())["files"] == earlier.files
    assert listing(tmp_path) == ["imported", "source"]


def test_a_share_of_bad_rows_that_is_allowed_is_only_counted(import_tables: Import) -> None:
    done = import_tables(HEADER + LINE * 97 + "a,view,never,c1\n" * 3, max_bad=0.03)
    assert done.report.tables["interactions"].refused_share == pytest.approx(0.03)


@pytest.mark.parametrize("max_bad", [-0.1, 1.5])
def test_max_bad_is_a_share(import_tables: Import, max_bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        import_tables(HEADER + LINE, max_bad=max_bad)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_import_leaves_things_as_they_were(import_tables: Import, tmp_path: Path, error: type[BaseException]) -> None:
    def chunks() -> Iterator[Chunk]:
        yield chunk("items", ITEM)
        yield chunk("interactions", VIEW)
        raise error

    with pytest.raises(error):
        import_shop(Shop("test", COLUMNS, chunks()), tmp_path / "new")
    assert not list(tmp_path.iterdir())

    earlier = import_tables(HEADER + LINE)
    with pytest.raises(error):
        import_shop(Shop("test", COLUMNS, chunks()), earlier.folder)
    assert len(earlier.rows()) == 1
    assert listing(tmp_path) == ["imported", "source"]


def test_what_a_killed_import_left_is_no_hindrance(import_tables: Import, tmp_path: Path) -> None:
    (tmp_path / ".imported.importing").mkdir()
    (tmp_path / ".imported.importing" / "items.parquet").write_bytes(b"half")
    import_tables(HEADER + LINE)
    assert listing(tmp_path) == ["imported", "source"]


def test_an_import_killed_between_its_two_renames_is_made_good_by_the_next(import_tables: Import, tmp_path: Path) -> None:
    first = import_tables(HEADER + LINE)
    first.folder.rename(tmp_path / ".imported.replaced")
    with pytest.raises(DataError):
        import_tables(HEADER + "a,view,never,c1\n", max_bad=0)
    assert len(first.rows()) == 1


def test_a_folder_that_is_no_imported_shop_is_never_replaced(import_tables: Import, tmp_path: Path) -> None:
    (tmp_path / "imported").mkdir()
    assert import_tables(HEADER + LINE).rows()
    (tmp_path / "imported" / "import.json").unlink()
    with pytest.raises(DataError, match=r"is no imported shop \(it has no import.json\)"):
        import_tables(HEADER + LINE)
    assert listing(tmp_path / "imported") == ["interactions.parquet", "items.parquet"]


def test_an_importer_that_loses_rows_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="importer test lost rows of table items: 2 read, 1 given, 0 dropped, 0 malformed"):
        import_shop(Shop("test", COLUMNS, [chunk("items", ITEM, n_read=2)]), tmp_path / "new")


def test_an_importer_that_gives_items_too_late_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gives items after rows that name items"):
        import_shop(Shop("test", COLUMNS, [chunk("interactions", VIEW), chunk("items", ITEM)]), tmp_path / "new")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"items": ("item_id", "title")}, "test gives no table interactions"),
        ({"items": ("item_id",)} | {"interactions": COLUMNS["interactions"]}, "table items lacks the required column 'title'"),
        (COLUMNS | {"interactions": ("item_id", "event", "event_time")}, "needs one of the columns customer_id, visitor_id, basket_id"),
        (COLUMNS | {"review": ("item_id",)}, "no table 'review'.* did you mean 'reviews'?"),
    ],
)
def test_a_shop_without_what_is_required_is_refused_before_anything_is_read(tmp_path: Path, columns: Any, words: Any) -> None:
    with pytest.raises(DataError, match=words):
        import_shop(Shop("test", columns, []), tmp_path / "new")
    assert not list(tmp_path.iterdir())

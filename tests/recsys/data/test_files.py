"""Formats, and files that are damaged or not what they seem: one clear error, or a counted refusal."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shops import Import, Write

from recsys.data import readers
from recsys.data.readers import read_blocks
from recsys.errors import DataError

HEADER = "item_id,event,event_time,customer_id\n"
LINE = "a,view,2024-05-01,c1\n"
ITEMS = "item_id,title\na,Apple\n"
ROW = {"item_id": "a", "event": "view", "event_time": "2024-05-01", "customer_id": "c1"}


def parquet(rows: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def json_lines(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("interactions.csv", (HEADER + LINE * 3).encode()),
        ("interactions.tsv", (HEADER + LINE * 3).replace(",", "\t").encode()),
        ("interactions.jsonl", json_lines([ROW] * 3).encode()),
        ("interactions.parquet", parquet([ROW] * 3)),
    ],
)
def test_every_format_is_read_plain_and_gzipped(write: Write, import_source: Import, name: str, data: Any, ending: str) -> None:
    folder = write({"items.csv": ITEMS, name + ending: gzip.compress(data) if ending else data})
    done = import_source("tables", folder)
    assert done.column("item_id") == ["a", "a", "a"]
    assert done.report.tables["interactions"].read == 3


def test_quoted_fields_may_hold_delimiters_and_line_breaks(import_tables: Import) -> None:
    done = import_tables(HEADER + LINE, items='item_id,title\na,"Apple, red\nand ""sweet"""\n')
    assert done.column("title", "items") == ['Apple, red\nand "sweet"']


def test_malformed_csv_lines_are_refused_with_their_number(import_tables: Import) -> None:
    done = import_tables(f"{HEADER}{LINE}a,view\n\n{LINE}a,view,2024-05-01,c1,more\n{LINE}nobody,view,never,c1\na,\n")
    assert len(done.rows()) == 3
    assert done.refused() == {"malformed line": 3, "event_time is no time": 1}
    examples = done.report.tables["interactions"].refused.examples
    assert [example.split(" has ")[0] for example in examples["malformed line"]] == [
        f"interactions, row {number} of interactions.csv" for number in (3, 5, 8)
    ]
    assert "2 fields instead of 4: 'a,view'" in examples["malformed line"][0]
    assert examples["event_time is no time"][0].startswith("interactions, row 7 of interactions.csv")


def test_malformed_lines_are_numbered_across_blocks(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setattr(readers, "_BLOCK_BYTES", 256)
    lines = [HEADER] + [f"{number},view,2024-05-01,c1\n" if number % 7 else "broken\n" for number in range(2, 200)]
    blocks = list(read_blocks(write({"interactions.csv": "".join(lines)}) / "interactions.csv"))
    assert len(blocks) > 5
    numbers = [number for block in blocks for number in block.numbers.tolist()]
    assert numbers == [number for number in range(2, 200) if number % 7]
    assert [int(item) for block in blocks for item in block.rows["item_id"].to_pylist()] == numbers
    assert sum(block.bad_lines.total for block in blocks) == 28
    assert sum(block.n_read for block in blocks) == 198


def test_malformed_json_lines_are_refused_with_their_number(write: Write, import_source: Import) -> None:
    text = json_lines([ROW]) + "\n{broken\n[1, 2]\n" + json_lines([ROW])
    done = import_source("tables", write({"items.csv": ITEMS, "interactions.jsonl": text}), max_bad=0.5)
    assert len(done.rows()) == 2
    assert done.refused() == {"malformed line": 2}
    assert "interactions, line 3 of interactions.jsonl is '{broken'; each line is one complete object" in done.example("malformed line")


def test_json_values_of_mixed_types_are_checked_one_by_one(write: Write, import_source: Import) -> None:
    rows = [
        ROW | {"quantity": 1},
        ROW | {"quantity": "2"},
        ROW | {"quantity": [3]},
        ROW | {"quantity": {"n": 4}},
        ROW,
        ROW | {"item_id": 7},
    ]
    done = import_source("tables", write({"items.csv": ITEMS, "interactions.jsonl": json_lines(rows)}), max_bad=0.5)
    assert [(row["item_id"], row["quantity"]) for row in done.rows()] == [("a", 1.0), ("a", 2.0), ("a", None), ("7", None)]
    assert done.refused() == {"quantity is no number": 2}


def test_half_characters_in_json_do_no_harm(write: Write, import_source: Import) -> None:
    items = '{"item_id": "a", "title": "half \\ud83d, whole \\ud83d\\ude00"}\n'
    done = import_source("tables", write({"items.jsonl": items, "interactions.csv": HEADER + LINE}))
    assert done.column("title", "items") == ["half \ufffd, whole \U0001f600"]


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.parquet"])
def test_an_empty_file_is_an_error(write: Write, import_source: Import, name: str) -> None:
    folder = write({name: b"", "interactions.csv": HEADER + LINE})
    with pytest.raises(DataError, match=rf"{name} is empty \(0 bytes\)"):
        import_source("tables", folder)


@pytest.mark.parametrize(("name", "reason"), [("items.csv.gz", "holds no header"), ("items.jsonl.gz", "holds no rows")])
def test_a_gzip_of_nothing_is_an_error(write: Write, import_source: Import, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"{name} {reason}"):
        import_source("tables", write({name: "", "interactions.csv": HEADER + LINE}))


def test_a_header_without_rows_is_an_error_in_a_required_table(write: Write, import_source: Import) -> None:
    with pytest.raises(DataError, match="table interactions has no rows: 0 read"):
        import_source("tables", write({"items.csv": ITEMS, "interactions.csv": HEADER}))


@pytest.mark.parametrize(
    ("name", "data"), [("interactions.csv.gz", HEADER + LINE * 50_000), ("interactions.jsonl.gz", json_lines([ROW] * 50_000))]
)
def test_a_truncated_gzip_says_how_many_rows_could_be_read(write: Write, import_source: Import, name: str, data: Any) -> None:
    whole = gzip.compress(data.encode())
    cut = whole[: len(whole) // 2]
    folder = write({"items.csv": ITEMS, name: cut})
    readable = gzip.decompress(whole)[: len(_readable(cut))].count(b"\n") - name.startswith("interactions.csv")
    with pytest.raises(DataError, match=rf"{name} is truncated or damaged .*: {readable:,} rows could be read before the break"):
        import_source("tables", folder)


def _readable(data: Any) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def test_a_gzip_cut_before_its_first_line_is_an_error(write: Write, import_source: Import) -> None:
    folder = write({"items.csv": ITEMS, "interactions.csv.gz": gzip.compress((HEADER + LINE).encode())[:14]})
    with pytest.raises(DataError, match="truncated or damaged"):
        import_source("tables", folder)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_truncated_parquet_file_is_an_error(write: Write, import_source: Import, ending: str) -> None:
    data = gzip.compress(parquet([ROW] * 9)) if ending else parquet([ROW] * 9)
    folder = write({"items.csv": ITEMS, f"interactions.parquet{ending}": data[: len(data) // 2]})
    with pytest.raises(DataError, match=r"interactions.parquet.* is no complete Parquet file"):
        import_source("tables", folder)


def test_damage_inside_a_parquet_file_is_an_error(write: Write, import_source: Import) -> None:
    data = bytearray(parquet([ROW | {"customer_id": hashlib.sha256(b"%d" % number).hexdigest()} for number in range(3000)]))
    data[1000:60_000] = b"\xff" * 59_000
    with pytest.raises(DataError, match=r"interactions.parquet is damaged: 0 of 3,000 rows could be read"):
        import_source("tables", write({"items.csv": ITEMS, "interactions.parquet": bytes(data)}))


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.csv.gz"])
def test_another_encoding_is_named_by_the_first_wrong_byte(write: Write, import_source: Import, name: str) -> None:
    text = json_lines([{"item_id": "a", "title": "Apple"}]) if "json" in name else ITEMS
    data = text.encode() + (b'{"item_id": "b", "title": "Caf\xe9"}\n' if "json" in name else b"b,Caf\xe9\n")
    offset = data.index(b"\xe9")
    folder = write({name: gzip.compress(data) if name.endswith("gz") else data, "interactions.csv": HEADER + LINE})
    with pytest.raises(DataError, match=rf"{name} is not UTF-8: byte 0xe9 at offset {offset} .*encoding = 'cp1252'.*iconv"):
        import_source("tables", folder)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8-sig"])
def test_a_named_encoding_is_read(import_tables: Import, encoding: str) -> None:
    items = "item_id,title\nb,Café\n".encode(encoding)
    done = import_tables(HEADER + LINE, mapping=f'[items]\nencoding = "{encoding}"', files={"items.csv": items})
    assert done.rows("items")[0]["title"] == "Café"


def test_two_columns_of_one_name_are_an_error(write: Write, import_source: Import) -> None:
    with pytest.raises(DataError, match="more than one column 'title'"):
        import_source("tables", write({"items.csv": "item_id,title,title\na,b,c\n", "interactions.csv": HEADER + LINE}))


def test_an_unclosed_quote_is_an_error_or_a_refusal_but_never_a_crash(import_tables: Import) -> None:
    done = import_tables(HEADER + LINE, items='item_id,title\na,Apple\nb,"Bread\n')
    assert done.column("item_id", "items")[0] == "a"


def test_progress_goes_through_each_file_to_its_end(write: Write, import_source: Import) -> None:
    calls = []
    folder = write({"items.csv": ITEMS, "interactions.parquet": parquet([ROW] * 3)})
    import_source("tables", folder, progress=lambda done, total, what: calls.append((done, total, what)))
    assert calls == [(len(ITEMS), len(ITEMS), "items.csv"), (3, 3, "interactions.parquet")]

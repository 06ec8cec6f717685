"""UCI Online Retail: the lines of a British gift wholesaler, 2010 to 2011; also the layout of Online Retail II.

The file is one table, as CSV (or the published spreadsheet saved as CSV) or Parquet. It is read twice: first for what the lines say of
items and customers, then for the lines themselves.

What becomes what (counts are those of the published file, 541,909 lines):
    interactions  a line with a negative quantity or an invoice number beginning with C is a ``return`` with a positive quantity and value
                  (9,288), any other a ``purchase``. Lines without a customer are kept: their invoice makes them a basket.
                  Dropped by rule: lines with neither a price nor a customer (2,475), which move stock ("damaged", "found", "check") and
                  sell nothing; and adjustments of bad debt, whose invoice numbers begin with A (3).
    items         one per stock code of a kept line; the title is its most frequent description. Codes of five digits and a letter are
                  variants of one product. Postage, fees, discounts, samples and manual entries (any code that is neither five digits
                  nor DCGS...: 16), and vouchers, carriage and the like under product codes (4), are not recommendable.
    customers     with the country of most of their lines
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.casting import cast, is_bad
from recsys.data.readers import Layout, header, is_readable, read_blocks, require_columns
from recsys.data.shop import Block, Chunk, Shop, TimeFormat
from recsys.data.textfile import encoding_of
from recsys.errors import DataError

SOURCE = "online_retail"

_RENAMED = {"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"}
"""Names of Online Retail II."""
_LINES = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_COLUMNS = {
    "items": ("item_id", "title", "group_id", "recommendable"),
    "customers": ("customer_id", "country"),
    "interactions": ("item_id", "customer_id", "event", "event_time", "basket_id", "quantity", "value", "currency"),
}
_GOODS = r"^(\d{5}|DCGS)"
_NO_GOODS = "(?i)gift voucher|next day carriage|packing charge|high resolution image"
_AMERICAN_DATE = r"^\d{1,2}/\d{1,2}/\d{4} "
_NOTHING_SOLD = "stock movement (neither price nor customer)"
_BAD_DEBT = "adjustment of bad debt (invoice A...)"


def online_retail(path: Path) -> Shop:
    """The shop in the file, or in the only data file of a folder.

    Raises:
        DataError: there is no such file, or it lacks a column.
    """
    path = _only_file(path) if path.is_dir() else path
    is_text = not path.name.removesuffix(".gz").endswith((".parquet", ".pq"))
    layout = Layout(encoding_of(path, ("utf-8-sig", "cp1252")) if is_text else "utf-8-sig")
    there = header(path, layout)
    by_name = {_RENAMED.get(name, name): name for name in there}
    require_columns(path, tuple(by_name), _LINES, "interactions")
    return Shop(SOURCE, _COLUMNS, _chunks(path, [by_name[name] for name in _LINES], layout))


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if is_readable(path))
    if len(files) != 1:
        raise DataError(f"{folder} holds {len(files)} data files, {', '.join(file.name for file in files)}; give the one to read")
    return files[0]


def _chunks(path: Path, columns: list[str], layout: Layout) -> Iterator[Chunk]:
    summary = _Summary()
    for block in read_blocks(path, columns, layout):
        summary.add(_lines(block).rows)
    yield summary.items(path.name)
    yield summary.customers(path.name)
    for block in read_blocks(path, columns, layout):
        yield _interactions(block)


class _Summary:
    """What the kept lines say of items and customers: how often each text stands beside an id."""

    def __init__(self) -> None:
        self.titles: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.countries: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, lines: pa.RecordBatch) -> None:
        for counts, id_name, text_name in ((self.titles, "StockCode", "Description"), (self.countries, "CustomerID", "Country")):
            groups = pa.Table.from_batches([lines]).group_by([id_name, text_name]).aggregate([([], "count_all")])
            for row in groups.to_pylist():
                if row[id_name] is not None:
                    counts[row[id_name]][row[text_name] or ""] += row["count_all"]

    def items(self, file: str) -> Chunk:
        codes, titles = _most_frequent(self.titles)
        digits = pc.struct_field(pc.extract_regex(codes, r"^(?P<digits>\d{5})[A-Za-z]"), "digits")
        columns = {
            "item_id": codes,
            "title": titles,
            "group_id": digits,
            "recommendable": pc.and_not(pc.match_substring_regex(codes, _GOODS), pc.match_substring_regex(titles, _NO_GOODS)),
        }
        return _made_up("items", columns, file)

    def customers(self, file: str) -> Chunk:
        return _made_up("customers", dict(zip(("customer_id", "country"), _most_frequent(self.countries), strict=True)), file)


def _most_frequent(counts: dict[str, Counter[str]]) -> tuple[pa.Array, pa.Array]:
    """Sorted ids, and of each the filled text with the highest count; of equal ones the first by alphabet, of none ""."""
    ids = sorted(counts)
    texts = [min(((-count, text) for text, count in counts[id_].items() if text), default=(0, ""))[1] for id_ in ids]
    return pa.array(ids, pa.string()), pa.array(texts, pa.string())


def _made_up(table: str, columns: dict[str, pa.Array], file: str) -> Chunk:
    n_rows = len(next(iter(columns.values())))
    rows = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return Chunk(table=table, rows=rows, numbers=np.arange(1, n_rows + 1), file=file, n_read=n_rows)


def _lines(block: Block) -> Chunk:
    """The lines that sell or take back something, under the names of the published file."""
    rows = dict(zip(_LINES, block.rows.columns, strict=True))
    for name in ("InvoiceNo", "StockCode", "CustomerID"):
        rows[name] = cast("id", rows[name], TimeFormat())
    rows["CustomerID"] = pc.replace_substring_regex(rows["CustomerID"], r"\.0$", "")
    rows["Description"] = cast("text", rows["Description"], TimeFormat())
    price = cast("number", rows["UnitPrice"], TimeFormat())
    rules = {
        _BAD_DEBT: pc.starts_with(rows["InvoiceNo"], "A"),
        _NOTHING_SOLD: pc.and_(pc.equal(price, 0), pc.is_null(rows["CustomerID"])),
    }
    return Chunk.of("interactions", block, rows).without(rules)


def _interactions(block: Block) -> Chunk:
    chunk = _lines(block)
    rows = chunk.rows
    quantity, price = (cast("number", rows[name], TimeFormat()) for name in ("Quantity", "UnitPrice"))
    is_return = pc.or_kleene(pc.less(quantity, 0), pc.starts_with(rows["InvoiceNo"], "C"))
    columns = {
        "item_id": rows["StockCode"],
        "customer_id": rows["CustomerID"],
        "event": pc.if_else(is_return.fill_null(False), "return", "purchase"),
        "event_time": rows["InvoiceDate"],
        "basket_id": rows["InvoiceNo"],
        "quantity": _or_as_given(pc.abs(quantity), rows["Quantity"], quantity),
        "value": _or_as_given(pc.abs(pc.multiply(quantity, price)), rows["UnitPrice"], price),
        "currency": pa.repeat("GBP", rows.num_rows),
    }
    is_american = (
        pa.types.is_string(rows["InvoiceDate"].type) and pc.any(pc.match_substring_regex(rows["InvoiceDate"], _AMERICAN_DATE)).as_py()
    )
    times = TimeFormat(pattern="%m/%d/%Y %H:%M" if is_american else None)
    return replace(chunk, rows=pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), times=times)


def _or_as_given(computed: pa.Array, given: pa.Array, read: pa.Array) -> pa.Array:
    """What was computed from a number, but where the number could not be read what was given, for the check to refuse."""
    bad = is_bad(given, read)
    return pc.if_else(pa.array(bad), given.cast(pa.string()), computed.cast(pa.string())) if bad.any() else computed

"""From a shop as an importer gives it to the canonical folder that the engine reads: Parquet files and ``import.json``.

The folder appears as a whole or not at all: everything is written beside it under a hidden name and renamed at the end.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.checks import SeenIds, check
from recsys.data.report import ImportReport, TableReport
from recsys.data.schema import TABLES, Table
from recsys.data.shop import Chunk, Progress, Shop
from recsys.errors import DataError
from recsys.keys import nearest

REPORT_FILE = "import.json"
_ROW_GROUP = 131_072


def import_shop(
    shop: Shop, out: Path, max_bad: float = 0.01, progress: Progress | None = None, now: dt.datetime | None = None
) -> ImportReport:
    """Read, check and write a shop, a chunk at a time.

    Rows that name an item which the items table lacks make a stub item: an empty title, not recommendable, counted.

    Args:
        shop: from an importer, see `recsys.data.importers`
        out: the folder to make; one made by an earlier import is replaced once the new one is complete
        max_bad: refused rows as a share of the rows read, per table, above which nothing is written; in [0, 1]
        progress: called after each chunk
        now: aware; times later than a day after it are refused. None = any later time is fine.

    Raises:
        DataError: a file, column or table is missing or damaged, too many rows are bad, or `out` holds something else.
        ValueError: max_bad is not in [0, 1].
    """
    if not 0 <= max_bad <= 1:
        raise ValueError(f"max_bad is a share between 0 and 1, got {max_bad}")
    with _replacing(out) as folder:
        tables = _write(shop, folder, progress, now)
        _refuse_bad(tables, max_bad)
        files = {f"{name}.parquet": _sha256(folder / f"{name}.parquet") for name in tables}
        report = ImportReport(shop.source, tables, files)
        (folder / REPORT_FILE).write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _write(shop: Shop, folder: Path, progress: Progress | None, now: dt.datetime | None) -> dict[str, TableReport]:
    writers = {name: _TableWriter(TABLES[name], shop, folder, now) for name in _table_names(shop)}
    items = writers["items"]
    stubs: list[str] = []
    try:
        for chunk in shop.chunks:
            rows = writers[chunk.table].add(chunk)
            if chunk.table == "items":
                if stubs:
                    raise ValueError(f"importer {shop.source} gives items after rows that name items")
                items.known.add(rows["item_id"])
            elif "item_id" in rows.schema.names:
                named = pc.unique(rows["item_id"])
                stubs += named.filter(pa.array(items.known.add(named))).to_pylist()
            if progress is not None:
                progress(chunk.done, chunk.total, chunk.file)
        items.add_stubs(stubs)
    finally:
        for writer in writers.values():
            writer.close()
    return {name: writer.report for name, writer in writers.items()}


class _TableWriter:
    """Checks and writes the chunks of one table."""

    def __init__(self, table: Table, shop: Shop, folder: Path, now: dt.datetime | None) -> None:
        self.table, self.source, self.now = table, shop.source, now
        self.schema = table.arrow_schema(shop.columns[table.name])
        self.report = TableReport(ignored=tuple(shop.ignored.get(table.name, ())))
        self.seen, self.known = SeenIds(), SeenIds()
        self._file = pq.ParquetWriter(folder / f"{table.name}.parquet", self.schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def add(self, chunk: Chunk) -> pa.RecordBatch:
        """The good rows of a chunk, which are written, now or with the next ones."""
        dropped, n_bad = sum(chunk.dropped.values()), chunk.bad_lines.total
        if chunk.n_read != chunk.rows.num_rows + dropped + n_bad:
            raise ValueError(
                f"importer {self.source} lost rows of table {self.table.name}: "
                f"{chunk.n_read} read, {chunk.rows.num_rows} given, {dropped} dropped, {n_bad} malformed"
            )
        checked = check(self.table, self.schema, chunk, self.seen, self.now)
        self.report.read += chunk.n_read
        self.report.kept += checked.rows.num_rows
        self.report.dropped.update(chunk.dropped)
        self.report.refused.merge(chunk.bad_lines, f"{self.table.name}, ")
        self.report.refused.merge(checked.refused)
        self._write(checked.rows)
        return checked.rows

    def add_stubs(self, item_ids: list[str]) -> None:
        """Items of which only the id is known."""
        defaults = {column.name: column.default for column in self.table.columns} | {"recommendable": False}
        rows = [{field.name: defaults[field.name] for field in self.schema} | {"item_id": item_id} for item_id in item_ids]
        self.report.stubs = len(rows)
        self._write(pa.RecordBatch.from_pylist(rows, self.schema))

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _write(self, rows: pa.RecordBatch) -> None:
        self._waiting.append(rows)
        if sum(waiting.num_rows for waiting in self._waiting) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        rows = pa.Table.from_batches(self._waiting, self.schema)
        self._waiting.clear()
        if rows.num_rows:
            self._file.write_table(rows, row_group_size=_ROW_GROUP)


def _table_names(shop: Shop) -> list[str]:
    """The tables the shop has, in the order of the contract."""
    for name in shop.columns:
        if name not in TABLES:
            raise DataError(f"there is no table {name!r} in the data contract;{nearest(name, TABLES)} its tables are: {', '.join(TABLES)}")
    for name, table in TABLES.items():
        if name not in shop.columns:
            if table.required:
                raise DataError(f"{shop.source} gives no table {name} ({table.meaning}), which is required")
            continue
        filled = shop.columns[name]
        lacking = [column.name for column in table.columns if column.required and column.name not in filled]
        if lacking:
            raise DataError(f"table {name} lacks the required column {lacking[0]!r}; the source fills: {', '.join(filled)}")
        if table.one_of and not set(table.one_of) & set(filled):
            raise DataError(f"table {name} needs one of the columns {', '.join(table.one_of)}; the source fills: {', '.join(filled)}")
    return [name for name in TABLES if name in shop.columns]


def _refuse_bad(tables: dict[str, TableReport], max_bad: float) -> None:
    problems = [_too_bad(name, report, max_bad) for name, report in tables.items() if report.refused_share > max_bad]
    if problems:
        raise DataError("\n".join(problems))
    for name, report in tables.items():
        if TABLES[name].required and not report.kept:
            counts = f"{report.read:,} read, {sum(report.dropped.values()):,} dropped, {report.refused.total:,} refused"
            raise DataError(f"table {name} has no rows: {counts}")


def _too_bad(name: str, report: TableReport, max_bad: float) -> str:
    reasons = [
        f"  {reason} ({count:,}), for example\n" + "\n".join(f"    {example}" for example in report.refused.examples[reason])
        for reason, count in report.refused.counts.most_common()
    ]
    share = f"{report.refused.total:,} of {report.read:,} rows ({report.refused_share:.2%}) are bad, more than the {max_bad:.2%} allowed"
    return f"table {name}: {share}; nothing was written.\n" + "\n".join(reasons)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place when the block ends well, and is removed when it does not."""
    out = out.absolute()
    if out.exists() and not (out / REPORT_FILE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} exists and is no imported shop (it has no {REPORT_FILE}); choose another folder")
    new, old = out.with_name(f".{out.name}.importing"), out.with_name(f".{out.name}.replaced")
    shutil.rmtree(new, ignore_errors=True)  # left by an import that was killed
    new.mkdir(parents=True)
    try:
        yield new
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists():
            if out.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(out)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

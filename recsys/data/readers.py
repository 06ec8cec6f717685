"""One streaming reader per file format: a file goes by in blocks of rows and is never in memory as a whole.

A malformed line costs that line only; damage is told after the rows that came before it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.report import Refusals
from recsys.data.shop import Block, Lines
from recsys.data.textfile import TextFile, Utf8Stream, file_size, is_gzip, one_character
from recsys.errors import DataError
from recsys.keys import nearest

BLOCK_ROWS = 131_072
_BLOCK_BYTES = 8 << 20
_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
_SHOWN = 60


@dataclass(frozen=True)
class Layout:
    """What a text file does not say of itself.

    encoding:  any that Python knows; a byte order mark is skipped
    delimiter: between the fields of a CSV; None = a tab in .tsv files, else a comma. It may be longer than one character.
    names:     of the columns of a CSV without a header; empty = the first line holds them
    is_quoted: fields may stand in double quotes and then hold delimiters and line breaks
    is_csv:    the file is a CSV whatever its name ends like
    """

    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    names: tuple[str, ...] = ()
    is_quoted: bool = True
    is_csv: bool = False


@dataclass(frozen=True, kw_only=True)
class RecordBlock(Lines):
    """Lines of a text file, each parsed into a dictionary."""

    records: list[dict[str, Any]]


def has_fixed_columns(path: Path) -> bool:
    """Whether the header of the file is all there is; a line of JSON may bring new keys."""
    return _FORMATS.get(_suffix(path)) != "json"


def is_readable(path: Path) -> bool:
    """Whether the file's name ends like one of the formats that are read here, with or without .gz."""
    return _suffix(path) in _FORMATS


def stem(path: Path) -> str:
    """The file's name without its format: ``orders`` of ``orders.csv.gz``."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def read_blocks(path: Path, columns: Sequence[str] | None = None, layout: Layout = Layout()) -> Iterator[Block]:
    """The rows of a file.

    Args:
        columns: the ones to read, which must be in the header (JSON Lines: a key that a line lacks is null there); None = all of `header`

    Raises:
        DataError: the file is missing, empty, damaged (the rows before the damage come first), or in another encoding.
    """
    columns = list(columns if columns is not None else header(path, layout))
    match _format(path, layout):
        case "parquet":
            return _read_parquet(path, columns)
        case "csv":
            return _read_csv(path, columns, layout)
        case _:
            return _read_json_lines(path, columns, layout)


def header(path: Path, layout: Layout = Layout(), whole: bool = False) -> tuple[str, ...]:
    """Names of the columns; of a JSON Lines file the keys, in order of appearance.

    Args:
        whole: look for keys in all lines of a JSON Lines file, not only in the first ones (about four megabytes)

    Raises:
        DataError: the file is missing, empty or damaged, or two columns have one name.
    """
    match _format(path, layout):
        case "parquet":
            names = tuple(_open_parquet(path).schema_arrow.names)
        case "csv":
            names = layout.names or _first_row(path, layout)
        case _:
            names = _keys(path, layout, whole)
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has more than one column {repeated[0]!r}; give each its own name")
    return names


def _keys(path: Path, layout: Layout, whole: bool) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    n_read = 0
    for block in read_records(path, json.loads, layout):
        keys |= dict.fromkeys(key for record in block.records for key in record)
        n_read += block.n_read
        if n_read and not whole:
            break
    if not n_read:
        raise DataError(f"{path} holds no rows")
    return tuple(keys)


def require_columns(path: Path, there: Sequence[str], needed: Sequence[str], table: str) -> None:
    """Refuse a file that lacks a column.

    Raises:
        DataError: naming table, file, column, the columns there are and the most similar one.
    """
    for name in needed:
        if name not in there:
            columns = ", ".join(map(repr, there)) + (" (only one: is the delimiter another?)" if len(there) == 1 else "")
            raise DataError(f"table {table}: {path} has no column {name!r};{nearest(name, there)} its columns are: {columns}")


def read_records(path: Path, parse: Callable[[str], Any] = json.loads, layout: Layout = Layout()) -> Iterator[RecordBlock]:
    """The lines of a text file, each parsed; one that is no dictionary is refused, blank ones are skipped.

    Args:
        parse: what makes a dictionary of a line; ValueError, SyntaxError, MemoryError or RecursionError = malformed
    """
    text = TextFile(path, layout.encoding)
    n_rows = n_lines = 0
    for piece in text.pieces():
        lines = piece.removesuffix("\n").split("\n")
        block = _parsed(lines, n_lines, parse, text)
        n_lines += len(lines)
        n_rows += len(block.records)
        yield block
    text.finish(n_rows)


def _parsed(lines: list[str], n_before: int, parse: Callable[[str], Any], text: TextFile) -> RecordBlock:
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    bad = Refusals()
    for number, line in enumerate(lines, n_before + 1):
        if not line or line.isspace():
            continue
        try:
            record = _whole_characters(parse(line)) if "\\ud" in line or "\\uD" in line else parse(line)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
            numbers.append(number)
        else:
            bad.add("malformed line", 1, [f"line {number} of {text.path.name} is {_short(line)}; each line is one complete object"])
    return RecordBlock(
        records=records,
        numbers=np.array(numbers, np.int64),
        file=text.path.name,
        n_read=len(records) + bad.total,
        bad_lines=bad,
        done=text.done,
        total=text.total,
    )


def _whole_characters(record: Any) -> Any:
    """Halves of characters, which JSON can escape and UTF-8 cannot hold, joined where they meet and else replaced."""
    text = json.dumps(record, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "replace"))


def _read_json_lines(path: Path, columns: list[str], layout: Layout) -> Iterator[Block]:
    for block in read_records(path, json.loads, layout):
        arrays = [column_of([record.get(name) for record in block.records]) for name in columns]
        origin = {column.name: getattr(block, column.name) for column in fields(Lines)}
        yield Block(rows=pa.RecordBatch.from_arrays(arrays, columns), **origin)


def column_of(values: list[Any]) -> pa.Array:
    """A column of whatever JSON holds; objects and mixtures of types become JSON text."""
    if not any(isinstance(value, dict) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
    return pa.array(
        [value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values], pa.string()
    )


def _read_csv(path: Path, columns: list[str], layout: Layout) -> Iterator[Block]:
    text = TextFile(path, layout.encoding)
    names = header(path, layout)
    bad = _BadRows(path.name)
    delimiter = _delimiter(path, layout)
    stream = pa.PythonFile(Utf8Stream(text, delimiter), mode="r")
    read = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=list(layout.names) or None)
    parsing = pa_csv.ParseOptions(
        delimiter=one_character(delimiter),
        quote_char='"' if layout.is_quoted else False,
        newlines_in_values=layout.is_quoted,
        invalid_row_handler=bad,
    )
    converting = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=columns,
        null_values=[""],
        strings_can_be_null=True,
        check_utf8=False,
    )
    n_rows, next_number = 0, 1 if layout.names else 2
    try:
        for rows in pa_csv.open_csv(stream, read, parsing, converting):
            numbers = bad.skipped(next_number, rows.num_rows)
            refused = bad.up_to(numbers)
            next_number = int(numbers[-1]) + 1 if len(numbers) else next_number
            n_rows += rows.num_rows
            n_read = rows.num_rows + refused.total
            yield Block(rows=rows, numbers=numbers, file=path.name, n_read=n_read, bad_lines=refused, done=text.done, total=text.total)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read as CSV after row {next_number - 1}: {error}") from error
    yield from bad.rest(columns)
    text.finish(n_rows)


class _BadRows:
    """Rows with too few or too many fields, as Arrow reports them: by number, and ahead of the good rows it hands out."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.pending: dict[int, str] = {}

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        self.pending[row.number] = f"{row.actual_columns} fields instead of {row.expected_columns}: {_short(row.text)}"
        return "skip"

    def skipped(self, first: int, count: int) -> NDArray[np.int64]:
        """Numbers of the next `count` good rows when numbering goes on at `first`."""
        bad = np.array(list(self.pending), np.int64)
        numbers = np.arange(first, first + count + len(bad))
        return numbers[~np.isin(numbers, bad)][:count] if len(bad) else numbers

    def up_to(self, numbers: NDArray[np.int64]) -> Refusals:
        """Take out the bad rows that stand before the last of these good ones."""
        return self._take([number for number in sorted(self.pending) if len(numbers) and number < numbers[-1]])

    def rest(self, columns: list[str]) -> Iterator[Block]:
        """A block without rows for the bad rows after the last good one, if there are any."""
        if (refused := self._take(sorted(self.pending))).total:
            empty = pa.RecordBatch.from_arrays([pa.array([], pa.string())] * len(columns), columns)
            yield Block(rows=empty, numbers=np.empty(0, np.int64), file=self.file, n_read=refused.total, bad_lines=refused)

    def _take(self, numbers: list[int]) -> Refusals:
        refused = Refusals()
        for number in numbers:
            refused.add("malformed line", 1, [f"row {number} of {self.file} has {self.pending.pop(number)}"])
        return refused


def _first_row(path: Path, layout: Layout) -> tuple[str, ...]:
    text = TextFile(path, layout.encoding)
    delimiter = _delimiter(path, layout)
    for piece in text.pieces():
        lines = io.StringIO(piece.replace(delimiter, one_character(delimiter)), newline="")
        rows = csv.reader(lines, delimiter=one_character(delimiter), quoting=csv.QUOTE_MINIMAL if layout.is_quoted else csv.QUOTE_NONE)
        for row in rows:
            if row:
                return tuple(row)
    text.finish(0)
    raise DataError(f"{path} holds no header; its first line must name the columns")


def _delimiter(path: Path, layout: Layout) -> str:
    return layout.delimiter or ("\t" if _suffix(path) == ".tsv" else ",")


def _read_parquet(path: Path, columns: list[str]) -> Iterator[Block]:
    file = _open_parquet(path)
    total = file.metadata.num_rows
    done = 0
    try:
        for rows in file.iter_batches(BLOCK_ROWS, columns=columns):
            numbers = np.arange(done + 1, done + 1 + rows.num_rows)
            done += rows.num_rows
            yield Block(rows=rows, numbers=numbers, file=path.name, n_read=rows.num_rows, done=done, total=total)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is damaged: {done:,} of {total:,} rows could be read ({error}). Fetch the file again.") from error


def _open_parquet(path: Path) -> pq.ParquetFile:
    file_size(path)
    try:
        with path.open("rb") as raw:
            is_zipped = is_gzip(raw)
        return pq.ParquetFile(pa.BufferReader(gzip.decompress(path.read_bytes())) if is_zipped else path)
    except (pa.ArrowInvalid, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no complete Parquet file: {error}. Fetch the file again.") from error


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _format(path: Path, layout: Layout) -> str:
    try:
        return "csv" if layout.is_csv else _FORMATS[_suffix(path)]
    except KeyError:
        raise DataError(f"{path.name} is of no known format; names end in {', '.join(_FORMATS)}, with or without .gz") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")

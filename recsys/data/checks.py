"""Chunks of an importer against the data contract: good rows in contract types, and counted refusals that say what would be right."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.data.casting import cast, flags, is_bad
from recsys.data.report import MAX_EXAMPLES, Refusals
from recsys.data.schema import EARLIEST, EXPECTED, Column, Table
from recsys.data.shop import Chunk
from recsys.data.vocabulary import id_hashes
from recsys.types import Flags, utc64

_LONGEST_VALUE = 60


class SeenIds:
    """Which ids came before, in 8 bytes each.

    What is kept of an id is a 64-bit hash, in sorted numpy arrays of which each is at least as long as the next: ten million ids take 80 MB
    (a Python set takes 1.5 GB). Two different ids are taken for one with a probability of n^2 / 2^65: 3 in a million for ten million ids.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, ids: pa.Array) -> Flags:
        """Remember the ids; True for those that had not come before, neither here nor in an earlier call. Null counts as new."""
        hashes = id_hashes(ids.drop_null().to_numpy(zero_copy_only=False))
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        fresh = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        for run in self._runs:
            fresh &= ~_contains(run, ordered)
        self._remember(ordered[fresh])

        is_new = flags(ids.is_null())
        is_new[np.flatnonzero(~is_new)[order[fresh]]] = True
        return is_new

    def _remember(self, run: NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) <= len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)


@dataclass(frozen=True)
class Checked:
    """The rows that keep the contract, in its types and order of columns, and the count of those that do not."""

    rows: pa.RecordBatch
    refused: Refusals


def check(table: Table, schema: pa.Schema, chunk: Chunk, seen: SeenIds, now: dt.datetime | None) -> Checked:
    """Cast and check every value of a chunk.

    Args:
        schema: the columns to make; contract columns that the chunk lacks become null, or their default
        seen: the ids of the table's unique column that were kept before; those kept now are added
        now: aware; times later than a day after it are refused. None = any later time is fine.
    """
    verdict = _Verdict(table, chunk)
    by_name = {column.name: column for column in table.columns}
    columns = [_column(by_name.get(field.name) or Column(field.name, "text", ""), chunk, verdict, now) for field in schema]
    _someone_is_named(table, schema, columns, verdict)
    if table.unique is not None and table.unique in schema.names:
        _no_repeats(table.unique, columns[schema.get_field_index(table.unique)], seen, verdict)
    rows = pa.RecordBatch.from_arrays(columns, schema=schema)
    return Checked(rows if verdict.ok.all() else rows.filter(pa.array(verdict.ok)), verdict.refused)


class _Verdict:
    """Which rows of a chunk are still good; a row is refused once, for the first reason found."""

    def __init__(self, table: Table, chunk: Chunk) -> None:
        self.table, self.chunk = table, chunk
        self.ok = np.ones(chunk.rows.num_rows, np.bool_)
        self.refused = Refusals()

    def refuse(self, bad: Flags, column: str, problem: str, right: str) -> None:
        rows = np.flatnonzero(bad & self.ok)
        if len(rows):
            examples = [self._example(int(row), column, right) for row in rows[:MAX_EXAMPLES]]
            self.refused.add(f"{column} {problem}", len(rows), examples)
            self.ok[rows] = False

    def _example(self, row: int, column: str, right: str) -> str:
        rows = self.chunk.rows
        value = repr(rows[column][row].as_py()) if column in rows.schema.names else "missing"
        shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."
        return f"{self.table.name}, row {self.chunk.numbers[row]} of {self.chunk.file}: {column} is {shown}; {right}"


def _column(column: Column, chunk: Chunk, verdict: _Verdict, now: dt.datetime | None) -> pa.Array:
    given = chunk.rows[column.name] if column.name in chunk.rows.schema.names else pa.nulls(chunk.rows.num_rows)
    values = cast(column.kind, given, chunk.times)
    verdict.refuse(is_bad(given, values), column.name, f"is no {column.kind}", EXPECTED[column.kind])
    if column.default is not None:
        return values.fill_null(column.default)
    if column.required:
        verdict.refuse(flags(values.is_null()), column.name, "is empty", f"it is required; {EXPECTED[column.kind]}")
    if column.kind in ("number", "count"):
        _within_bounds(column, values, verdict)
    if column.kind == "time":
        _within_time(column, values, verdict, now)
    return values


def _within_bounds(column: Column, values: pa.Array, verdict: _Verdict) -> None:
    numbers = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)  # null becomes NaN, which no comparison below catches
    verdict.refuse(np.isinf(numbers), column.name, "is not finite", "a number is finite; leave it empty when it is unknown")
    bad = np.zeros(len(numbers), np.bool_)
    if column.low is not None:
        bad |= numbers < column.low
    if column.above is not None:
        bad |= numbers <= column.above
    if column.high is not None:
        bad |= numbers > column.high
    verdict.refuse(bad, column.name, "is out of bounds", f"it must be {column.bounds}")


def _within_time(column: Column, values: pa.Array, verdict: _Verdict, now: dt.datetime | None) -> None:
    times = values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    verdict.refuse(
        times < np.datetime64(EARLIEST), column.name, f"is before {EARLIEST}", "declare time_unit if the numbers are in another unit"
    )
    if now is not None:
        latest = utc64(now) + np.timedelta64(1, "D")
        verdict.refuse(times > latest, column.name, "is in the future", f"it may be at most {latest}, a day after the import")


def _someone_is_named(table: Table, schema: pa.Schema, columns: list[pa.Array], verdict: _Verdict) -> None:
    present = [columns[schema.get_field_index(name)] for name in table.one_of if name in schema.names]
    if present:
        nobody = pc.is_null(pc.coalesce(*present))
        names = " or ".join(table.one_of)
        verdict.refuse(flags(nobody), table.one_of[0], "and its alternatives are empty", f"each row needs {names}")


def _no_repeats(name: str, ids: pa.Array, seen: SeenIds, verdict: _Verdict) -> None:
    good = np.flatnonzero(verdict.ok)
    repeats = np.zeros(len(verdict.ok), np.bool_)
    repeats[good] = ~seen.add(ids.take(pa.array(good)))
    verdict.refuse(repeats, name, "is a repeat", "the first row with an id is kept, later ones are not")


def _contains(run: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> Flags:
    places = np.searchsorted(run, hashes)
    return np.asarray(run[np.minimum(places, len(run) - 1)] == hashes)

"""What readers and importers hand over: blocks of rows, and the shop they make up.

An importer is a function that returns a `Shop`. Nothing is read before its chunks are iterated, so a shop is cheap to make,
and a missing file or column is found before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.report import Refusals

Progress: TypeAlias = Callable[[int, int | None, str], None]
"""Called as progress(done, total, what); the unit (bytes or rows) depends on the file, total None = unknown."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Where some rows come from.

    numbers:   where each row stands in the file, for messages: the line as an editor counts it for JSON Lines and for CSV (whose
               first data row is 2 below a header; blank lines and line breaks inside quotes are not counted), else 1, 2, ...
    file:      its name, for messages
    n_read:    rows read for this part of the file, whether or not they are still here
    bad_lines: those among them that were no rows at all
    done, total: how far this is into the file, in bytes or rows; total None = unknown
    """

    numbers: NDArray[np.int64]
    file: str
    n_read: int
    bad_lines: Refusals = field(default_factory=Refusals)
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Block(Lines):
    """Rows with the columns that the file has."""

    rows: pa.RecordBatch


@dataclass(frozen=True)
class TimeFormat:
    """How to read times that are numbers or odd strings.

    unit:    of numbers. None = by magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds
             (right for every time since 1973)
    pattern: of strings, in the notation of ``strptime``; None = ISO 8601
    """

    unit: Literal["s", "ms", "us", "ns"] | None = None
    pattern: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chunk(Lines):
    """Rows for one table of the contract, under the contract's column names and in any type the contract can be made from.

    dropped: rows left out by a rule of the importer, by the rule in words; n_read = rows + dropped + bad_lines
    times:   how to read the times in it
    """

    table: str
    rows: pa.RecordBatch
    dropped: Mapping[str, int] = field(default_factory=dict)
    times: TimeFormat = TimeFormat()

    @staticmethod
    def of(table: str, lines: Lines, columns: Mapping[str, pa.Array], times: TimeFormat = TimeFormat()) -> Chunk:
        """All rows of some lines, with the columns that an importer made of them."""
        origin = {column.name: getattr(lines, column.name) for column in fields(Lines)}
        rows = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        return Chunk(table=table, rows=rows, times=times, **origin)

    def without(self, rules: Mapping[str, pa.Array]) -> Chunk:
        """The chunk without the rows that any rule drops, each counted for the first that does; one flag per row, null = keep."""
        keep = np.ones(self.rows.num_rows, np.bool_)
        dropped = dict(self.dropped)
        for rule, drops in rules.items():
            drop = np.asarray(drops.fill_null(False).to_numpy(zero_copy_only=False), np.bool_) & keep
            if drop.any():
                dropped[rule] = dropped.get(rule, 0) + int(drop.sum())
                keep &= ~drop
        if keep.all():
            return self
        return replace(self, rows=self.rows.filter(pa.array(keep)), numbers=self.numbers[keep], dropped=dropped)


@dataclass(frozen=True)
class Shop:
    """A shop that can be imported.

    source:  name of the importer
    columns: the columns that each table will fill; tables it will not have are absent
    chunks:  the rows, to be iterated once; those of items come before all others
    ignored: columns of the source that nothing is made of, by table
    """

    source: str
    columns: Mapping[str, tuple[str, ...]]
    chunks: Iterable[Chunk]
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

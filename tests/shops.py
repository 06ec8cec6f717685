"""What an import in a test gave, and the types of the fixtures that make one (tests/recsys/data/conftest.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow.parquet as pq

from recsys.data.report import ImportReport


class Imported:
    """The report of an import and the rows it wrote."""

    def __init__(self, report: ImportReport, folder: Path) -> None:
        self.report, self.folder = report, folder

    def rows(self, table: str = "interactions") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.folder / f"{table}.parquet").to_pylist()
        return rows

    def column(self, name: str, table: str = "interactions") -> list[Any]:
        return [row[name] for row in self.rows(table)]

    def refused(self, table: str = "interactions") -> dict[str, int]:
        return dict(self.report.tables[table].refused.counts)

    def example(self, reason: str, table: str = "interactions") -> str:
        return self.report.tables[table].refused.examples[reason][0]


Write: TypeAlias = Callable[[Mapping[str, str | bytes]], Path]
Import: TypeAlias = Callable[..., Imported]

"""What an import read, kept, dropped and refused; the contents of ``import.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_EXAMPLES = 5


@dataclass
class Refusals:
    """Bad rows, counted by reason; each row counts once, for the first reason found. Up to 5 examples of each reason."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, count: int, examples: Iterable[str]) -> None:
        """Count `count` more rows; examples beyond the fifth are not kept."""
        self.counts[reason] += count
        kept = self.examples.setdefault(reason, [])
        kept.extend(list(examples)[: MAX_EXAMPLES - len(kept)])

    def merge(self, other: Refusals, prefix: str = "") -> None:
        """Add all of another, with the prefix before its examples."""
        for reason, count in other.counts.items():
            self.add(reason, count, [prefix + example for example in other.examples[reason]])

    @property
    def total(self) -> int:
        """Rows refused."""
        return self.counts.total()


@dataclass
class TableReport:
    """One table: every row read was kept, dropped by a rule of the importer, or refused as bad.

    ignored: columns of the source that nothing was made of
    stubs:   items that only other tables name; they were added, are not among `kept`, and are not recommendable
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    refused: Refusals = field(default_factory=Refusals)
    ignored: tuple[str, ...] = ()
    stubs: int = 0

    @property
    def refused_share(self) -> float:
        """Refused rows as a share of all rows read; 0 when none was read."""
        return self.refused.total / self.read if self.read else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``import.json``."""
        refused = {reason: {"count": count, "examples": self.refused.examples[reason]} for reason, count in self.refused.counts.items()}
        stubs = {"stubs": self.stubs} if self.stubs else {}
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "refused": refused,
            "ignored_columns": list(self.ignored),
        } | stubs


@dataclass(frozen=True)
class ImportReport:
    """The outcome of one import. files: sha256 of every table written, by file name."""

    source: str
    tables: dict[str, TableReport]
    files: dict[str, str]

    @property
    def n_stubs(self) -> int:
        """Items made because a row named them and the items table did not."""
        return self.tables["items"].stubs

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``import.json``."""
        tables = {name: table.to_json() for name, table in self.tables.items()}
        return {"format": 1, "source": self.source, "stub_items": self.n_stubs, "tables": tables, "files": self.files}

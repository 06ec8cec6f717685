"""Answers that were given are kept, so that nothing is asked or paid for twice.

One SQLite file. Each answer is committed as it comes: a process killed at any moment loses only what was still on its way, and several
processes may share the file. It holds hashes of what was asked, never the words of a customer; answers may hold words of theirs.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from segmentation.errors import SegmentationError

FORMAT = 1
BUSY_TIMEOUT_S = 60.0
_BLOCK = 500


def cache_key(model: str, prompt_version: str, text: str) -> str:
    """SHA-256, in hex, of who is asked, what is asked (see `Question.prompt_version`) and about which text."""
    return hashlib.sha256(json.dumps([model, prompt_version, text]).encode()).hexdigest()


@dataclass(frozen=True)
class Known:
    """An answer as it was given, valid or not. confidence: in [0, 1]; NaN = the model did not say."""

    text: str
    confidence: float


class LabelCache:
    """Answers by key. Belongs to the thread that opened it; use it in a ``with`` block, or close it.

    Raises:
        SegmentationError: the file cannot be opened, is no such cache, or is damaged. Deleting it costs only the answers in it.
    """

    def __init__(self, path: Path | None) -> None:
        """path: the file, made where there is none, with its folder; None = kept in memory and forgotten at the end."""
        self._path = path
        with self._readable():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(str(path or ":memory:"), timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")  # two processes may make the table at once
        (found,) = self._database.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise SegmentationError(
                f"{self._path} is a label cache of format {found}, this version reads {FORMAT}; delete it or use another"
            )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, confidence REAL) WITHOUT ROWID"
        )
        self._database.execute(f"PRAGMA user_version = {FORMAT}")
        self._database.execute("COMMIT")

    def known(self, keys: Iterable[str]) -> dict[str, Known]:
        """The answers there are, by key; no entry where there is none."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Known] = {}
        with self._readable():
            for start in range(0, len(wanted), _BLOCK):
                block = wanted[start : start + _BLOCK]
                marks = ",".join("?" * len(block))
                rows = self._database.execute(f"SELECT key, text, confidence FROM answers WHERE key IN ({marks})", block)
                found |= {key: Known(text, math.nan if confidence is None else confidence) for key, text, confidence in rows}
        return found

    def keep(self, key: str, answer: Known) -> Known:
        """Keep an answer for good before returning. The first of several stays, and is returned: all processes then say the same."""
        row = (key, answer.text, None if math.isnan(answer.confidence) else answer.confidence)
        with self._readable():
            self._database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", row)
        return self.known([key])[key]

    @property
    def n_answers(self) -> int:
        """How many answers are kept."""
        with self._readable():
            return int(self._database.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> LabelCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SegmentationError(f"the label cache {self._path} cannot be used: {error}; delete it, or name another file") from error

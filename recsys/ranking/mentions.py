"""What the reviewers of items mention, and in which words: evidence for reasons, without a word of who wrote it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.types import Ints, Mention, Times, aware

_ARRAYS = ("offsets", "codes", "counts", "times", "ends", "quotes")


@dataclass(frozen=True)
class Mentions:
    """The terms that tell items apart by what reviewers write of them, as of a time; n rows, one per item and term.

    terms:   distinct wordings; codes are positions here
    offsets: rows of item i are offsets[i] to offsets[i + 1], the most telling term first; int64 (n_items + 1,)
    codes:   term of each row; int32 (n,)
    counts:  reviewers of the item who mention it, at least 2; int32 (n,)
    times:   when the quoted review was written; datetime64[us] (n,)
    ends:    where each row's quote ends in `quotes`; int64 (n,)
    quotes:  a clause with the term of one review per row, all in UTF-8; uint8
    """

    terms: tuple[str, ...]
    offsets: NDArray[np.int64]
    codes: Ints
    counts: Ints
    times: Times
    ends: NDArray[np.int64]
    quotes: NDArray[np.uint8]

    def terms_of(self, item: int) -> Ints:
        """Codes of the terms that reviewers of an item mention, the most telling first."""
        return self.codes[self.offsets[item] : self.offsets[item + 1]]

    def shared(self, item: int, other: int) -> int | None:
        """The row of the term that tells an item apart most, of those mentioned of another item too; None = there is none."""
        both = np.flatnonzero(np.isin(self.terms_of(item), self.terms_of(other)))
        return int(self.offsets[item] + both[0]) if len(both) else None

    def term(self, row: int) -> str:
        """Wording of a row's term."""
        return self.terms[int(self.codes[row])]

    def mention(self, row: int) -> Mention:
        """The evidence of a row."""
        start = int(self.ends[row - 1]) if row else 0
        quote = self.quotes[start : int(self.ends[row])].tobytes().decode("utf-8")
        return Mention(quote, aware(self.times[row]), int(self.counts[row]))

    def save(self, folder: Path) -> None:
        """Write into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "terms.json").write_text(json.dumps(list(self.terms), ensure_ascii=False), encoding="utf-8")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path) -> Mentions:
        """Read what `save` wrote; arrays are memory-mapped."""
        terms = tuple(json.loads((folder / "terms.json").read_text(encoding="utf-8")))
        return Mentions(terms, **{name: mapped(folder / f"{name}.npy") for name in _ARRAYS})

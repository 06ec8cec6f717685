"""External ids and their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.types import Ints


def id_hashes(ids: NDArray[np.object_]) -> NDArray[np.uint64]:
    """A hash of each id, (n,), equal in every process."""
    import pandas as pd  # a server hashes no ids

    return np.asarray(pd.util.hash_array(ids, categorize=False), np.uint64)


class Vocabulary:
    """The map between external string ids and the numbers 0 .. n - 1; immutable."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {id_: number for number, id_ in enumerate(self.ids)}

    def number(self, id_: str) -> int | None:
        """The number of an id, None when it is unknown."""
        return self._numbers.get(id_)

    def numbers(self, ids: Iterable[str]) -> Ints:
        """Numbers of the known ids, in their order; unknown ones are left out."""
        known = (self._numbers.get(id_) for id_ in ids)
        return np.array([number for number in known if number is not None], np.int32)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.ids, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Vocabulary:
        """Read what `save` wrote."""
        return Vocabulary(json.loads(path.read_text(encoding="utf-8")))

"""The order of a customer's lines, as far as it means anything: lines of one time have none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.protocols import ResolvedQuery
from recsys.types import Floats, Ints, Times


def newest_lines(resolved: ResolvedQuery) -> NDArray[np.intp]:
    """Rows of a query's positives, the newest of each item; found once for all who ask."""
    return resolved.once(newest_of_each, lambda: newest_of_each(resolved.positives.items))


def newest_of_each(items: Ints) -> NDArray[np.intp]:
    """Rows of the first line of each item, in their order."""
    _, first = np.unique(items, return_index=True)
    return np.sort(first)


def places(times: Times) -> Floats:
    """How many lines are newer than each, 0 = the newest; lines of one time share their mean place. times: newest first; float32 (n,)"""
    starts = np.flatnonzero(np.append(True, times[1:] != times[:-1])) if len(times) else np.empty(0, np.intp)
    sizes = np.diff(starts, append=len(times))
    return np.repeat(starts + (sizes - 1) / 2, sizes).astype(np.float32)

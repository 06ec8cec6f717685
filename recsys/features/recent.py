"""The order of a customer's lines, as far as it means anything: lines of one time have none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.protocols import ResolvedQuery
from recsys.types import Floats, History, Times


def newest_lines(resolved: ResolvedQuery) -> NDArray[np.intp]:
    """Rows of a query's positives, the newest of each item; found once for all who ask."""
    return resolved.once(newest_of_each, lambda: newest_of_each(resolved.positives))


def newest_of_each(lines: History) -> NDArray[np.intp]:
    """Rows of the newest line of each item, newest first; those of one time by item number, which means nothing."""
    items, first = np.unique(lines.items, return_index=True)
    return first[np.lexsort((items, -lines.times[first].astype(np.int64)))]


def places(times: Times) -> Floats:
    """How many lines are newer than each, 0 = the newest; lines of one time share their mean place. times: newest first; float32 (n,)"""
    starts = np.flatnonzero(np.append(True, times[1:] != times[:-1])) if len(times) else np.empty(0, np.intp)
    sizes = np.diff(starts, append=len(times))
    return np.repeat(starts + (sizes - 1) / 2, sizes).astype(np.float32)

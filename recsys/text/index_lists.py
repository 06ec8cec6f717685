"""How eligible vectors lie in inverted lists: which lists a filtered search has to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.types import Flags, Floats, Ints

_COUNTED = 1 << 14
"""About so many vectors tell how the eligible ones lie in the lists."""


class ListMap:
    """Where lists lie and what they hold.

    centres:       float32 (n_lists, dim)
    rows_per_probe: vectors in a list, on average over queries that come where vectors are many
    """

    def __init__(self, centres: Floats, list_of_row: Ints) -> None:
        self.centres = centres
        self._stride = max(1, len(list_of_row) // _COUNTED)
        self._counted = list_of_row[:: self._stride].copy()
        sizes = np.bincount(list_of_row, minlength=len(centres)).astype(np.float64)
        self.rows_per_probe = float((sizes**2).sum() / max(1, len(list_of_row)))

    def nearest(self, queries: Floats, eligible: Flags, wanted: float) -> tuple[NDArray[np.int64], Floats]:
        """Numbers of the nearest lists, just as many as hold so many eligible vectors, then -1; and how close their centres are.

        Both have the shape (q, m), where m is what the query with the most lists needs.
        """
        n_eligible = self._stride * np.bincount(self._counted[eligible[:: self._stride]], minlength=len(self.centres))
        closeness = queries @ self.centres.T  # (q, n_lists)
        near = np.argsort(-closeness, axis=1)
        n_needed = 1 + np.count_nonzero(np.cumsum(n_eligible[near], axis=1) < wanted, axis=1)
        near = near[:, : min(int(n_needed.max()), len(self.centres))]
        closeness = np.take_along_axis(closeness, near, axis=1)
        return np.where(np.arange(near.shape[1]) < n_needed[:, None], near, -1), np.ascontiguousarray(closeness)

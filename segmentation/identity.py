"""The same segment keeps its id when everything is fitted anew.

Segments of two fits are matched one to one so that as many customers as possible stay (Hungarian assignment on the overlap). A matched
segment keeps its id if more than half of its former members are in it; any other gets an id that was never used before, and former
segments without a successor are retired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEEP_ABOVE = 0.5


@dataclass(frozen=True)
class Move:
    """Customers who were in one segment and are now in another, or still in it. share: of the former segment's customers, in (0, 1]"""

    before: str
    after: str
    customers: int
    share: float


@dataclass(frozen=True)
class Succession:
    """What became of segments.

    ids:     id of each new segment, in the order of the new fit
    next_id: number that no id has used yet
    kept, new, retired: ids
    moves:   by former segment, the largest move first
    """

    ids: tuple[str, ...]
    next_id: int
    kept: tuple[str, ...]
    new: tuple[str, ...]
    retired: tuple[str, ...]
    moves: tuple[Move, ...]

    @property
    def moved_share(self) -> float:
        """Share of all customers compared whose segment id changed, in [0, 1]; NaN = nobody was compared."""
        total = sum(move.customers for move in self.moves)
        changed = sum(move.customers for move in self.moves if move.before != move.after)
        return changed / total if total else float("nan")


def succeed(before: NDArray[np.integer], after: NDArray[np.integer], ids: Sequence[str], n_after: int, next_id: int) -> Succession:
    """Ids for the segments of a new fit.

    Args:
        before, after: segment of each customer by the former and by the new fit as of one time, -1 = none; same length
        ids: of the former segments
        n_after: how many new segments there are
        next_id: number of the first id that was never used
    """
    from scipy.optimize import linear_sum_assignment

    both = (before >= 0) & (after >= 0)
    flat = np.bincount(before[both].astype(np.int64) * n_after + after[both], minlength=len(ids) * n_after)
    overlap = flat.reshape(len(ids), n_after)
    sizes = overlap.sum(axis=1)
    heirs = {
        int(new): ids[int(old)]
        for old, new in zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
        if overlap[old, new] > KEEP_ABOVE * sizes[old]
    }
    fresh = iter(range(next_id, next_id + n_after))
    named = tuple(heirs[new] if new in heirs else f"s{next(fresh)}" for new in range(n_after))
    return Succession(
        ids=named,
        next_id=next_id + n_after - len(heirs),
        kept=tuple(id_ for id_ in named if id_ in ids),
        new=tuple(id_ for id_ in named if id_ not in ids),
        retired=tuple(id_ for id_ in ids if id_ not in named),
        moves=tuple(
            Move(ids[old], named[new], int(overlap[old, new]), float(overlap[old, new] / sizes[old]))
            for old in range(len(ids))
            for new in np.argsort(-overlap[old], kind="stable")
            if overlap[old, new]
        ),
    )

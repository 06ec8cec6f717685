"""What a search found, in the order that is promised: best first, of equal scores the lower row first; and arrays as FAISS wants them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import compress, count, groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.types import Flags, Floats

Found: TypeAlias = tuple[NDArray[np.int64], Floats]
"""Rows and their scores, both (q, m); row -1 = nothing."""


def checked(array: Floats, what: str) -> Floats:
    """The array as contiguous float32 with two axes and finite values.

    Raises:
        ValueError: it has other than two axes, or a value is not finite (the row is named).
    """
    if array.ndim != 2:
        raise ValueError(f"{what} must have the shape (n, dim), got {array.shape}")
    array = np.ascontiguousarray(array, np.float32)
    if not math.isfinite(np.vdot(array, array)) and not np.isfinite(array).all():  # the first is quick, but large numbers overflow it
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"row {row} of {what} is not finite: {array[row]}")
    return array


def fitting(queries: Floats, dim: int) -> Floats:
    """`checked` queries of so many numbers each.

    Raises:
        ValueError: as `checked`, or their width is another.
    """
    queries = checked(queries, "queries")
    if queries.shape[1] != dim:
        raise ValueError(f"queries have width {queries.shape[1]}, the index has {dim}")
    return queries


def falls(scores: Floats) -> bool:
    """Whether each line falls strictly, as lines mostly do that FAISS gives: then they are in order, and nothing is tied."""
    if len(scores) == 1:  # after a search the caches are cold, and then each call of numpy takes 5 to 15 us
        line = scores[0].tolist()
        return all(map(operator.gt, line, line[1:]))
    falling = scores[:, 1:] < scores[:, :-1]
    return bool(np.count_nonzero(falling) == falling.size)


def ordered(rows: NDArray[np.int64], scores: Floats) -> Found:
    """Each line by descending score, equal scores by ascending row."""
    if falls(scores):
        return rows, scores
    if len(scores) == 1 and (settled := _settled(rows, scores[0].tolist())) is not None:
        return settled, scores
    order = np.lexsort((rows, -scores), axis=-1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _settled(rows: NDArray[np.int64], line: list[float]) -> NDArray[np.int64] | None:
    """One line with the rows of equal scores in order, which is less work than to sort it all; None where its scores rise anywhere."""
    following = line[1:]
    if not all(map(operator.ge, line, following)):
        return None
    rows = rows.copy()
    tied = compress(count(), map(operator.eq, line, following))
    for _, run in groupby(enumerate(tied), key=lambda pair: pair[1] - pair[0]):  # places that follow each other
        places = [place for _, place in run]
        rows[0, places[0] : places[-1] + 2].sort()
    return rows


def sifted(rows: NDArray[np.int64], scores: Floats, is_in: Flags, n: int) -> tuple[NDArray[np.int64], Floats, NDArray[np.intp]]:
    """The first n of each line that are in, and which lines have fewer of them: those go on with others. n is at most their length."""
    if len(rows) == 1:
        kept = np.flatnonzero(is_in[0])
        if len(kept) >= n:
            return rows[:, kept[:n]], scores[:, kept[:n]], kept[:0]
    first = np.argsort(~is_in, axis=1, kind="stable")[:, :n]
    short = np.flatnonzero(np.count_nonzero(is_in, axis=1) < n)
    return np.take_along_axis(rows, first, axis=1), np.take_along_axis(scores, first, axis=1), short


def untied(search: Callable[[int], Any], n: int, n_eligible: int) -> Found:
    """The n best of `search(k)`; k grows while the n-th score may go on beyond what was fetched: of equal scores the first rows win."""
    fetched = min(n + 1, n_eligible)
    scores, rows = search(fetched)
    if not falls(scores):
        while fetched < n_eligible and (scores[:, -1] == scores[:, n - 1]).any():
            fetched = min(4 * fetched, n_eligible)
            scores, rows = search(fetched)
        rows, scores = ordered(rows, scores)
    return rows[:, :n], scores[:, :n]

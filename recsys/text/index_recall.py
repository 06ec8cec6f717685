"""How much of the true best an approximate search finds, and the least effort that finds enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from recsys.text.index_file import SAMPLED_BEST
from recsys.types import Floats

_N_SAMPLED = 480
_BLOCK = 1 << 14
_TIE = 1e-6


def least_effort(
    find: Callable[[Floats, int, float], Floats], efforts: Sequence[float], vectors: Floats, target: float
) -> tuple[float, float]:
    """The least effort that reaches the target recall of the best `SAMPLED_BEST` rows, and the recall that it may vouch for.

    Args:
        find: find(queries, n, effort) gives the scores of the n rows found for each query, (q, n).
        efforts: what may be spent, rising; recall rises with it.
        vectors: all that can be found, float32 (n, dim), n at least 1.
        target: in (0, 1].

    Returns:
        The effort, the greatest where none reaches the target; the mean recall over the sample less two standard errors, rounded down
        to hundredths: what is compared with the target.
    """
    queries, n = sample_queries(vectors), min(SAMPLED_BEST, len(vectors))
    last = best_scores(queries, vectors, n)[:, -1:]

    def recall(effort: float) -> float:
        hits = np.mean(find(queries, n, effort) >= last - _TIE, axis=1)
        return float(hits.mean() - 2 * hits.std() / math.sqrt(len(hits)))

    low, high = 0, len(efforts) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if recall(efforts[middle]) >= target else (middle + 1, high)
    return efforts[low], max(0.0, math.floor(100 * recall(efforts[low])) / 100)


def sample_queries(vectors: Floats) -> Floats:
    """Unit vectors to measure with, float32, always the same for the same vectors.

    Most are vectors themselves. One in six is the mean of three vectors that have nothing to do with each other, seen from the overall
    mean: customers ask with the mean of what they bought, which lies farther from any item than items do from each other, and is harder.
    """
    rows = np.random.default_rng(0).integers(0, len(vectors), (_N_SAMPLED, 3))
    queries = vectors[rows[:, 0]]
    queries[: _N_SAMPLED // 6] = vectors[rows[: _N_SAMPLED // 6]].mean(axis=1) - vectors.mean(axis=0)
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    return np.ascontiguousarray(queries / np.maximum(norms, 1e-12), np.float32)


def best_scores(queries: Floats, vectors: Floats, n: int) -> Floats:
    """The n highest inner products of each query, best first; every vector is looked at. n is at most len(vectors)."""
    best = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        found = np.hstack([best, queries @ vectors[start : start + _BLOCK].T])
        best = -np.partition(-found, n - 1, axis=1)[:, :n] if found.shape[1] > n else found
    return -np.sort(-best, axis=1)

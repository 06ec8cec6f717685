"""How much of the true best an approximate search finds, and the least effort that finds enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from recsys.text.index_file import DEEP_BEST, SAMPLED_BEST
from recsys.types import Floats

_N_OWN, _N_MEANS = 400, 40
_SEEN = 1 << 15
"""Among about so many vectors it is told which lie thin."""
_BLOCK = 1 << 14
_TIE = 1e-6
_FEW = 100
"""Fewer queries say nothing of the one in a hundred for which a walk ends in the wrong place and finds next to nothing."""


def least_effort(
    find: Callable[[Floats, int, float], Floats], efforts: Sequence[float], queries: Floats, best: Floats, target: float
) -> tuple[float, float]:
    """The least effort that reaches the target recall of the best rows, and the recall that it may vouch for.

    Args:
        find: find(queries, n, effort) gives the scores of the n rows found for each query, (q, n).
        efforts: what may be spent, rising; recall rises with it.
        queries: float32 (q, dim).
        best: scores of the true best rows for each of them, best first, (q, n), n at least 1.
        target: in (0, 1].

    Returns:
        The effort, the greatest where none reaches the target; the mean recall over the queries and one more that finds nothing, less two
        standard errors, rounded down to hundredths: what is compared with the target. The one more is there because few queries find
        nothing, and among some hundreds there may happen to be none of them.
    """
    n, last = best.shape[1], best[:, -1:]

    def recall(effort: float) -> float:
        hits = np.append(np.mean(find(queries, n, effort) >= last - _TIE, axis=1), 0.0)
        return float(hits.mean() - 2 * hits.std() / math.sqrt(len(hits)))

    low, high = 0, len(efforts) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if recall(efforts[middle]) >= target else (middle + 1, high)
    return efforts[low], max(0.0, math.floor(100 * recall(efforts[low])) / 100)


def effort_at(n: float, at_sampled: float, at_deep: float) -> float:
    """Effort for the best n, from what the best `SAMPLED_BEST` and `DEEP_BEST` took: on a line between them, in proportion beyond."""
    if n >= DEEP_BEST:
        return at_deep * n / DEEP_BEST
    part = max(0.0, (n - SAMPLED_BEST) / (DEEP_BEST - SAMPLED_BEST))
    return (1 - part) * at_sampled + part * at_deep


def asked_of(vectors: Floats, queries: Floats | None) -> Floats:
    """The queries to measure with: those given; where they are fewer than a hundred, `sample_queries` beside them."""
    if queries is not None and len(queries) >= _FEW:
        return queries
    samples = sample_queries(vectors)
    return samples if queries is None else np.concatenate([queries, samples])


def sample_queries(vectors: Floats) -> Floats:
    """Unit vectors to measure with where nobody gave better ones, float32; always the same for the same vectors, and harder than most.

    Most are vectors themselves, out of the half of them that lies thinnest: what comes later lies farther from the rest than what lists
    were drawn around, and where vectors lie thin, less is found. One in eleven is the mean of three vectors that have nothing to do with
    each other, seen from the overall mean, as customers ask with the mean of what they bought.
    """
    rng, n = np.random.default_rng(0), len(vectors)
    stride = max(1, n // _SEEN)
    own = _unit(vectors[rng.integers(0, n, 2 * _N_OWN)])
    nearness = best_scores(own, vectors[::stride], max(1, min(SAMPLED_BEST, n) // stride))[:, -1]
    means = vectors[rng.integers(0, n, (_N_MEANS, 3))].mean(axis=1) - vectors.mean(axis=0)
    return np.concatenate([_unit(means), own[np.argsort(nearness, kind="stable")[:_N_OWN]]])


def best_scores(queries: Floats, vectors: Floats, n: int) -> Floats:
    """The n highest inner products of each query, best first; every vector is looked at. n is at most len(vectors)."""
    best = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        found = np.hstack([best, queries @ vectors[start : start + _BLOCK].T])
        best = -np.partition(-found, n - 1, axis=1)[:, :n] if found.shape[1] > n else found
    return -np.sort(-best, axis=1)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), np.float32)

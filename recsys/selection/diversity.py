"""A list whose items do not all read alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.types import Floats

POOL = 5
"""Diversity looks at this many times k candidates, the best; what stands behind them stays there."""


def diverse_order(scores: Floats, embeddings: Floats, diversity: float) -> NDArray[np.intp]:
    """Rows of a pool by maximal marginal relevance: (1 - d) * relevance - d * highest cosine with what is chosen already.

    Relevance is the score on a scale where the best of the pool has 1 and what would stand right behind its last row has 0. So one
    value of `diversity` means the same however many candidates there are beyond the pool.

    Args:
        scores: best first, evenly spaced but for boosts, (n,)
        embeddings: unit L2 norm, (n, dim)
        diversity: d, in [0, 1]

    Source:
        Carbonell & Goldstein (1998), SIGIR.
    """
    n = len(scores)
    relevance = _relevance(scores)
    cosines = embeddings @ embeddings.T  # (n, n)
    nearest = np.zeros(n, np.float32)
    left = np.ones(n, np.bool_)
    chosen = np.empty(n, np.intp)
    for place in range(n):
        gain = np.where(left, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        row = int(np.argmax(gain))
        chosen[place] = row
        left[row] = False
        nearest = np.maximum(nearest, cosines[row])
    return chosen


def _relevance(scores: Floats) -> Floats:
    """Scores stretched to (0, 1]; the one behind the last is taken to be one mean step further down."""
    if len(scores) < 2:
        return np.ones_like(scores)
    best, last = float(scores[0]), float(scores[-1])
    behind = last - (best - last) / (len(scores) - 1)
    return np.asarray((scores - behind) / max(best - behind, 1e-9), np.float32)

"""One list of candidates out of many proposals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.types import Candidates, Scored

RANK_OFFSET = 60.0
"""Constant of reciprocal rank fusion. Source: Cormack, Clarke & Büttcher (2009), SIGIR."""


def merge(proposals: Mapping[str, Scored]) -> Candidates:
    """The union of all proposals, each item once, with what every source said of it.

    Scores are reciprocal rank fusion, sum over sources of 1 / (60 + rank): the order to use where no ranker is.
    """
    names = tuple(proposals)
    stacked = np.concatenate([scored.items for scored in proposals.values()]) if proposals else np.empty(0, np.int32)
    items, first, at = np.unique(stacked, return_index=True, return_inverse=True)
    scores = np.full((len(items), len(names)), np.nan, np.float32)
    ranks = np.full_like(scores, np.nan)
    start = 0
    for column, scored in enumerate(proposals.values()):
        rows = at[start : start + len(scored)]
        scores[rows, column] = scored.scores
        ranks[rows, column] = np.arange(1, len(scored) + 1)
        start += len(scored)
    fused = np.nansum(1.0 / (RANK_OFFSET + ranks), axis=1).astype(np.float32)
    appearance = np.argsort(first, kind="stable")
    return Candidates(items.astype(np.int32), fused, scores, ranks, names).take(appearance)

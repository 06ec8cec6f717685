"""What customers wrote, put beside what the shop says: pooled embeddings of items, and of the customers who wrote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.types import Flags, Floats, Ints

ENOUGH = 2.0
"""Reviews of this total weight have half of the most that reviews may weigh: a single voice says little of an item."""


def review_weights(helpful: Floats, ages_days: Floats, half_life_days: float) -> Floats:
    """How much each review counts: 1 for a new one that nobody voted for; votes add by their logarithm, age halves.

    Args:
        helpful: votes >= 0, (n,). ages_days: (n,).

    Returns:
        float32 (n,), above 0.
    """
    return np.asarray((1.0 + np.log1p(helpful)) * 0.5 ** (ages_days / half_life_days), np.float32)


def pool_reviews(documents: Floats, reviews: Floats, about: Ints, weights: Floats, review_weight: float) -> Floats:
    """Embeddings of items: what the shop says of them and, the more was written, what customers say.

    The share of reviews is review_weight * w / (w + ENOUGH) for reviews of total weight w: an item without any keeps its document,
    and ten thousand of them weigh no more than review_weight.

    Args:
        documents: what the shop says, unit norm; float32 (n_items, dim).
        reviews: what customers wrote, unit norm; float32 (n, dim).
        about: item of each review; int32 (n,).
        weights: of each review, 0 or more; (n,).
        review_weight: in [0, 1], the most that reviews may weigh.

    Returns:
        Unit norm, float32 (n_items, dim).
    """
    means, total = weighted_means(reviews, about, weights, len(documents))
    share = (review_weight * total / (total + ENOUGH))[:, None]
    return unit(np.asarray((1.0 - share) * documents + share * means, np.float32), documents)


def weighted_means(embeddings: Floats, groups: Ints, weights: Floats, n_groups: int) -> tuple[Floats, Floats]:
    """Directions of groups of embeddings, unit norm (zeros for an empty group), (n_groups, dim), and their total weights (n_groups,)."""
    total = np.bincount(groups, weights, minlength=n_groups).astype(np.float32)
    heaviest = np.zeros(n_groups, np.float32)
    np.maximum.at(heaviest, groups, weights)
    relative = weights / np.maximum(heaviest[groups], np.finfo(np.float32).tiny)  # directions of what is old count as those of what is new
    sums = np.zeros((n_groups, embeddings.shape[1]), np.float32)
    order = np.argsort(groups, kind="stable")
    rows, starts = np.unique(groups[order], return_index=True)
    if len(rows):
        sums[rows] = np.add.reduceat(embeddings[order] * relative[order, None], starts, axis=0)
    return unit(sums, np.zeros_like(sums)), total


def distinct_rows(text_of_item: Ints, has_reviews: Flags) -> tuple[NDArray[np.intp], Ints]:
    """Items that share a text share an embedding, unless somebody wrote about one of them.

    Returns:
        An item for each distinct embedding, (n_rows,), and the row of each item, int32 (n_items,).
    """
    own = np.where(has_reviews, np.arange(len(text_of_item)), -1)
    _, first, row_of_item = np.unique(np.stack([text_of_item, own]), axis=1, return_index=True, return_inverse=True)
    return first, row_of_item.ravel().astype(np.int32)


def unit(vectors: Floats, fallback: Floats) -> Floats:
    """Rows at unit norm; where one cancels out to nothing, that of the fallback."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > 1e-6, vectors / np.maximum(norms, 1e-6), fallback).astype(np.float32)

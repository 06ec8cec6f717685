"""Counting which items are bought together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.candidates.covisit import CovisitSource
from recsys.features.spec import half_life_weights
from recsys.source_config import CovisitConfig
from recsys.training.sequence_pairs import sequence_pairs
from recsys.training.stages import Progress, silent
from recsys.types import Floats, Interactions, Ints

CHUNK_ITEMS = 4096
NEGLIGIBLE = 1e-6
"""A line of less weight, after 20 half-lives, links nothing: what is divided by so little overflows."""


def fit_covisit(
    lines: Interactions, n_items: int, as_of: np.datetime64, config: CovisitConfig, progress: Progress = silent
) -> CovisitSource:
    """Link items that share a basket, a customer, or a stretch of a customer's sequence, with popular items held back.

    A basket or customer of age a adds 0.5 ** (a / half-life) to each of its pairs; in a sequence a pair adds that, divided by how far
    apart its items are, and the way back less than the way onward. The weight of a pair is the sum of these, divided by
    (popularity of one * popularity of the other) ** exponent.
    """
    ages = ((as_of - lines.times) / np.timedelta64(1, "D")).astype(np.float32)
    weights = half_life_weights(ages, config.half_life_days)
    counted = weights > NEGLIGIBLE
    lines, weights = lines.take(counted), weights[counted]
    if config.unit == "sequence":
        pairs = sequence_pairs(lines, weights, n_items, config)
        popularity = np.bincount(lines.items, weights, minlength=n_items) ** config.popularity_exponent
        blocks = (pairs[first : first + CHUNK_ITEMS] for first in range(0, n_items, CHUNK_ITEMS))
    else:
        rows, units = _units(lines, n_items, config)
        shape = (int(units.max(initial=-1)) + 1, n_items)
        bought = sparse.csr_array((np.sqrt(weights[rows]), (units, lines.items[rows])), shape)
        popularity = np.asarray(bought.power(2).sum(axis=0)).ravel() ** config.popularity_exponent
        by_item = bought.T.tocsr()
        blocks = (by_item[first : first + CHUNK_ITEMS] @ bought for first in range(0, n_items, CHUNK_ITEMS))
    return CovisitSource(*strongest_links(blocks, n_items, popularity, config.n_neighbours, progress), config)


def strongest_links(
    blocks: Iterable[sparse.csr_array], n_items: int, popularity: NDArray[np.floating], n: int, progress: Progress
) -> tuple[NDArray[np.int64], Ints, Floats]:
    """The n strongest links of each item, as offsets, neighbours and weights. blocks: rows of the pair matrix, CHUNK_ITEMS at a time"""
    parts = []
    for number, block in enumerate(blocks):
        parts.append(_strongest(block, number * CHUNK_ITEMS, popularity, n))
        progress(min((number + 1) * CHUNK_ITEMS, n_items), n_items, "co-visitation")
    counts, neighbours, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), neighbours.astype(np.int32), weights.astype(np.float32)


def _units(lines: Interactions, n_items: int, config: CovisitConfig) -> tuple[NDArray[np.intp], Ints]:
    """Rows that take part and the unit of each: of the last `max_unit` rows of a unit the newest of every item.

    Of rows of one time item numbers say which are the last, for their order in the shop's files means nothing.
    """
    keys = lines.baskets if config.unit == "basket" else lines.customers
    known = np.flatnonzero(keys >= 0)
    order = known[np.lexsort((lines.items[known], -lines.times[known].astype(np.int64), keys[known]))]
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    position = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    rows = order[position < config.max_unit]
    _, units = np.unique(keys[rows], return_inverse=True)
    _, newest = np.unique(units.astype(np.int64) * n_items + lines.items[rows], return_index=True)
    return rows[newest], units[newest].astype(np.int32)


def _strongest(pairs: sparse.csr_array, first: int, popularity: NDArray[np.floating], n: int) -> tuple[NDArray[np.int64], Ints, Floats]:
    """The n strongest neighbours of each row of a block of the pair matrix: counts, neighbours, weights."""
    rows = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    columns = pairs.indices
    apart = columns != rows + first
    rows, columns, counts = rows[apart], columns[apart], pairs.data[apart]
    weights = counts / (popularity[rows + first] * popularity[columns])
    order = np.lexsort((columns, -weights, rows))
    rows = rows[order]
    starts = np.searchsorted(rows, np.arange(pairs.shape[0]))
    keep = np.arange(len(rows)) - starts[rows] < n
    kept = np.bincount(rows[keep], minlength=pairs.shape[0])
    return kept.astype(np.int64), columns[order][keep], weights[order][keep]

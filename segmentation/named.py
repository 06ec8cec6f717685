"""Brands, products and prices that customers name, counted for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentation.entities import Gazetteer, entities_of
from segmentation.gathering import Occasions
from segmentation.labelling import rank_within
from segmentation.voice import NEVER, Namings

MAX_NAMED = 20
"""Of one customer, the most named."""


def named_by(occasions: Occasions, n_customers: int, gazetteer: Gazetteer) -> Namings:
    """What customers 0 .. n_customers - 1 name; of what is named equally often the newest first. A text counts once for each thing."""
    of_texts = [sorted({(entity.kind, entity.value) for entity in found}) for found in entities_of(occasions.distinct, gazetteer)]
    things = sorted({thing for own in of_texts for thing in own})
    row_of = {thing: row for row, thing in enumerate(things)}
    lengths = np.array([len(of_texts[text]) for text in occasions.texts], np.int64)
    said = np.array([row_of[thing] for text in occasions.texts for thing in of_texts[text]], np.int64)
    by_whom = np.repeat(occasions.customers.astype(np.int64), lengths)
    pairs, of, counts = np.unique(by_whom * max(len(things), 1) + said, return_inverse=True, return_counts=True)
    last = np.full(len(pairs), NEVER)
    last[of] = np.repeat(occasions.times, lengths)  # oldest first: the newest one stays
    return _most_named(pairs, counts, last, n_customers, tuple(things))


def _most_named(
    pairs: NDArray[np.int64], counts: NDArray[np.int64], last: NDArray[np.datetime64], n_customers: int, things: tuple[tuple[str, str], ...]
) -> Namings:
    """pairs: customer times the number of things, plus the row of the thing"""
    customers, thing = pairs // max(len(things), 1), pairs % max(len(things), 1)
    order = np.lexsort((thing, -last.astype(np.int64), -counts, customers))
    order = order[rank_within(customers[order]) < MAX_NAMED]
    offsets = np.searchsorted(customers[order], np.arange(n_customers + 1)).astype(np.int64)
    return Namings(things, offsets, thing[order].astype(np.int32), counts[order].astype(np.int32), last[order])

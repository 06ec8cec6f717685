"""What each customer bought that speaks most for its segment.

A customer's row is the sum of the factors of what it bought, at unit length (`taste`). Under the mixture the log-likelihood of a segment
over that of the average of all segments is linear in that row, so every thing bought has its own exact part in it:

    part = count / length of the sum * factor . (mean of the segment - average mean) / (variance within segments + noise of the row)

and the thing with the largest one speaks most, if it speaks for the segment at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.cluster import BLOCK, SegmentModel
from segmentation.purchases import Floats, Ints, Purchases, Reals
from segmentation.taste import Bought, noise_of

LEAST = 1e-6
"""A thing that says less than this says nothing."""


@dataclass(frozen=True)
class Telling:
    """One thing per customer, as parallel arrays.

    things: rows of the table of factors, -1 = nothing bought speaks for the segment; int32
    weights: what each adds to the log-likelihood of the segment over that of the average one, above 0; NaN where there is none; float32
    """

    things: Ints
    weights: Floats


def telling_things(clusters: SegmentModel, bought: Bought, customers: Ints, segments: NDArray[np.int16]) -> Telling:
    """What speaks most for the given segment of each of the given customers, distinct and sorted; of equals the first."""
    starts = range(0, len(customers), BLOCK)
    blocks = [_block(clusters, bought, customers[start : start + BLOCK], segments[start : start + BLOCK]) for start in starts]
    if not blocks:
        return Telling(np.empty(0, np.int32), np.empty(0, np.float32))
    return Telling(np.concatenate([block.things for block in blocks]), np.concatenate([block.weights for block in blocks]))


def _block(clusters: SegmentModel, bought: Bought, customers: Ints, segments: NDArray[np.int16]) -> Telling:
    things, weights = np.full(len(customers), -1, np.int32), np.full(len(customers), np.nan, np.float32)
    first = np.searchsorted(bought.customers, customers)
    n_things = np.searchsorted(bought.customers, customers, side="right") - first
    some = np.flatnonzero(n_things > 0)
    if not len(some):
        return Telling(things, weights)
    starts = np.cumsum(n_things[some]) - n_things[some]
    pairs = np.arange(n_things.sum()) + np.repeat(first[some] - starts, n_things[some])

    counts = bought.counts[pairs].astype(np.float64)
    parts = counts[:, None] * clusters.factors[bought.things[pairs]]
    lengths = np.linalg.norm(np.add.reduceat(parts, starts, axis=0), axis=1)
    towards = _towards(clusters, segments[some], np.add.reduceat(counts, starts))
    owners = np.repeat(np.arange(len(some)), n_things[some])
    said = (parts * towards[owners]).sum(axis=1) / np.maximum(lengths, LEAST)[owners]

    best = np.lexsort((-said, owners))[starts]  # stable: of equals the first
    speaks = said[best] > LEAST
    things[some[speaks]] = bought.things[pairs[best[speaks]]]
    weights[some[speaks]] = said[best[speaks]]
    return Telling(things, weights)


def _towards(clusters: SegmentModel, segments: NDArray[np.int16], totals: Reals) -> Reals:
    """From the average segment to each customer's, by the precision with which its row is known; (n, dim)."""
    average = clusters.shares @ clusters.means
    return np.asarray((clusters.means[segments] - average) / (clusters.spreads + noise_of(totals)[:, None]))


def lines_with(purchases: Purchases, things: Ints, item_names: tuple[str, ...], topic_names: tuple[str, ...]) -> Ints:
    """In how many lines each customer bought its thing, refunds left out; 0 where it has none.

    things: one per customer, rows of item_names followed by topic_names, -1 = none
    """
    own = things[purchases.customers]
    is_item = own < len(item_names)
    of_item = is_item & (purchases.things(item_names, ()) == own)
    of_topic = ~is_item & (purchases.things((), topic_names) == own - len(item_names))
    counted = (own >= 0) & (of_item | of_topic) & ~(purchases.values < 0)
    return np.bincount(purchases.customers[counted], minlength=len(things)).astype(np.int32)

"""Customers in two dimensions: the directions in which segments differ most from each other, measured in spreads within segments.

Linear discriminant analysis of the segments' own space (Fisher 1936): rows of customers are scaled so that a segment's customers vary by 1
in every direction, and turned so that the first axis has most of the variance between the segments' means, the second most of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.cluster import SegmentModel
from segmentation.purchases import Ints, Purchases, Reals
from segmentation.taste import Bought

MAX_POINTS = 1_500
N_NAMES = 3
TIE = 1e-3
"""Weight of all customers' variance beside that between segments: it chooses the second axis where two segments leave it open."""


@dataclass(frozen=True)
class Axis:
    """One direction of the map. share: of the variance between segments, in [0, 1]; low, high: what those towards its ends buy more of."""

    share: float
    low: tuple[str, ...]
    high: tuple[str, ...]


@dataclass(frozen=True)
class Map:
    """A sample of customers as parallel arrays, sorted.

    customers: numbers, int32 (n,); places: float64 (n, 2); centres: of the segments, float64 (n_segments, 2); axes: the two directions
    """

    customers: Ints
    places: Reals
    centres: Reals
    axes: tuple[Axis, Axis]


def draw_map(
    model: SegmentModel,
    purchases: Purchases,
    item_names: Sequence[str],
    topic_names: Sequence[str],
    titles: Mapping[str, str],
    *,
    seed: int,
) -> Map | None:
    """At most MAX_POINTS customers who bought something the segments know, drawn by the seed; None where there are not two directions.

    Args:
        item_names, topic_names: the things that `model.factors` are of, in this order
        titles: of items, for the axes where nothing has a topic
    """
    if len(model.means) < 2 or len(model.spreads) < 2:
        return None
    things = purchases.things(item_names, topic_names)
    bought = Bought.of(purchases.customers, things, len(item_names) + len(topic_names))
    customers = np.unique(bought.customers)
    if len(customers) > MAX_POINTS:
        customers = np.sort(np.random.default_rng(seed).choice(customers, MAX_POINTS, replace=False))
    rows, _ = bought.rows(customers, model.factors)
    turn, shares = _directions(model, rows)
    names = _ends(purchases, things, model.factors @ turn, titles)
    first, second = (Axis(share, *ends) for share, ends in zip(shares, names, strict=True))
    middle = model.shares @ model.means
    return Map(customers, (rows - middle) @ turn, (model.means - middle) @ turn, (first, second))


def _directions(model: SegmentModel, rows: Reals) -> tuple[Reals, tuple[float, float]]:
    """The turn into the plane, shape (dim, 2), and what each axis has of the variance between segments."""
    scale = 1 / np.sqrt(model.spreads)
    apart = (model.means - model.shares @ model.means) * scale
    between = apart.T @ (model.shares[:, None] * apart)
    _, vectors = np.linalg.eigh(between + TIE * np.cov(rows * scale, rowvar=False))
    plane = vectors[:, [-1, -2]]
    plane = plane * np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # the sign of an eigenvector means nothing
    first, second = np.einsum("ij,ik,kj->j", plane, between, plane) / np.trace(between)
    return scale[:, None] * plane, (float(first), float(second))


def _ends(
    purchases: Purchases, things: Ints, loadings: NDArray[np.floating], titles: Mapping[str, str]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """For each axis the names that pull most to its low and to its high end: mean pull of their lines, times the root of their number."""
    codes, names = purchases.topics, list(purchases.topic_names)
    if purchases.items is not None and not (codes >= 0).any():
        codes, names = purchases.items, [titles.get(name) or name for name in purchases.item_names]
    known = (things >= 0) & (codes >= 0)
    pulls = [np.bincount(codes[known], loadings[things[known], axis], len(names)) for axis in range(2)]
    lines = np.sqrt(np.maximum(np.bincount(codes[known], minlength=len(names)), 1))
    return [(_names(-pull / lines, names), _names(pull / lines, names)) for pull in pulls]


def _names(pull: Reals, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names[row] for row in np.argsort(-pull, kind="stable")[:N_NAMES] if pull[row] > 0)

"""Segments: customers who buy alike, by k-means on what they buy and a little on how.

A customer becomes one row of columns. Per topic: the square root of its share in the customer's lines (so that Euclidean distance is
the Hellinger distance between shoppers). PRIOR_WEIGHT times the average customer's lines are added first, so that a thin history stays
near the middle. Per behaviour: the standardised column, scaled so that all behaviours together vary BEHAVIOUR_WEIGHT times as much as
all topics.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Floats

PRIOR_WEIGHT = 0.2
BEHAVIOUR_WEIGHT = 0.05
MIN_SHARE = 0.01
N_STARTS = 10


@dataclass(frozen=True)
class SegmentModel:
    """Assigns customers to the nearest centroid; needs numpy only.

    prior:     lines added to every customer's before shares are taken; float32, shape (n_topics,)
    offset:    subtracted from every column; float32, shape (n_columns,) with n_columns = n_topics + n_behaviours
    factor:    then multiplied; float32, shape (n_columns,)
    centroids: float32, shape (n_segments, n_columns); the largest segment of the fit first
    """

    prior: Floats
    offset: Floats
    factor: Floats
    centroids: Floats

    def columns(self, counts: Floats, behaviour: Floats) -> Floats:
        """What distances are measured on, shape (n, n_columns)."""
        return (_shares(counts, behaviour, self.prior) - self.offset) * self.factor

    def assign(self, counts: Floats, behaviour: Floats) -> tuple[NDArray[np.int16], Floats]:
        """The segment of each row, and a confidence in [0, 1]: 1 - distance to its centroid / distance to the next (1 with one segment).

        counts: lines per topic, shape (n, n_topics); behaviour: shape (n, n_behaviours), finite
        """
        return _nearest(self.columns(counts, behaviour), self.centroids)


def fit_segments(counts: Floats, behaviour: Floats, n_segments: int, seed: int, n_threads: int) -> SegmentModel:
    """K-means over customers; the same for equal seed and threads.

    There are fewer segments than asked for where customers do not differ enough, and one with less than MIN_SHARE of them is
    dissolved into its neighbours.

    Args:
        counts: lines per topic of each customer, shape (n, n_topics); n_topics may be 0
        behaviour: finite columns that say how the customer buys, shape (n, n_behaviours)

    Raises:
        ValueError: no customers, no columns, or n_segments below 1.
    """
    if not len(counts) or not counts.shape[1] + behaviour.shape[1] or n_segments < 1:
        given = f"{len(counts)} customers with {counts.shape[1]} topics and {behaviour.shape[1]} behaviours"
        raise ValueError(f"cannot form {n_segments} segments of {given}; each must be at least 1, topics or behaviours may be 0")
    prior = np.asarray(PRIOR_WEIGHT * counts.mean(axis=0, dtype=np.float64), np.float32)
    raw = _shares(counts, behaviour, prior)
    offset = raw.mean(axis=0, dtype=np.float64).astype(np.float32)
    factor = _factors(raw.std(axis=0, dtype=np.float64), counts.shape[1])

    rows = (raw - offset) * factor
    centroids = _k_means(rows, n_segments, seed, n_threads)
    sizes = np.bincount(_nearest(rows, centroids)[0], minlength=len(centroids))
    centroids = centroids[sizes >= min(MIN_SHARE * len(rows), sizes.max())]
    sizes = np.bincount(_nearest(rows, centroids)[0], minlength=len(centroids))
    return SegmentModel(prior, offset, factor, centroids[np.argsort(-sizes, kind="stable")])


def _shares(counts: Floats, behaviour: Floats, prior: Floats) -> Floats:
    lines = counts + prior
    total = lines.sum(axis=1, keepdims=True)
    shares = np.sqrt(np.divide(lines, total, out=np.zeros_like(lines), where=total > 0))
    return np.concatenate([shares, behaviour], axis=1, dtype=np.float32)


def _factors(deviations: NDArray[np.float64], n_topics: int) -> Floats:
    topics, behaviours = deviations[:n_topics], deviations[n_topics:]
    variance = (topics**2).sum()
    spread = np.sqrt(BEHAVIOUR_WEIGHT * variance / max(len(behaviours), 1)) if variance > 0 else 1.0
    scaled = np.divide(spread, behaviours, out=np.zeros_like(behaviours), where=behaviours > 1e-6)
    return np.concatenate([np.ones(n_topics), scaled]).astype(np.float32)


def _k_means(rows: Floats, n_segments: int, seed: int, n_threads: int) -> Floats:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    model = KMeans(min(n_segments, len(rows)), n_init=N_STARTS, random_state=seed)
    with threadpool_limits(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than segments: the empty ones are dissolved
        model.fit(rows)
    return np.asarray(model.cluster_centers_, np.float32)


def _nearest(rows: Floats, centroids: Floats) -> tuple[NDArray[np.int16], Floats]:
    distances = np.sqrt(np.stack([((rows - centroid) ** 2).sum(axis=1) for centroid in centroids], axis=1))  # (n, n_segments)
    segments = distances.argmin(axis=1).astype(np.int16)
    if len(centroids) == 1:
        return segments, np.ones(len(rows), np.float32)
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
    ratio = np.divide(nearest, second, out=np.ones_like(nearest), where=second > 0)
    return segments, (1.0 - ratio).astype(np.float32)

"""Segments: customers who like the same things.

Tastes are directions (`taste`), segments the groups of a mixture over them (`mixture`), and how many there are is chosen by what comes
out again in resamples (`choice`). A customer's segment is the likeliest group given all that it bought; the confidence is the probability
of that group. Of who bought little, little is known, and the confidence says so by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.choice import Candidate, Groups, choose, measure
from segmentation.mixture import FLOOR, Mixture, fit, fit_path, joined, memberships, nearest_to, squared_distances
from segmentation.purchases import Floats, Ints, Reals
from segmentation.taste import Bought, Counts, fit_factors, noise_of, rows_of

MAX_SEGMENTS = 16
MIN_SHARE = 0.01
OUTLIER_SPREADS = 3.0
"""Interquartile ranges above the upper quartile of distances beyond which a customer is far out (Tukey's outer fence); but nobody is
within four standard deviations of what the mixture expects."""
MAX_CUSTOMERS_TO_COMPARE = 5_000
BLOCK = 16_384


@dataclass(frozen=True)
class Assigned:
    """Parallel arrays of length n. segments: rows of `SegmentModel.means`, int16; confidence: probability of the segment, in [0, 1], 0 for
    an outlier, float32; outlier: the customer is far from every segment, bool; posterior: float32 (n, n_segments)"""

    segments: NDArray[np.int16]
    confidence: Floats
    outlier: NDArray[np.bool_]
    posterior: Floats

    def runner_up(self) -> tuple[NDArray[np.int16], Floats]:
        """The likeliest other segment of each customer and its probability; -1 and NaN where there is one segment only."""
        if self.posterior.shape[1] < 2:
            return np.full(len(self.segments), -1, np.int16), np.full(len(self.segments), np.nan, np.float32)
        everyone, others = np.arange(len(self.segments)), self.posterior.copy()
        others[everyone, self.segments] = -1
        best = others.argmax(axis=1)
        return best.astype(np.int16), others[everyone, best]


@dataclass(frozen=True)
class SegmentModel:
    """Assigns customers; needs numpy only.

    factors: of things, in axes where customers of one segment vary independently; float32 (n_things, dim)
    means:   of the segments, the largest first; float64 (n_segments, dim)
    spreads: variance within segments along each axis; float64 (dim,)
    shares:  of the customers it was fitted on; float64 (n_segments,)
    fence:   squared distance from the nearest segment beyond which a customer is an outlier; float64, shape ()
    """

    factors: Floats
    means: Reals
    spreads: Reals
    shares: Reals
    fence: Reals

    def assign(self, bought: Bought, customers: Ints, held: NDArray[np.int16] | None = None, margin: float = 0.0) -> Assigned:
        """The segments of the given customers, distinct and sorted.

        Args:
            held: the segment that each customer had, -1 = none. It keeps it unless another is likelier by more than `margin`.
        """
        starts = range(0, len(customers), BLOCK)
        blocks = [self._block(bought, customers[start : start + BLOCK]) for start in starts] or [self._block(bought, customers)]
        posterior, nearest, known = (np.concatenate(column) for column in zip(*blocks, strict=True))
        segments = posterior.argmax(axis=1)
        everyone = np.arange(len(customers))
        if held is not None:
            lead = posterior[everyone, segments] - posterior[everyone, np.maximum(held, 0)]
            segments = np.where((held >= 0) & (lead <= margin), held, segments)
        outlier = known & (nearest > self.fence)
        confidence = np.where(outlier, 0.0, posterior[everyone, segments])
        return Assigned(segments.astype(np.int16), confidence.astype(np.float32), outlier, posterior.astype(np.float32))

    def _block(self, bought: Bought, customers: Ints) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        rows, totals = bought.rows(customers, self.factors)
        squared = squared_distances(rows, noise_of(totals), self.means, self.spreads)
        posterior = memberships(squared, self.shares)
        posterior[totals == 0] = self.shares
        return posterior, squared.min(axis=1), totals > 0


def fit_segments(
    bought: Bought, customers: Ints, n_things: int, n_segments: int | None, seed: int, n_threads: int
) -> tuple[SegmentModel, tuple[Candidate, ...]]:
    """Segments of the given customers, and how good each number of them would be; the same for equal seed and threads.

    There are fewer segments than asked for where customers do not differ enough, and one with less than MIN_SHARE of them is joined to
    its nearest.

    Args:
        customers: those to fit on, distinct and sorted
        n_things: length of the table that `bought.things` are rows of, may be 0
        n_segments: None = chosen, at most MAX_SEGMENTS

    Raises:
        ValueError: no customers, or n_segments below 1.
    """
    if not len(customers) or (n_segments is not None and n_segments < 1):
        raise ValueError(f"cannot form {n_segments} segments of {len(customers)} customers; both must be at least 1")
    counts = bought.table(customers, n_things)
    counts = counts[np.flatnonzero(counts.sum(axis=1) > 0)]
    factors = fit_factors(counts, np.random.default_rng(seed)) if counts.shape[0] and n_things else np.zeros((n_things, 0), np.float32)
    if not factors.shape[1] or n_segments == 1:
        return one_segment(n_things), ()
    wanted = range(2, MAX_SEGMENTS + 1) if n_segments is None else (n_segments,)
    rows, totals = rows_of(counts, factors)
    noise = noise_of(totals)
    path = _path(rows, noise, wanted, seed, n_threads)
    candidates = _measured(counts, path, rows, noise, seed, n_threads)
    n_formed = choose(candidates) if n_segments is None else max(path)
    if n_formed == 1:
        return one_segment(n_things), candidates
    mixture = _without_small(fit(rows, noise, path[n_formed]), rows, noise)
    return _model(factors, mixture, rows, noise), candidates


def _path(rows: Reals, noise: Reals, wanted: Iterable[int], seed: int, n_threads: int) -> dict[int, Mixture]:
    """Mixtures of each wanted number of groups, or of as many as there are."""
    numbers = list(wanted)
    path = fit_path(rows, noise, 2 * max(numbers), min(numbers), seed, n_threads)
    return {n: path[n] for n in path if n in numbers} or {max(path): path[max(path)]}


def _measured(counts: Counts, full: dict[int, Mixture], rows: Reals, noise: Reals, seed: int, n_threads: int) -> tuple[Candidate, ...]:
    """On at most MAX_CUSTOMERS_TO_COMPARE customers: which groups they are in when factors and mixtures are fitted on resamples of them."""
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(rows))[:MAX_CUSTOMERS_TO_COMPARE])
    part = counts[sample]

    def again(drawn: Groups) -> dict[int, Groups]:
        resample = part[drawn]
        factors = fit_factors(resample, rng)
        if not factors.shape[1]:
            return {}
        drawn_rows, totals = rows_of(resample, factors)
        path = _path(drawn_rows, noise_of(totals), full, seed, n_threads)
        part_rows, _ = rows_of(part, factors)
        return {n: mixture.posterior(part_rows, noise[sample]).argmax(axis=1) for n, mixture in path.items()}

    groups = {n: mixture.posterior(rows[sample], noise[sample]).argmax(axis=1) for n, mixture in full.items()}
    return measure(groups, again, rows[sample], rng)


def one_segment(n_things: int) -> SegmentModel:
    """Everybody is alike."""
    return SegmentModel(np.zeros((n_things, 0), np.float32), np.zeros((1, 0)), np.zeros(0), np.ones(1), np.array(np.inf))


def _without_small(mixture: Mixture, rows: Reals, noise: Reals) -> Mixture:
    while len(mixture.shares) > 1 and mixture.shares.min() < MIN_SHARE:
        smallest = int(mixture.shares.argmin())
        mixture = fit(rows, noise, joined(mixture, nearest_to(mixture, smallest), smallest))
    return mixture


def _model(factors: Floats, mixture: Mixture, rows: Reals, noise: Reals) -> SegmentModel:
    """In axes where the covariance is diagonal, so that assigning is a sum and a few subtractions."""
    spreads, axes = np.linalg.eigh(mixture.covariance)
    spreads = np.maximum(spreads, FLOOR)
    order = np.argsort(-mixture.shares, kind="stable")
    means, shares = (mixture.means @ axes)[order], mixture.shares[order]
    nearest = squared_distances(rows @ axes, noise, means, spreads).min(axis=1)
    lower, upper = np.quantile(nearest, [0.25, 0.75])
    usual = len(spreads) + 4 * np.sqrt(2 * len(spreads))  # squared distances are chi-squared where the mixture is right
    fence = np.array(max(upper + OUTLIER_SPREADS * (upper - lower), usual))
    return SegmentModel((factors.astype(np.float64) @ axes).astype(np.float32), means, spreads, shares / shares.sum(), fence)

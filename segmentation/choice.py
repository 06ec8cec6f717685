"""How many segments: as many as come out again when the customers are drawn anew.

For each number of segments, two measures. *Stability*: customers are drawn with replacement, everything is fitted again, those who were
not drawn are assigned by both fits, and the two are compared by the adjusted Rand index; the mean over N_RESAMPLES draws. *Silhouette*:
of the rows of customers by cosine distance. Where no number of segments reaches MIN_STABILITY nothing is found again, and there is one
segment. Else numbers are compared by stability less one standard deviation, what five draws of six reach: two segments that are found again
or not at all, as the draw will have it, are not to be relied on, however good their mean. Those within one standard error of the best
are equally good, and the best silhouette among them decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Reals

MIN_STABILITY = 0.3
"""Where nothing is to be found, the best of all numbers reaches 0.1 to 0.25, the more the smaller the shop."""
N_RESAMPLES = 20
"""With 5 another seed made another choice."""
MAX_SILHOUETTE_ROWS = 2_000

Groups: TypeAlias = NDArray[np.intp]
Grouping: TypeAlias = Callable[[NDArray[np.intp]], dict[int, Groups]]
"""From rows to fit on, repeats allowed, to the group of every row, for each number of groups."""


@dataclass(frozen=True)
class Candidate:
    """One number of segments. stability: adjusted Rand index, mean over resamples, and its standard deviation; silhouette: in [-1, 1],
    NaN where only one segment has members."""

    n_segments: int
    stability: float
    deviation: float
    silhouette: float

    @property
    def dependable(self) -> float:
        """The stability that five draws of six reach."""
        return self.stability - self.deviation


def measure(full: dict[int, Groups], again: Grouping, rows: Reals, rng: np.random.Generator) -> tuple[Candidate, ...]:
    """Stability and silhouette of each number of groups, the fewest first.

    Args:
        full: the groups of all rows when fitted on all rows
        again: fits on other rows
        rows: what distances are measured on, unit length, shape (n, dim)
    """
    from sklearn.metrics import adjusted_rand_score

    agreements: dict[int, list[float]] = {n: [] for n in full}
    for _ in range(N_RESAMPLES):
        drawn = np.sort(rng.integers(len(rows), size=len(rows)))
        others = np.setdiff1d(np.arange(len(rows)), drawn)
        refitted = again(drawn)
        for n in full.keys() & refitted.keys():
            agreements[n].append(float(adjusted_rand_score(full[n][others], refitted[n][others])))
    sample = np.sort(rng.permutation(len(rows))[:MAX_SILHOUETTE_ROWS])
    found = []
    for n, agreed in sorted(agreements.items()):
        mean, deviation = (float(np.mean(agreed)), float(np.std(agreed))) if agreed else (math.nan, math.nan)
        found.append(Candidate(n, mean, deviation, _silhouette(rows[sample], full[n][sample])))
    return tuple(found)


def choose(candidates: Sequence[Candidate]) -> int:
    """The number of segments to form; 1 = none that come out again."""
    stable = [candidate for candidate in candidates if candidate.stability >= MIN_STABILITY]
    if not stable:
        return 1
    best = max(stable, key=lambda candidate: candidate.dependable)
    error = best.deviation * math.sqrt(1.5 / N_RESAMPLES)  # of a mean less a deviation, both estimated (normal draws)
    equal = [candidate for candidate in stable if candidate.dependable >= best.dependable - error]
    return max(equal, key=lambda candidate: (candidate.silhouette, -candidate.n_segments)).n_segments


def _silhouette(rows: Reals, groups: Groups) -> float:
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(groups)) < len(groups):
        return math.nan
    return float(silhouette_score(rows, groups, metric="cosine"))

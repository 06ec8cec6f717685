"""Statistics of one customer's lines, grouped by what they share with the candidates; the request-time half of the features."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features.affinity import Doubles, usual_places
from recsys.features.recent import newest_lines
from recsys.features.spec import FeatureSpec, ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.types import Flags, Floats, Ints, Times


class CustomerLines:
    """The positive lines of a query's customer, seen from its time; answers customer-scope features."""

    def __init__(self, resolved: ResolvedQuery) -> None:
        self.lines = lines = resolved.positives
        self.newest = newest_lines(resolved)
        self.ages = ages_in_days(lines.times, resolved.time)  # ascending: newest first
        self.occasions = np.cumsum(_changes(lines.times)) - 1  # 0 = the latest, shape (n_lines,)

    def n_occasions(self, n: int) -> int:
        """At how many times the newest n lines fell."""
        return int(self.occasions[n - 1]) + 1 if n else 0

    def n_within(self, window_days: float | None) -> int:
        """How many of the newest lines lie in the window."""
        return len(self.ages) if window_days is None else int(np.searchsorted(self.ages, window_days, side="right"))

    def days(self, window_days: float | None) -> float:
        """Days that a rate divides by."""
        return window_days if window_days is not None else max(float(self.ages[-1]), 1.0)

    def statistic(self, spec: FeatureSpec) -> float:
        """One number for the customer; NaN without lines."""
        if not len(self.ages):
            return np.nan
        n = self.n_within(spec.window_days)
        if spec.statistic == "recency":
            return float(self.ages[0])
        if spec.statistic == "rate":
            return self.n_occasions(n) / self.days(spec.window_days)
        if n == 0:
            return np.nan
        if spec.statistic == "repeat":
            return 1.0 - int(np.searchsorted(self.newest, n)) / n  # as many items as have their newest line there
        known = self.lines.values[:n][np.isfinite(self.lines.values[:n])]
        return float(known.mean()) if len(known) else np.nan


class PairLines:
    """Lines of a customer grouped by a code, looked up for candidates; answers pair-scope features of one attribute.

    codes:      code of each line's item, shape (n_lines,)
    candidates: code of each candidate, shape (n,); -1 = it has none, and matches nothing
    """

    def __init__(self, customer: CustomerLines, codes: Ints, candidates: Ints) -> None:
        self.customer = customer
        self.order = np.argsort(codes, kind="stable")
        self.is_first = _changes(codes[self.order])
        self.newest = self.order[self.is_first]
        self.keys = codes[self.newest]
        self.group = np.empty(len(codes), np.intp)
        self.group[self.order] = np.cumsum(self.is_first) - 1
        self.at = np.minimum(np.searchsorted(self.keys, candidates), max(len(self.keys) - 1, 0))
        self.found = (self.keys[self.at] == candidates) & (candidates >= 0) if len(self.keys) else np.zeros(len(candidates), np.bool_)

    def statistic(self, spec: FeatureSpec) -> Floats:
        """One number per candidate, shape (n,)."""
        if not len(self.keys):
            return np.full(len(self.found), self._absent(spec), np.float32)
        per_key = self._per_key(spec)
        return np.where(self.found, per_key[self.at], self._absent(spec)).astype(np.float32)

    def affinity(self, spec: FeatureSpec, prior: Doubles, overall: Doubles, strength: float) -> Floats:
        """Log of the customer's share of each candidate's code, `strength` lines of the prior share added, over the overall share; (n,)

        prior, overall: shares of each candidate's code, (n,); NaN = it has no code
        """
        n = self.customer.n_within(spec.window_days)
        counts = self._sum(np.ones(n, np.float32))
        own = np.where(self.found, counts[self.at], 0.0) if len(self.keys) else np.zeros(len(self.found))
        n_coded = counts[self.keys >= 0].sum()
        return np.asarray(np.log((own + strength * prior) / (n_coded + strength) / overall), np.float32)

    def price(self, spec: FeatureSpec, places: Floats, places_of_lines: Floats) -> Floats:
        """Place of each candidate's price minus the mean place of what the customer buys of its code, (n,); NaN where either is unknown."""
        n = self.customer.n_within(spec.window_days)
        usual = usual_places(places_of_lines[:n], self.group[:n], len(self.keys) + 1)  # the last one: no line
        return np.asarray(places - usual[np.where(self.found, self.at, len(self.keys))], np.float32)

    @staticmethod
    def _absent(spec: FeatureSpec) -> float:
        return 0.0 if spec.statistic in ("rate", "decayed", "share", "frequency") else np.nan

    def _per_key(self, spec: FeatureSpec) -> NDArray[np.floating]:
        ages, n = self.customer.ages, self.customer.n_within(spec.window_days)
        if spec.statistic == "recency":
            return ages[self.newest]
        if spec.statistic == "interval":
            return self._interval
        if spec.statistic == "due":
            return ages[self.newest] / self._interval
        if spec.statistic == "decayed":
            return self._sum(half_life_weights(ages[:n], spec.half_life_days))
        if spec.statistic == "value":
            return self._mean_value(n)
        if spec.statistic == "passed":
            return self.customer.occasions[self.newest].astype(np.float64)
        if spec.statistic == "frequency":
            return self._frequency(n)
        counts = self._sum(np.ones(n, np.float32))
        return counts / (max(n, 1) if spec.statistic == "share" else self.customer.days(spec.window_days))

    def _sum(self, weights: Floats) -> NDArray[np.floating]:
        return np.bincount(self.group[: len(weights)], weights, minlength=len(self.keys)).astype(np.float64)

    def _frequency(self, n: int) -> NDArray[np.floating]:
        visits = self._visits[self._visits < n]
        return np.bincount(self.group[visits], minlength=len(self.keys)) / max(self.customer.n_occasions(n), 1)

    def _mean_value(self, n: int) -> NDArray[np.floating]:
        values = self.customer.lines.values[:n]
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return self._sum(np.where(known, values, 0.0)) / self._sum(known.astype(np.float32))

    @cached_property
    def _visits(self) -> NDArray[np.intp]:
        """One line of each key and occasion."""
        return self.order[self.is_first | _changes(self.customer.occasions[self.order])]

    @cached_property
    def _interval(self) -> NDArray[np.floating]:
        """Mean days between distinct occasions of each key; NaN with fewer than two."""
        gaps = np.bincount(self.group[self._visits], minlength=len(self.keys)) - 1
        oldest = self.order[np.append(self.is_first[1:], True)]  # within a key the lines go from the newest to the oldest
        times = self.customer.lines.times  # ages in single precision would make seconds between old lines nothing
        return np.where(gaps > 0, (times[self.newest] - times[oldest]) / np.timedelta64(1, "D") / np.maximum(gaps, 1), np.nan)


def _changes(values: Ints | Times | NDArray[np.intp]) -> Flags:
    """Whether each value is another than the one before it; (n,)"""
    changes = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes

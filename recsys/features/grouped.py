"""Statistics of one customer's lines, grouped by what they share with the candidates; the request-time half of the features."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features.affinity import Doubles, usual_places
from recsys.features.spec import FeatureSpec, ages_in_days, half_life_weights
from recsys.types import Floats, History, Ints


class CustomerLines:
    """The positive lines of a customer, seen from a time; answers customer-scope features."""

    def __init__(self, lines: History, now: np.datetime64) -> None:
        self.lines = lines
        self.now = now
        self.ages = ages_in_days(lines.times, now)  # ascending: newest first
        self.occasions = np.cumsum(np.diff(self.ages, prepend=self.ages[:1]) > 0)  # 0 = the latest occasion, shape (n_lines,)

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
            return len(np.unique(self.lines.times[:n])) / self.days(spec.window_days)
        if n == 0:
            return np.nan
        if spec.statistic == "repeat":
            return 1.0 - len(np.unique(self.lines.items[:n])) / n
        known = self.lines.values[:n][np.isfinite(self.lines.values[:n])]
        return float(known.mean()) if len(known) else np.nan


class PairLines:
    """Lines of a customer grouped by a code, looked up for candidates; answers pair-scope features of one attribute.

    codes:      code of each line's item, shape (n_lines,)
    candidates: code of each candidate, shape (n,); -1 = it has none, and matches nothing
    """

    def __init__(self, customer: CustomerLines, codes: Ints, candidates: Ints) -> None:
        self.customer = customer
        self.keys, self.newest, self.group = np.unique(codes, return_index=True, return_inverse=True)
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
        if n == 0:
            return np.zeros(len(self.keys))
        n_occasions = int(self.customer.occasions[n - 1]) + 1
        with_key = np.unique(self.group[:n] * n_occasions + self.customer.occasions[:n]) // n_occasions
        return np.bincount(with_key, minlength=len(self.keys)) / n_occasions

    def _mean_value(self, n: int) -> NDArray[np.floating]:
        values = self.customer.lines.values[:n]
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return self._sum(np.where(known, values, 0.0)) / self._sum(known.astype(np.float32))

    @cached_property
    def _interval(self) -> NDArray[np.floating]:
        """Mean days between distinct occasions of each key; NaN with fewer than two."""
        order = np.argsort(self.group, kind="stable")
        group, ages = self.group[order], self.customer.ages[order]
        is_new = np.ones(len(group), np.bool_)
        is_new[1:] = (group[1:] != group[:-1]) | (ages[1:] != ages[:-1])
        gaps = np.bincount(group[is_new], minlength=len(self.keys)) - 1
        oldest = np.zeros(len(self.keys), np.float32)
        oldest[group] = ages  # within a group the ages ascend: the last one stays
        return np.where(gaps > 0, (oldest - self.customer.ages[self.newest]) / np.maximum(gaps, 1), np.nan)

"""What has happened to items until the day of a query, whenever that is: looked up, not fitted for one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.data.catalogue import Catalogue
from recsys.features.spec import FeatureSpec
from recsys.types import Floats, Interactions, Ints

DAY_BITS = 20
"""A day since 1970 takes fewer."""


@dataclass(frozen=True)
class Calendar:
    """The days on which lines of each code fell.

    keys: code * 2 ** DAY_BITS + day since 1970 of every line, rising; int64 (n_lines,)

    Days are whole: what happens on the day of the query, before or after it, does not count.
    """

    keys: NDArray[np.int64]

    @staticmethod
    def of(lines: Interactions, codes: Ints) -> Calendar:
        """codes: of each item, -1 = none"""
        code = codes[lines.items]
        days = lines.times.astype("datetime64[D]").astype(np.int64)
        return Calendar(np.sort((code.astype(np.int64) << DAY_BITS) + days)[np.count_nonzero(code < 0) :])

    def statistic(self, spec: FeatureSpec, codes: Ints, now: np.datetime64) -> Floats:
        """One number for each code, float32 (n,); NaN for -1, and where nothing happened before."""
        first, today = codes.astype(np.int64) << DAY_BITS, int(now.astype("datetime64[D]").astype(np.int64))
        starts, ends = np.searchsorted(self.keys, first), np.searchsorted(self.keys, first + today)
        known = (codes >= 0) & (ends > starts)
        if not known.any():
            return np.full(len(codes), np.nan, np.float32)
        return np.where(known, self._known(spec, first, today, starts, ends), np.nan).astype(np.float32)

    def _known(
        self, spec: FeatureSpec, first: NDArray[np.int64], today: int, starts: NDArray[np.intp], ends: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        age = today - self._days(np.minimum(starts, len(self.keys) - 1))
        if spec.statistic == "age":
            return age
        if spec.statistic == "recency":
            return today - self._days(np.maximum(ends - 1, 0))
        if spec.window_days is None:
            return (ends - starts) / np.maximum(age, 1.0)
        since = np.searchsorted(self.keys, first + max(today - round(spec.window_days), 0))
        return (ends - np.maximum(since, starts)) / spec.window_days

    def _days(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return (self.keys[rows] & ((1 << DAY_BITS) - 1)).astype(np.float64)


def calendars(specs: tuple[FeatureSpec, ...], lines: Interactions, catalogue: Catalogue) -> dict[str, Calendar]:
    """One for each attribute that a feature of scope "now" is by."""
    return {by: Calendar.of(lines, catalogue.codes(by)) for by in sorted({spec.by for spec in specs if spec.scope == "now"})}


def save_calendars(of_attributes: Mapping[str, Calendar], folder: Path) -> None:
    for by, calendar in of_attributes.items():
        np.save(folder / f"now_{by}.npy", calendar.keys)


def load_calendars(specs: tuple[FeatureSpec, ...], folder: Path) -> dict[str, Calendar]:
    """Memory-mapped."""
    return {by: Calendar(mapped(folder / f"now_{by}.npy")) for by in sorted({s.by for s in specs if s.scope == "now"})}

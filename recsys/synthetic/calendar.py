"""What changes with time for everybody: how busy the shop is, which types are in season, what is new, what is on promotion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.catalogue import PlantedItems
from recsys.synthetic.config import WorldConfig
from recsys.types import Floats, Times

HOUR = 1 / 24
NOT_LAUNCHED = np.float32(-60.0)
"""Utility that no other can make up for: the item is not in the shop yet."""

_WEEKDAYS = np.array([0.97, 0.94, 0.93, 0.95, 1.0, 1.12, 1.09])
_HOURS = np.array([2, 1, 1, 1, 1, 2, 5, 9, 13, 16, 18, 19, 19, 18, 17, 18, 20, 23, 25, 26, 25, 20, 12, 6]) / 317 * 24
_FADES_AFTER_DAYS = 30.0
_BUSIEST_MONTH = 12
_DEPTHS = np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.4])


@dataclass(frozen=True)
class Calendar:
    """Weeks count from the world's first day; the last one may be short.

    start:    midnight of the first day, UTC
    n_days:   length of the history
    season:   log factor of what is looked for; float32 (n_weeks, n_types)
    newness:  utility of being new, NOT_LAUNCHED before the launch; float32 (n_weeks, n_items)
    depth:    price cut as a share of the price, 0 = none; float32 (n_weeks, n_items)
    elapsed:  busyness-weighted days since the first moment, at each full hour; float64 (24 n_days + 1,)
    """

    start: np.datetime64
    n_days: int
    season: Floats
    newness: Floats
    depth: Floats
    elapsed: NDArray[np.float64]

    @property
    def n_weeks(self) -> int:
        """Weeks, the short last one included."""
        return len(self.depth)

    def weeks(self, days: NDArray[np.float64]) -> NDArray[np.intp]:
        """The week of each time."""
        return np.clip(days // 7, 0, self.n_weeks - 1).astype(np.intp)

    def busy_days(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Busyness-weighted days from the first moment to each time, which is clipped to the history."""
        return np.asarray(np.interp(days, np.arange(len(self.elapsed)) * HOUR, self.elapsed))

    def days_at(self, busy_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `busy_days`."""
        return np.asarray(np.interp(busy_days, self.elapsed, np.arange(len(self.elapsed)) * HOUR))

    def times(self, days: NDArray[np.float64]) -> Times:
        """Moments, to the second."""
        return self.start + np.round(days * 86_400).astype(np.int64).astype("timedelta64[s]").astype("timedelta64[us]")

    def days(self, time: np.datetime64) -> float:
        """Days from the first moment to a time."""
        return float((time.astype("datetime64[us]") - self.start) / np.timedelta64(1, "D"))


def make_calendar(config: WorldConfig, items: PlantedItems, rng: np.random.Generator) -> Calendar:
    """The calendar of a world."""
    start = np.datetime64(config.start, "us")
    weeks = np.arange(-(-config.n_days // 7))
    middle = start + (weeks * 7 * 24 + 84).astype("timedelta64[h]")
    year = (middle - middle.astype("datetime64[Y]")) / np.timedelta64(365, "D")  # share of the year that is over
    age = weeks[:, None] * 7 + 3.5 - items.launch_day[None, :]
    newness = np.where(age < 0, NOT_LAUNCHED, config.behaviour.novelty * np.exp(-np.maximum(age, 0) / _FADES_AFTER_DAYS))
    is_promoted = rng.random((len(weeks), len(items)), np.float32) < config.behaviour.promoted
    depth = np.where(is_promoted, rng.choice(_DEPTHS, is_promoted.shape), 0)
    peaks = items.types.season_peak
    season = np.where(np.isnan(peaks), 0, config.behaviour.season * _wave(year[:, None], peaks[None, :]))
    return Calendar(
        start, config.n_days, season.astype(np.float32), newness.astype(np.float32), depth.astype(np.float32), _elapsed(config, start)
    )


def _elapsed(config: WorldConfig, start: np.datetime64) -> NDArray[np.float64]:
    hours = start + np.arange(24 * config.n_days).astype("timedelta64[h]")
    days = hours.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    year = (days - days.astype("datetime64[Y]")) / np.timedelta64(365, "D")
    season = np.exp(config.behaviour.season / 4 * _wave(year, np.array(float(_BUSIEST_MONTH))))
    hour = (hours - days).astype("timedelta64[h]").astype(np.int64)
    return np.concatenate([[0.0], np.cumsum(_WEEKDAYS[weekday] * season * _HOURS[hour] * HOUR)])


def _wave(year: NDArray[np.float64], peak_month: NDArray[np.floating]) -> NDArray[np.float64]:
    """One in the middle of the peak month, minus one half a year from it."""
    return np.asarray(np.cos(2 * np.pi * (year - (peak_month - 0.5) / 12)))

"""What this customer bought before, by decayed personal frequency and by when such things are bought again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.arrays import mapped
from recsys.candidates.seeds import best
from recsys.features.recent import newest_lines
from recsys.features.spec import ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.source_config import RepurchaseConfig
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored

EDGES = np.array([0, 3, 7, 10, 14, 21, 28, 35, 49, 70, 98, 140, 200, 300, np.inf], np.float32)
"""Days since an item was last bought between which its rate of being bought again is taken to be constant."""
TIMING_EXPONENT = 0.5
"""How much the chance of a purchase counts beside the frequency, which knows part of it; chosen on Complete Journey."""


@dataclass(frozen=True)
class RepurchaseSource:
    """Scores an item by the sum of 0.5 ** (age / half-life) over the customer's lines of it, times chance ** TIMING_EXPONENT.

    The chance is that of buying it within the horizon, so long after it was last bought; 1 where the source has no horizon.

    rates: of being bought again, a day, between two EDGES after the last time; float32 (n_items, n_edges - 1); None = no horizon
    """

    config: RepurchaseConfig
    rates: Floats | None
    reason = ReasonCode.BOUGHT_BEFORE

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items of the history, the most frequent of late and the most due first."""
        lines = resolved.positives
        ages = ages_in_days(lines.times, resolved.time)
        items, group = np.unique(lines.items, return_inverse=True)
        frequency = np.bincount(group, half_life_weights(ages, self.config.half_life_days), minlength=len(items))
        newest = newest_lines(resolved)
        newest = newest[np.argsort(lines.items[newest])]  # one of each item, as `items` has them
        scores = (frequency * self.chances(items, ages[newest]) ** TIMING_EXPONENT).astype(np.float32)
        keep = eligible[items]
        return Scored(*best(items[keep], scores[keep], n))

    def chances(self, items: Ints, ages: Floats) -> Floats:
        """How probable a purchase within the horizon is of each item that was last bought so many days ago; float32 (n,)"""
        if self.rates is None or self.config.horizon_days is None:
            return np.ones(len(items), np.float32)
        until = np.minimum(ages[:, None] + self.config.horizon_days, EDGES[1:])
        days = np.maximum(until - np.maximum(ages[:, None], EDGES[:-1]), 0.0)  # of the horizon, between each two edges
        return np.asarray(-np.expm1(-(days * self.rates[items]).sum(axis=1)), np.float32)

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        return np.full(len(items), -1, np.int32)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self.rates is not None:
            np.save(folder / "rates.npy", self.rates)

    @staticmethod
    def load(folder: Path, config: RepurchaseConfig) -> RepurchaseSource:
        return RepurchaseSource(config, None if config.horizon_days is None else mapped(folder / "rates.npy"))

"""What this customer bought before, by decayed personal frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.candidates.seeds import best
from recsys.features.spec import ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.types import Flags, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class RepurchaseSource:
    """Scores an item by the sum of 0.5 ** (age / half-life) over the customer's lines of it; nothing is fitted."""

    half_life_days: float
    reason = ReasonCode.BOUGHT_BEFORE

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items of the history, most frequent of late first."""
        lines = resolved.positives
        items, group = np.unique(lines.items, return_inverse=True)
        weights = half_life_weights(ages_in_days(lines.times, resolved.time), self.half_life_days)
        scores = np.bincount(group, weights, minlength=len(items)).astype(np.float32)
        keep = eligible[items]
        return Scored(*best(items[keep], scores[keep], n))

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        return np.full(len(items), -1, np.int32)

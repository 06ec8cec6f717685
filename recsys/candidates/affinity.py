"""What sells best of the brands or categories that this customer buys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.candidates.seeds import best
from recsys.features.recent import newest_lines
from recsys.features.spec import ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.source_config import AffinityConfig
from recsys.types import Flags, Floats, Interactions, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class AffinitySource:
    """Scores an item by the customer's share of its brand or category, times its share of what is sold of that.

    codes:   brand or category of each item, -1 = none; int32 (n_items,)
    items:   of each code those that sell best, best first; those of code c are items[offsets[c]:offsets[c + 1]]
    shares:  of all that is sold of the code, beside them; float32
    """

    codes: Ints
    offsets: NDArray[np.int64]
    items: Ints
    shares: Floats
    config: AffinityConfig

    @property
    def reason(self) -> ReasonCode:
        """What the items have in common with those of the customer."""
        return ReasonCode.SAME_BRAND if self.config.by == "brand" else ReasonCode.SAME_CATEGORY

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items of what the customer bought or looks at now, highest score first."""
        codes, weights = self._customer(resolved)
        starts, lengths = self.offsets[codes], self.offsets[codes + 1] - self.offsets[codes]
        rows = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(int(lengths.sum()))
        items, scores = self.items[rows], self.shares[rows] * np.repeat(weights, lengths)
        keep = eligible[items]
        return Scored(*best(items[keep], scores[keep].astype(np.float32), n))

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """What the customer looks at or bought last, of the brand or category of each item, other than the item itself; -1 = nothing."""
        own = np.concatenate([resolved.context, resolved.positives.items[newest_lines(resolved)]])
        if not len(own):
            return np.full(len(items), -1, np.int32)
        alike = (self.codes[items][:, None] == self.codes[own]) & (self.codes[items] >= 0)[:, None] & (items[:, None] != own)
        return np.where(alike.any(axis=1), own[np.argmax(alike, axis=1)], -1).astype(np.int32)

    def _customer(self, resolved: ResolvedQuery) -> tuple[NDArray[np.intp], Floats]:
        """The codes that the customer bought or looks at, and the decayed share of each; what is looked at counts as bought now."""
        lines = resolved.positives
        weights = half_life_weights(ages_in_days(lines.times, resolved.time), self.config.seed_half_life_days)
        codes = self.codes[np.concatenate([lines.items, resolved.context])]
        weights = np.concatenate([weights, np.ones(len(resolved.context), np.float32)])
        found, group = np.unique(codes[codes >= 0], return_inverse=True)
        total = np.bincount(group, weights[codes >= 0], minlength=len(found))
        return found.astype(np.intp), np.asarray(total / np.maximum(total.sum(), np.finfo(np.float64).tiny), np.float32)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("codes", "offsets", "items", "shares"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path, config: AffinityConfig) -> AffinitySource:
        arrays = {name: mapped(folder / f"{name}.npy") for name in ("codes", "offsets", "items", "shares")}
        return AffinitySource(**arrays, config=config)


def fit_affinity(lines: Interactions, codes: Ints, as_of: np.datetime64, config: AffinityConfig) -> AffinitySource:
    """Count positive lines before `as_of`, each weighted 0.5 ** (age / half-life). codes: brand or category of each item, (n_items,)"""
    weights = half_life_weights(ages_in_days(lines.times, as_of), config.half_life_days)
    sold = np.bincount(lines.items, weights, minlength=len(codes))
    n_codes = int(codes.max(initial=-1)) + 1
    items = np.flatnonzero((sold > 0) & (codes >= 0))
    items = items[np.lexsort((items, -sold[items], codes[items]))]
    starts = np.searchsorted(codes[items], np.arange(n_codes + 1))
    kept = np.arange(len(items)) - starts[codes[items]] < config.n_items
    total = np.bincount(codes[items], sold[items], minlength=n_codes)
    items = items[kept]
    offsets = np.searchsorted(codes[items], np.arange(n_codes + 1)).astype(np.int64)
    shares = (sold[items] / total[codes[items]]).astype(np.float32)
    return AffinitySource(codes.astype(np.int32), offsets, items.astype(np.int32), shares, config)

"""What is bought together with what this customer has, looks at, or bought of late."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.seeds import best, seeds
from recsys.config import CovisitConfig
from recsys.protocols import ResolvedQuery
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class CovisitSource:
    """Weighted neighbours of each item: those of item i are neighbours[offsets[i]:offsets[i + 1]], strongest first."""

    offsets: NDArray[np.int64]
    neighbours: Ints
    weights: Floats
    config: CovisitConfig
    reason = ReasonCode.BOUGHT_TOGETHER

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible neighbours by the sum over seeds of seed weight times link weight."""
        items, scores, _ = self._links(resolved)
        found, group = np.unique(items, return_inverse=True)
        total = np.bincount(group, scores, minlength=len(found)).astype(np.float32)
        keep = eligible[found]
        return Scored(*best(found[keep], total[keep], n))

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """The seed whose link to each item weighs most."""
        linked, scores, from_seed = self._links(resolved)
        strongest = np.full(len(items), -1, np.int32)
        for row, item in enumerate(items):
            rows = np.flatnonzero(linked == item)
            if len(rows):
                strongest[row] = from_seed[rows[np.argmax(scores[rows])]]
        return strongest

    def _links(self, resolved: ResolvedQuery) -> tuple[Ints, Floats, Ints]:
        """All links of all seeds: neighbour, weight, seed; each of shape (n_links,)."""
        items, weights = seeds(resolved, self.config.n_seeds, self.config.seed_half_life_days)
        starts = self.offsets[items]
        lengths = self.offsets[items + 1] - starts
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = np.repeat(starts, lengths) + within
        return self.neighbours[rows], self.weights[rows] * np.repeat(weights, lengths), np.repeat(items, lengths)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("offsets", "neighbours", "weights"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path, config: CovisitConfig) -> CovisitSource:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("offsets", "neighbours", "weights")}
        return CovisitSource(**arrays, config=config)

"""What goes with what this customer has, looks at, or bought of late: by counting (co-visitation) or by linear weights (EASE)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.candidates.seeds import best, seeds
from recsys.protocols import ResolvedQuery
from recsys.source_config import CovisitConfig, EaseConfig
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class CovisitSource:
    """Weighted neighbours of each item: those of item i are neighbours[offsets[i]:offsets[i + 1]], strongest first."""

    offsets: NDArray[np.int64]
    neighbours: Ints
    weights: Floats
    config: CovisitConfig | EaseConfig
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

    def links(self, items: Ints, seeds: Ints) -> Floats:
        """How strongly each seed links to each item, 0 = not kept; float32 (n_items, n_seeds)."""
        neighbours, weights, lengths = self._rows_of(seeds)
        of_seed = np.repeat(np.arange(len(seeds)), lengths)
        order = np.argsort(items, kind="stable")
        at = np.minimum(np.searchsorted(items[order], neighbours), len(items) - 1)
        is_asked = items[order][at] == neighbours if len(items) else np.zeros(0, np.bool_)
        table = np.zeros((len(items), len(seeds)), np.float32)
        table[order[at[is_asked]], of_seed[is_asked]] = weights[is_asked]
        return table

    def _links(self, resolved: ResolvedQuery) -> tuple[Ints, Floats, Ints]:
        """All links of all seeds: neighbour, weight, seed; each of shape (n_links,)."""
        config = self.config
        items, weights = seeds(resolved, config.n_seeds, config.seed_half_life_days, config.seed_half_life_items)
        neighbours, links, lengths = self._rows_of(items)
        return neighbours, links * np.repeat(weights, lengths), np.repeat(items, lengths)

    def _rows_of(self, items: Ints) -> tuple[Ints, Floats, NDArray[np.int64]]:
        """Neighbours and weights of some items, one after the other, and how many each has."""
        starts = self.offsets[items]
        lengths = self.offsets[items + 1] - starts
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = np.repeat(starts, lengths) + within
        return self.neighbours[rows], self.weights[rows], lengths

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("offsets", "neighbours", "weights"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path, config: CovisitConfig | EaseConfig) -> CovisitSource:
        arrays = {name: mapped(folder / f"{name}.npy") for name in ("offsets", "neighbours", "weights")}
        return CovisitSource(**arrays, config=config)

"""What many customers buy: in the whole shop, or among customers of the same segment or value tier."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.features.spec import half_life_weights
from recsys.features.store import CustomerGroups
from recsys.protocols import ResolvedQuery
from recsys.source_config import PopularConfig
from recsys.types import Flags, Floats, Interactions, Ints, ReasonCode, Scored

CHUNK = 2048
EVERYBODY = CustomerGroups(("all",), np.empty(0, np.int32))


@dataclass(frozen=True)
class PopularSource:
    """Items of each group by weighted number of lines, best first.

    within:  "shop", "segment", "tier" or "need"
    groups:  names of the groups, one row each
    items:   item numbers by rank, float32 scores beside them; row g is items[offsets[g]:offsets[g + 1]]
    """

    within: str
    groups: tuple[str, ...]
    offsets: NDArray[np.int64]
    items: Ints
    scores: Floats

    @property
    def reason(self) -> ReasonCode:
        """Whose taste speaks."""
        return ReasonCode.POPULAR_IN_SEGMENT if self.within in ("segment", "tier") else ReasonCode.POPULAR

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """The group's most popular eligible items; nothing for a customer without a segment or tier."""
        row = self._row(resolved)
        if row is None:
            return Scored.empty()
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        found: list[NDArray[np.intp]] = []
        for first in range(start, end, CHUNK):
            chunk = np.arange(first, min(first + CHUNK, end))
            found.append(chunk[eligible[self.items[chunk]]])
            if sum(map(len, found)) >= n:
                break
        rows = np.concatenate(found)[:n] if found else np.empty(0, np.intp)
        return Scored(self.items[rows], self.scores[rows])

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        return np.full(len(items), -1, np.int32)

    def _row(self, resolved: ResolvedQuery) -> int | None:
        if self.within == "shop":
            return 0
        if resolved.profile is None:
            return None
        name = resolved.profile.group(self.within)
        return None if name is None else self.groups.index(name)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("offsets", "items", "scores"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "popular.json").write_text(json.dumps({"within": self.within, "groups": self.groups}))

    @staticmethod
    def load(folder: Path) -> PopularSource:
        arrays = {name: mapped(folder / f"{name}.npy") for name in ("offsets", "items", "scores")}
        names = json.loads((folder / "popular.json").read_text())
        return PopularSource(names["within"], tuple(names["groups"]), **arrays)


def fit_popular(
    lines: Interactions, n_items: int, as_of: np.datetime64, config: PopularConfig, groups: CustomerGroups = EVERYBODY
) -> PopularSource:
    """Count positive lines before `as_of`, each weighted 0.5 ** (age / half-life), within the window.

    groups: the partition of the customers, unless ``within`` = shop
    """
    if config.window_days is not None:
        lines = lines.between(as_of - np.timedelta64(round(config.window_days * 86_400), "s"), as_of)
    ages = ((as_of - lines.times) / np.timedelta64(1, "D")).astype(np.float32)
    weights = half_life_weights(ages, config.half_life_days)
    group = np.zeros(len(lines), np.int64) if config.within == "shop" else groups.of(lines.customers).astype(np.int64)
    known, n_groups = group >= 0, len(groups.names)
    flat = np.bincount(group[known] * n_items + lines.items[known], weights[known], minlength=n_groups * n_items).astype(np.float64)
    ordered = [_ordered(row) for row in flat.reshape(n_groups, n_items)]
    offsets = np.cumsum([0] + [len(items) for items, _ in ordered]).astype(np.int64)
    items = np.concatenate([np.empty(0, np.int32), *(items for items, _ in ordered)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in ordered)])
    return PopularSource(config.within, groups.names, offsets, items, scores)


def _ordered(counts: NDArray[np.float64]) -> tuple[Ints, Floats]:
    items = np.flatnonzero(counts > 0)
    order = items[np.argsort(-counts[items], kind="stable")]
    return order.astype(np.int32), counts[order].astype(np.float32)

"""From what was read of each text to what is said of each customer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.clauses import MAX_CHARACTERS
from segmentation.labelling import rank_within
from segmentation.needs import Mentions
from segmentation.purchases import DAY, Floats, Ints, Reals, Times
from segmentation.voice import NEVER, Said
from segmentation.writings import Writings

MIN_FOR_TREND = 4


@dataclass(frozen=True)
class Occasions:
    """Each time that a customer wrote a text, equal ones of one customer and kind once, the last of them; oldest first.

    texts: rows of `distinct`; the rest as in `Writings`
    """

    customers: Ints
    texts: NDArray[np.int64]
    times: Times
    kinds: NDArray[np.int8]
    distinct: tuple[str, ...]

    @staticmethod
    def of(writings: Writings) -> Occasions:
        """Without empty texts; texts that differ in spaces and case only are equal, and what follows MAX_CHARACTERS is not read."""
        row_of: dict[str, int] = {}
        distinct: list[str] = []
        last: dict[tuple[int, int, int], int] = {}
        for row, (text, customer, kind) in enumerate(
            zip(writings.texts, writings.customers.tolist(), writings.kinds.tolist(), strict=True)
        ):
            plain = " ".join(text[:MAX_CHARACTERS].split())
            if plain:
                number = row_of.setdefault(plain.casefold(), len(distinct))
                if number == len(distinct):
                    distinct.append(plain)
                last[customer, kind, number] = row
        keys = sorted(last, key=last.__getitem__)
        rows = np.array([last[key] for key in keys], np.intp)
        texts = np.array([text for _, _, text in keys], np.int64)
        return Occasions(writings.customers[rows], texts, writings.times[rows], writings.kinds[rows], tuple(distinct))

    def __len__(self) -> int:
        return len(self.texts)

    def of_kinds(self, kinds: tuple[int, ...]) -> Occasions:
        """Those of some kinds."""
        return self.take(np.isin(self.kinds, kinds))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Occasions:
        """The given ones, in the order of time."""
        return Occasions(self.customers[rows], self.texts[rows], self.times[rows], self.kinds[rows], self.distinct)


def gather(
    groups: NDArray[np.integer], n_groups: int, values: Reals, sure: Floats, times: Times, as_of: np.datetime64, half_life_days: float
) -> tuple[Floats, Said]:
    """Means of the values of each group, where a text of `half_life_days` counts half as one of today, and how much stands behind them.

    The confidence is e / (e + 1), where e adds up how sure each text is, times what it counts: one sure text of today gives a half.

    Args:
        groups, values, sure, times: one per text, oldest first; values (n, k).

    Returns:
        Means, float32 (n_groups, k), NaN where a group has no text.
    """
    ages = np.asarray((as_of - times) / DAY, np.float64)
    youngest = np.full(n_groups, np.inf)
    np.minimum.at(youngest, groups, ages)
    relative = 0.5 ** ((ages - youngest[groups]) / half_life_days)
    totals = np.bincount(groups, relative, n_groups)
    sums = np.stack([np.bincount(groups, relative * column, n_groups) for column in values.T], axis=1) if values.shape[1] else values[:0]
    means = np.full((n_groups, values.shape[1]), np.nan, np.float32)
    np.divide(sums, totals[:, None], out=means, where=totals[:, None] > 0, casting="same_kind")
    evidence = np.bincount(groups, 0.5 ** (ages / half_life_days) * sure, n_groups)
    counts = np.bincount(groups, minlength=n_groups)
    last = np.full(n_groups, NEVER)
    last[groups] = times
    return means, Said(np.where(counts > 0, evidence / (evidence + 1), np.nan).astype(np.float32), counts.astype(np.int32), last)


def trends(groups: NDArray[np.integer], n_groups: int, values: Reals) -> Floats:
    """Mean of the later half of each group's values less that of the earlier; NaN where it has fewer than MIN_FOR_TREND; float32.

    groups, values: oldest first; the middle one of an odd number is of the later half
    """
    counts = np.bincount(groups, minlength=n_groups)
    is_early = rank_within(groups) < counts[groups] // 2
    enough = counts >= MIN_FOR_TREND
    found = np.full(n_groups, np.nan)
    means = [
        np.bincount(groups[half], values[half], n_groups)[enough] / np.bincount(groups[half], minlength=n_groups)[enough]
        for half in (~is_early, is_early)
    ]
    found[enough] = means[0] - means[1]
    return found.astype(np.float32)


def spread_mentions(mentions: Mentions, occasions: Occasions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every mention on every occasion that its text was written: rows of the occasions, in order, and rows of the mentions."""
    starts = np.searchsorted(mentions.texts, occasions.texts, "left")
    lengths = np.searchsorted(mentions.texts, occasions.texts, "right") - starts
    rows = np.repeat(np.arange(len(occasions)), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, np.repeat(starts, lengths) + within

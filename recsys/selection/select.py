"""From scored candidates to the list that is shown: boosts, diversity, limits per brand or category, pins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.content import ItemTexts
from recsys.config import StrategyConfig
from recsys.data.catalogue import Catalogue
from recsys.selection.diversity import POOL, diverse_order
from recsys.selection.rules import DIVERSITY, named_by
from recsys.types import Candidates, Flags, Ints


@dataclass(frozen=True)
class Selection:
    """The list to show, and which rules made it so.

    chosen:   best first, scores in (0, 1]
    acted:    of each chosen item the names of the rules that acted on it, in the order in which they did
    left_out: by name of rule, how many candidates it kept out; see `RuleEffect`
    """

    chosen: Candidates
    acted: tuple[tuple[str, ...], ...]
    left_out: Mapping[str, int]


def select(
    candidates: Candidates, k: int, strategy: StrategyConfig, pinned: Mapping[int, int], catalogue: Catalogue, texts: ItemTexts | None
) -> Selection:
    """The k items to show.

    Ranker scores do not compare between requests, so they are replaced by (n - rank + 1) / n; then boosts multiply, diversity
    reorders, limits drop what exceeds them, and pinned items go to their ranks. Fewer than k come back when the limits allow no
    more. At last an item gets at least the score of what stands behind it, so that sorting by score keeps the order.

    pinned: item number by rank (1 to k, ascending), each among the candidates; pins count towards the limits, which never drop them
    """
    order = _Order(candidates, k)
    order.boost(strategy, catalogue)
    if strategy.diversity > 0 and texts is not None:
        order.diversify(strategy.diversity, texts)
    ordered = order.candidates
    fixed = {rank: int(np.flatnonzero(ordered.items == item)[0]) for rank, item in pinned.items()}
    rows, passed_over = _within_limits(ordered.items, k - len(fixed), strategy, catalogue, set(fixed.values()))
    for rank, row in fixed.items():
        rows.insert(rank - 1, row)
        order.acted.setdefault(int(ordered.items[row]), []).append(f"pins.{rank}")
    chosen = ordered.take(np.array(rows, np.intp))
    chosen = chosen.with_scores(np.maximum.accumulate(chosen.scores[::-1])[::-1])
    acted = tuple(tuple(order.acted.get(int(item), ())) for item in chosen.items)
    return Selection(chosen, acted, {**order.left_out(chosen.items), **passed_over})


class _Order:
    """Candidates in the order that the rules give them, one after the other.

    acted: names of the rules that acted on an item, by its number
    lost:  by rule, the items of the best k before it acted that it acted on
    """

    def __init__(self, candidates: Candidates, k: int) -> None:
        ordered = candidates.take(candidates.best_first())
        n = len(ordered)
        self.candidates = ordered.with_scores(np.arange(n, 0, -1, dtype=np.float32) / np.float32(max(n, 1)))
        self.k = k
        self.acted: dict[int, list[str]] = {}
        self.lost: dict[str, Ints] = {}

    def boost(self, strategy: StrategyConfig, catalogue: Catalogue) -> None:
        """Multiply scores, and sort by them."""
        items, scores = self.candidates.items, self.candidates.scores.copy()
        for number, boost in enumerate(strategy.boosts):
            applies = named_by(boost, catalogue, items)
            scores[applies] *= np.float32(boost.factor)
            if boost.factor != 1.0:
                self._acts(f"boosts[{number}]", applies)
        boosted = self.candidates.with_scores(scores / max(float(scores.max(initial=1.0)), 1.0))
        self.candidates = boosted.take(boosted.best_first())

    def diversify(self, diversity: float, texts: ItemTexts) -> None:
        """Put what reads like something better further down."""
        pool = min(len(self.candidates), POOL * self.k)
        order = np.arange(len(self.candidates))
        order[:pool] = diverse_order(self.candidates.scores[:pool], texts.of_items(self.candidates.items[:pool]), diversity)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._acts(DIVERSITY, place != np.arange(len(order)))
        self.candidates = self.candidates.take(order.astype(np.intp))

    def left_out(self, shown: Ints) -> dict[str, int]:
        """How many of the items lost to each rule are not shown after all."""
        return {name: int((~np.isin(items, shown)).sum()) for name, items in self.lost.items()}

    def _acts(self, name: str, applies: Flags | NDArray[np.bool_]) -> None:
        for item in self.candidates.items[applies].tolist():
            self.acted.setdefault(item, []).append(name)
        self.lost[name] = self.candidates.items[: self.k][applies[: self.k]]


def _within_limits(items: Ints, n: int, strategy: StrategyConfig, catalogue: Catalogue, fixed: set[int]) -> tuple[list[int], Counter[str]]:
    """The first n rows that keep every limit beside the fixed ones, and how many rows each limit passed over on the way.

    Items without the attribute are not limited.
    """
    limits = [(f"max_per.{attribute}", catalogue.codes(attribute)[items], limit) for attribute, limit in strategy.max_per.items()]
    seen = [Counter(codes[sorted(fixed)].tolist()) for _, codes, _ in limits]
    kept: list[int] = []
    passed_over: Counter[str] = Counter()
    for row in range(len(items)):
        if len(kept) == n:
            break
        if row in fixed:
            continue
        keys = [int(codes[row]) for _, codes, _ in limits]
        broken = [name for key, count, (name, _, limit) in zip(keys, seen, limits, strict=True) if key >= 0 and count[key] >= limit]
        if broken:
            passed_over.update(broken)
            continue
        kept.append(row)
        for key, count in zip(keys, seen, strict=True):
            count[key] += 1
    return kept, passed_over

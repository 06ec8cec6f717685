"""From scored candidates to the list that is shown: boosts, diversity, limits per brand or category, pins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.content import ItemTexts
from recsys.config import Boost, StrategyConfig
from recsys.data.catalogue import Catalogue
from recsys.types import Candidates, Flags, Floats, Ints

DIVERSITY_POOL = 5
"""Diversity looks at this many times k candidates."""


def select(
    candidates: Candidates, k: int, strategy: StrategyConfig, pinned: Mapping[int, int], catalogue: Catalogue, texts: ItemTexts | None
) -> Candidates:
    """The k items to show, best first, with scores in (0, 1].

    Ranker scores do not compare between requests, so they are replaced by (n - rank + 1) / n; then boosts multiply, diversity
    reorders, limits drop what exceeds them, and pinned items go to their ranks. Fewer than k come back when the limits allow no
    more. At last an item gets at least the score of what stands behind it, so that sorting by score keeps the order.

    pinned: item number by rank (1 to k, ascending), each among the candidates; pins count towards the limits, which never drop them
    """
    ordered = candidates.take(candidates.best_first())
    n = len(ordered)
    scores = np.arange(n, 0, -1, dtype=np.float32) / np.float32(max(n, 1))
    for boost in strategy.boosts:
        scores[_boosted(boost, catalogue, ordered.items)] *= np.float32(boost.factor)
    ordered = ordered.with_scores(scores / max(float(scores.max(initial=1.0)), 1.0))
    ordered = ordered.take(ordered.best_first())
    if strategy.diversity > 0 and texts is not None:
        ordered = ordered.take(_diverse(ordered, k, strategy.diversity, texts))
    fixed = {rank: int(np.flatnonzero(ordered.items == item)[0]) for rank, item in pinned.items()}
    rows = _within_limits(ordered.items, k - len(fixed), strategy, catalogue, list(fixed.values()))
    for rank, row in fixed.items():
        rows.insert(rank - 1, row)
    chosen = ordered.take(np.array(rows, np.intp))
    return chosen.with_scores(np.maximum.accumulate(chosen.scores[::-1])[::-1])


def _boosted(boost: Boost, catalogue: Catalogue, items: Ints) -> Flags:
    """Which of the items a boost applies to."""
    named = np.isin(items, catalogue.items.numbers(boost.item_ids))
    return named | catalogue.of_brands(boost.brands, items) | catalogue.in_categories(boost.categories, items)


def _diverse(ordered: Candidates, k: int, diversity: float, texts: ItemTexts) -> NDArray[np.intp]:
    """Maximal marginal relevance: (1 - d) * score - d * highest cosine with what is chosen already.

    Source: Carbonell & Goldstein (1998), SIGIR.
    """
    pool = min(len(ordered), DIVERSITY_POOL * k)
    embeddings = texts.of_items(ordered.items[:pool])
    cosines = embeddings @ embeddings.T  # (pool, pool)
    nearest = np.zeros(pool, np.float32)
    left = np.ones(pool, np.bool_)
    chosen: list[int] = []
    for _ in range(pool):
        gain: Floats = np.where(left, (1 - diversity) * ordered.scores[:pool] - diversity * nearest, -np.inf).astype(np.float32)
        row = int(np.argmax(gain))
        chosen.append(row)
        left[row] = False
        nearest = np.maximum(nearest, cosines[row])
    return np.concatenate([np.array(chosen, np.intp), np.arange(pool, len(ordered))])


def _within_limits(items: Ints, n: int, strategy: StrategyConfig, catalogue: Catalogue, fixed: Sequence[int]) -> list[int]:
    """The first n rows that keep every limit beside the fixed ones; items without the attribute are not limited."""
    rows = (row for row in range(len(items)) if row not in fixed)
    if not strategy.max_per:
        return list(islice(rows, n))
    codes = [(catalogue.codes(attribute)[items], limit) for attribute, limit in strategy.max_per.items()]
    seen = [Counter(code[list(fixed)].tolist()) for code, _ in codes]
    kept: list[int] = []
    for row in rows:
        if len(kept) == n:
            break
        keys = [int(code[row]) for code, _ in codes]
        if all(key < 0 or count[key] < limit for key, count, (_, limit) in zip(keys, seen, codes, strict=True)):
            kept.append(row)
            for key, count in zip(keys, seen, strict=True):
                count[key] += 1
    return kept

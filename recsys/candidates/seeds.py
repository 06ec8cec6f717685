"""Which items of a customer speak for them when neighbours are asked for."""

from __future__ import annotations

import numpy as np

from recsys.features.recent import newest_lines, places
from recsys.features.spec import ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.types import Floats, Ints


def seeds(resolved: ResolvedQuery, n: int, half_life_days: float | None, half_life_items: float | None = None) -> tuple[Ints, Floats]:
    """Distinct items with weights: those of the context first, then the n most recent positives by age and place.

    What the customer looks at now leads: each item of the context weighs as much as the whole history together.

    Returns:
        items int32 (m,), weights float32 (m,), both possibly empty.
    """
    lines = resolved.positives
    newest = newest_lines(resolved)[:n]
    weights = half_life_weights(ages_in_days(lines.times[newest], resolved.time), half_life_days)
    weights = weights * half_life_weights(places(lines.times[newest]), half_life_items)
    apart = ~np.isin(lines.items[newest], resolved.context)
    newest, weights = newest[apart], weights[apart]
    items = np.concatenate([resolved.context, lines.items[newest]]).astype(np.int32)
    leading = np.full(len(resolved.context), max(float(weights.sum()), 1.0), np.float32)
    return items, np.concatenate([leading, weights])


def best(items: Ints, scores: Floats, n: int) -> tuple[Ints, Floats]:
    """The n best by score, best first; equal scores by item number, so that the order never depends on chance."""
    if len(items) > n:
        cut = np.partition(scores, len(scores) - n)[len(scores) - n]
        keep = scores >= cut
        items, scores = items[keep], scores[keep]
    order = np.lexsort((items, -scores))[:n]
    return items[order].astype(np.int32), scores[order].astype(np.float32)

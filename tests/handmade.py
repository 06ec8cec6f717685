"""Pieces of worlds small enough to be worked by hand: a few lines, a few items, one query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.data.vocabulary import Vocabulary
from recsys.feature_config import FeatureConfig
from recsys.features.store import CustomerGroups, FeatureStore, fit_features
from recsys.protocols import ResolvedQuery
from recsys.types import PURCHASE, Candidates, Floats, History, Interactions, Query, Scored, aware
from segmentation.profile import CustomerProfile
from segmentation.voice import Need, Voice

NOW = np.datetime64("2024-06-01T00:00:00", "us")
"""When every query of these worlds is asked."""


def days_ago(days: float) -> np.datetime64:
    return NOW - np.timedelta64(round(days * 86_400_000_000), "us")


def interactions(*lines: tuple[float, ...]) -> Interactions:
    """Purchases from (days ago, customer, item[, value[, basket]]), in any order; without a basket each line has its own."""
    rows = sorted(enumerate(lines), key=lambda line: (-line[1][0], line[0]))
    full = [(*line, *(math.nan, 1000 + number)[len(line) - 3 :]) for number, line in rows]
    columns = list(zip(*full, strict=True)) if full else [()] * 5
    return Interactions(
        customers=np.array(columns[1], np.int32),
        items=np.array(columns[2], np.int32),
        events=np.full(len(full), PURCHASE, np.int8),
        times=np.array([days_ago(days) for days in columns[0]], "datetime64[us]"),
        baskets=np.array(columns[4], np.int32),
        quantities=np.ones(len(full), np.float32),
        values=np.array(columns[3], np.float32),
    )


def history(*lines: tuple[float, ...]) -> History:
    """Purchases of one customer from (days ago, item[, value]), in any order."""
    return history_of(interactions(*((line[0], 0, *line[1:]) for line in lines)))


def history_of(lines: Interactions) -> History:
    """Lines of one customer, newest first."""
    return History(lines.items[::-1], lines.events[::-1], lines.times[::-1], lines.values[::-1])


def profile(segment: str = "s0", tier: str = "low", expected_value: float = 10.0, needs: Sequence[str] = ()) -> CustomerProfile:
    told = tuple(Need(aspect, 0.0, 0.5, 1, aware(days_ago(1))) for aspect in needs)
    voice = Voice(None, (), told, (), False) if told else None
    return CustomerProfile("c", segment, segment, tier, "active", expected_value, 0.25, 28.0, aware(NOW), voice=voice)


def asked(
    past: History | None = None, *, context: Sequence[int] = (), who: CustomerProfile | None = None, customer: int = -1, **query: Any
) -> ResolvedQuery:
    """A query asked now; all of the past counts as positive."""
    past = History.empty() if past is None else past
    return ResolvedQuery(Query(**{"k": 5, "time": aware(NOW), **query}), NOW, who, past, past, np.array(context, np.int32), customer)


def catalogue(n: int, **columns: Any) -> Catalogue:
    """Items i0, i1, ... whose columns are empty unless given as `Catalogue` has them."""
    empty: dict[str, Any] = {
        "titles": [""] * n,
        "brands": np.full(n, -1, np.int32),
        "groups": np.full(n, -1, np.int32),
        "brand_names": [f"b{code}" for code in range(n)],
        "categories": np.empty((n, 0), np.int32),
        "category_names": [f"k{code}" for code in range(n)],
        "prices": np.full(n, np.nan, np.float32),
        "available": np.ones(n, np.bool_),
        "recommendable": np.ones(n, np.bool_),
    }
    given = {name: np.array(column, np.int32) if name in ("brands", "groups", "categories") else column for name, column in columns.items()}
    return Catalogue(items=Vocabulary([f"i{number}" for number in range(n)]), **{**empty, **given})


def scored(*pairs: tuple[int, float]) -> Scored:
    """A proposal from (item, score), best first."""
    return Scored(np.array([item for item, _ in pairs], np.int32), np.array([score for _, score in pairs], np.float32))


def candidates(items: Sequence[int], scores: Sequence[float] | None = None) -> Candidates:
    """Candidates of one source called popular, ranked in the order given."""
    n = len(items)
    ranks = np.arange(1, n + 1, dtype=np.float32)[:, None]
    values: Floats = np.array(scores if scores is not None else np.arange(n, 0, -1), np.float32)
    return Candidates(np.array(items, np.int32), values, values[:, None].copy(), ranks, ("popular",))


def store_of(
    features: Mapping[str, Mapping[str, Any]],
    items: Catalogue,
    lines: Interactions,
    segments: Sequence[int] = (),
    tiers: Sequence[int] = (),
    needs: Sequence[int] = (),
) -> FeatureStore:
    """Features fitted now; `segments`, `tiers` and `needs` give the group of customers 0, 1, ..., -1 = none."""
    groups = {
        "segment": CustomerGroups(("s0", "s1"), np.array(segments, np.int32)),
        "tier": CustomerGroups(("low", "medium", "high"), np.array(tiers, np.int32)),
        "need": CustomerGroups(("fit", "price"), np.array(needs, np.int32)),
    }
    config = Config(features={name: FeatureConfig(**feature) for name, feature in features.items()})
    return fit_features(lines, items, groups, config, NOW)

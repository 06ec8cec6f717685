from __future__ import annotations

import numpy as np
import pytest
from handmade import NOW, asked, history, interactions

from recsys.candidates.affinity import AffinitySource, fit_affinity
from recsys.source_config import AffinityConfig
from recsys.types import ReasonCode

CODES = np.array([0, 0, 0, 1, 1, -1, 2], np.int32)
"""Brands of seven items; item 5 has none."""
ALL = np.ones(7, np.bool_)


def fitted(**settings: float | str | None) -> AffinitySource:
    """Sold: item 0 once, 1 three times, 3 once, 4 four times, 5 twice, and 2 and 6 never."""
    sold = [0] + [1] * 3 + [3] + [4] * 4 + [5] * 2
    config = AffinityConfig(kind="affinity", by="brand", half_life_days=None, seed_half_life_days=10, **settings)
    return fit_affinity(interactions(*((20, 0, item) for item in sold)), CODES, NOW, config)


def test_a_score_is_the_share_of_the_customer_times_the_share_of_the_brand() -> None:
    past = history((0, 2), (10, 3), (10, 5))  # two thirds of brand 0, one third of brand 1; what has none does not count
    found = fitted().retrieve(asked(past), 9, ALL)
    assert found.items.tolist() == [1, 4, 0, 3]
    assert found.scores.tolist() == pytest.approx([2 / 3 * 3 / 4, 1 / 3 * 4 / 5, 2 / 3 / 4, 1 / 3 / 5])


def test_only_the_best_sold_of_each_are_kept() -> None:
    assert fitted(n_items=1).retrieve(asked(history((0, 2), (10, 3))), 9, ALL).items.tolist() == [1, 4]


def test_what_is_looked_at_counts_as_bought_now() -> None:
    assert fitted().retrieve(asked(context=[3]), 1, ALL).items.tolist() == [4]
    both = fitted().retrieve(asked(history((10, 0)), context=[3]), 9, ALL)
    assert dict(zip(both.items.tolist(), both.scores.tolist(), strict=True))[4] == pytest.approx(2 / 3 * 4 / 5)


def test_what_nobody_sells_gives_nothing() -> None:
    assert len(fitted().retrieve(asked(history((1, 6), (2, 5))), 9, ALL)) == 0


def test_sales_of_long_ago_count_less() -> None:
    lines = interactions((100, 0, 0), (100, 1, 0), (1, 0, 1))
    source = fit_affinity(lines, CODES, NOW, AffinityConfig(kind="affinity", by="brand", half_life_days=10))
    assert source.retrieve(asked(history((5, 2))), 9, ALL).items.tolist() == [1, 0]


def test_an_item_rests_on_the_latest_of_its_brand_other_than_itself() -> None:
    resolved = asked(history((1, 0), (3, 1), (4, 4), (5, 5)), context=[6])
    assert fitted().because(resolved, np.arange(7, dtype=np.int32)).tolist() == [1, 0, 0, 4, -1, -1, -1]
    assert fitted().because(asked(), np.arange(2, dtype=np.int32)).tolist() == [-1, -1]


def test_the_reason_is_the_brand_or_the_category() -> None:
    assert fitted().reason is ReasonCode.SAME_BRAND
    assert fit_affinity(interactions((1, 0, 0)), CODES, NOW, AffinityConfig(kind="affinity")).reason is ReasonCode.SAME_CATEGORY

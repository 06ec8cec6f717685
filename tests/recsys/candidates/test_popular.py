from __future__ import annotations

import numpy as np
import pytest
from handmade import NOW, asked, interactions, profile

from recsys.candidates.popular import CHUNK, PopularSource, fit_popular
from recsys.features.store import CustomerGroups
from recsys.source_config import PopularConfig
from recsys.types import Floats, ReasonCode

LINES = interactions((1, 0, 2), (7, 0, 1), (7, 1, 1), (7.01, 1, 1), (20, 1, 0), (30, 0, 0), (40, -1, 0), (50, 1, 0), (60, 0, 0))
"""Item 0 was bought long ago and often, item 1 a week ago, item 2 yesterday."""
ALL = np.ones(4, np.bool_)


def best(source: PopularSource, n: int = 10, **who: object) -> dict[int, float]:
    found = source.retrieve(asked(**who), n, ALL)  # type: ignore[arg-type]
    return dict(zip(found.items.tolist(), found.scores.tolist(), strict=True))


def test_counts_lines_of_everybody_guests_included() -> None:
    assert best(fit_popular(LINES, 4, NOW, PopularConfig(kind="popular"))) == {0: 5, 1: 3, 2: 1}


def test_a_line_as_old_as_the_half_life_counts_half() -> None:
    lines = interactions((10, 0, 0), (10, 1, 0), (20, 0, 0), (0, 0, 1))
    found = best(fit_popular(lines, 4, NOW, PopularConfig(kind="popular", half_life_days=10)))
    assert found == pytest.approx({0: 0.5 + 0.5 + 0.25, 1: 1.0})
    assert list(found) == [0, 1]


def test_a_window_of_seven_days_begins_seven_days_ago() -> None:
    assert best(fit_popular(LINES, 4, NOW, PopularConfig(kind="popular", window_days=7))) == {1: 2, 2: 1}


def test_equal_counts_come_in_the_order_of_the_items() -> None:
    lines = interactions((1, 0, 3), (2, 0, 1), (3, 0, 0))
    assert list(best(fit_popular(lines, 4, NOW, PopularConfig(kind="popular")))) == [0, 1, 3]


@pytest.mark.parametrize(("segment", "expected"), [("a", {0: 2, 1: 1, 2: 1}), ("b", {0: 2, 1: 2})])
def test_within_a_segment_only_its_customers_count(segment: str, expected: dict[int, float]) -> None:
    groups = CustomerGroups(("a", "b"), np.array([0, 1], np.int32))
    source = fit_popular(LINES, 4, NOW, PopularConfig(kind="popular", within="segment"), groups)
    assert best(source, who=profile(segment)) == expected
    assert source.reason is ReasonCode.POPULAR_IN_SEGMENT


def test_within_a_tier_a_guest_gets_nothing_and_an_empty_tier_too() -> None:
    groups = CustomerGroups(("low", "medium", "high"), np.array([0, 2, -1], np.int32))
    source = fit_popular(LINES, 4, NOW, PopularConfig(kind="popular", within="tier"), groups)
    assert best(source) == {}
    assert best(source, who=profile(tier="medium")) == {}
    assert best(source, who=profile(tier="high")) == {0: 2, 1: 2}


def test_within_a_need_only_those_who_speak_most_of_it_count_and_nobody_is_told_so() -> None:
    groups = CustomerGroups(("fit", "price"), np.array([1, 0], np.int32))
    source = fit_popular(LINES, 4, NOW, PopularConfig(kind="popular", within="need"), groups)
    assert best(source, who=profile(needs=["price", "fit"])) == {0: 2, 1: 1, 2: 1}
    assert best(source, who=profile()) == {}
    assert source.reason is ReasonCode.POPULAR


def test_eligible_items_far_down_the_list_are_found() -> None:
    n = 3 * CHUNK
    counts: Floats = np.arange(n, 0, -1, dtype=np.float32)
    source = PopularSource("shop", ("all",), np.array([0, n]), np.arange(n, dtype=np.int32), counts)
    eligible = np.zeros(n, np.bool_)
    eligible[[5, CHUNK, n - 1]] = True
    assert source.retrieve(asked(), 2, eligible).items.tolist() == [5, CHUNK]
    assert source.retrieve(asked(), 9, eligible).items.tolist() == [5, CHUNK, n - 1]


def test_a_shop_without_lines_gives_nothing() -> None:
    assert best(fit_popular(interactions(), 4, NOW, PopularConfig(kind="popular", half_life_days=3))) == {}

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from handmade import candidates, catalogue
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.candidates.content import ItemTexts
from recsys.config import StrategyConfig
from recsys.selection.select import Selection, select
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.types import Candidates, Floats

ITEMS = catalogue(
    8, brands=[0, 0, 0, 1, 1, -1, -1, 2], groups=[4, 4, -1, -1, -1, -1, -1, -1], categories=[[0, 1]] * 4 + [[0, 2]] * 3 + [[-1, -1]]
)


def choose(scored: Candidates, k: int, pinned: dict[int, int] | None = None, texts: ItemTexts | None = None, **strategy: Any) -> Candidates:
    return acted_on(scored, k, pinned, texts, **strategy).chosen


def acted_on(
    scored: Candidates, k: int, pinned: dict[int, int] | None = None, texts: ItemTexts | None = None, **strategy: Any
) -> Selection:
    return select(scored, k, StrategyConfig(sources={"popular": 10}, **strategy), pinned or {}, ITEMS, texts)


def test_the_k_best_with_scores_by_rank() -> None:
    found = choose(candidates([3, 1, 4, 0], scores=[-7.5, 40.0, -2.0, 3.0]), 3)
    assert found.items.tolist() == [1, 0, 4]
    assert found.scores.tolist() == [1.0, 0.75, 0.5]


def test_scores_that_are_not_finite_are_never_selected() -> None:
    assert choose(candidates([7, 5, 6], scores=[np.nan, -5.0, np.inf]), 3).items.tolist() == [5]


def test_equal_scores_keep_their_order() -> None:
    assert choose(candidates([5, 2, 6], scores=[1, 1, 1]), 3).items.tolist() == [5, 2, 6]


def test_nothing_to_select_from() -> None:
    assert len(choose(candidates([]), 3, diversity=0.5, max_per={"brand": 1}, boosts=[{"factor": 2, "brands": ["b0"]}])) == 0


@pytest.mark.parametrize(
    ("boost", "expected"),
    [
        ({"factor": 10, "brands": ["b1"]}, [3, 0, 7]),
        ({"factor": 10, "categories": ["k2"]}, [5, 0, 3]),
        ({"factor": 10, "categories": ["k0"]}, [0, 3, 5]),
        ({"factor": 10, "item_ids": ["i7", "gone"]}, [7, 0, 3]),
        ({"factor": 0.01, "item_ids": ["i0"]}, [3, 7, 5]),
        ({"factor": 10, "brands": ["none of ours"]}, [0, 3, 7]),
    ],
)
def test_boosts_lift_and_bury(boost: dict[str, Any], expected: list[int]) -> None:
    found = choose(candidates([0, 3, 7, 5]), 3, boosts=[boost])
    assert found.items.tolist() == expected
    assert (found.scores > 0).all()
    assert (found.scores <= 1).all()


def test_boosts_multiply() -> None:
    found = choose(candidates([0, 3]), 2, boosts=[{"factor": 3, "brands": ["b1"]}, {"factor": 0.5, "item_ids": ["i3"]}])
    assert found.scores.tolist() == [1.0, 0.75]
    assert found.items.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"brand": 1}, [0, 3, 5, 6, 7]),
        ({"brand": 2}, [0, 1, 3, 4, 5]),
        ({"group": 1}, [0, 2, 3, 4, 5]),
        ({"category": 1}, [0, 4, 7]),
        ({"product_type": 2}, [0, 1, 4, 5, 7]),
        ({"department": 3}, [0, 1, 2, 7]),
        ({"brand": 2, "group": 1}, [0, 2, 3, 4, 5]),
    ],
)
def test_limits_hold_and_items_without_the_attribute_are_free(limits: dict[str, int], expected: list[int]) -> None:
    assert choose(candidates(range(8)), 5, max_per=limits).items.tolist() == expected


def test_pins_go_to_their_ranks_and_the_rest_moves_down() -> None:
    found = choose(candidates(range(8)), 4, pinned={1: 6, 3: 0})
    assert found.items.tolist() == [6, 1, 0, 2]


def test_a_pin_beyond_a_short_list_comes_last() -> None:
    assert choose(candidates([0, 1]), 5, pinned={5: 0}).items.tolist() == [1, 0]


def test_pins_count_towards_the_limits() -> None:
    assert choose(candidates(range(8)), 4, pinned={2: 1}, max_per={"brand": 1}).items.tolist() == [3, 1, 5, 6]


def test_two_pins_of_one_brand_are_both_shown() -> None:
    assert choose(candidates(range(8)), 3, pinned={1: 0, 2: 1}, max_per={"brand": 1}).items.tolist() == [0, 1, 3]


@pytest.fixture(scope="module")
def twins() -> ItemTexts:
    """Items 0 to 3 read alike, 4 to 6 a little like them, 7 not at all."""
    embeddings: Floats = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    return ItemTexts(np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32), embeddings, VectorIndex.build(embeddings, IndexConfig()))


def test_diversity_prefers_what_reads_differently(twins: ItemTexts) -> None:
    """After item 0 the marginal relevance of items 1 to 7 is .5 * (7, 6, 5, 4, 3, 2, 1) / 8 - .5 * (1, 1, 1, .6, .6, .6, 0)."""
    assert choose(candidates(range(8)), 3, texts=twins, diversity=0.0).items.tolist() == [0, 1, 2]
    assert choose(candidates(range(8)), 3, texts=twins, diversity=0.5).items.tolist() == [0, 7, 1]
    assert choose(candidates(range(8)), 2, texts=twins, diversity=1.0).items.tolist() == [0, 7]


def test_without_texts_diversity_asks_nothing() -> None:
    assert choose(candidates(range(8)), 3, diversity=0.9).items.tolist() == [0, 1, 2]


@settings(max_examples=80, deadline=None)
@given(
    scores=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8),
    k=st.integers(1, 10),
    factor=st.sampled_from([0.001, 0.5, 1.0, 40.0]),
    diversity=st.sampled_from([0.0, 0.4, 1.0]),
    limit=st.integers(1, 3),
    pin=st.integers(0, 7),
)
def test_whatever_the_rules_a_list_is_at_most_k_items_once_each(
    twins: ItemTexts, scores: list[float], k: int, factor: float, diversity: float, limit: int, pin: int
) -> None:
    n = len(scores)
    pinned = {min(2, k): pin} if pin < n else {}
    rules: dict[str, Any] = {"boosts": [{"factor": factor, "brands": ["b0"]}], "diversity": diversity, "max_per": {"brand": limit}}
    found = choose(candidates(range(n), scores), k, pinned, twins, **rules)
    assert 1 <= len(found) <= min(k, n)
    assert len(set(found.items.tolist())) == len(found)
    assert ((found.scores > 0) & (found.scores <= 1)).all()
    assert all(count <= limit for brand, count in Counter(ITEMS.brands[found.items].tolist()).items() if brand >= 0)
    if pinned:
        assert found.items[min(2, k, len(found)) - 1] == pin

from __future__ import annotations

import numpy as np
import pytest
from handmade import asked, history
from hypothesis import given
from hypothesis import strategies as st

from recsys.candidates.seeds import best, seeds


def test_seeds_are_the_context_then_the_newest_distinct_items() -> None:
    past = history((0, 4), (10, 7), (10, 4), (20, 1), (30, 3))
    items, weights = seeds(asked(past, context=[9, 7]), n=3, half_life_days=10)
    assert items.tolist() == [9, 7, 4, 1]
    assert weights.tolist() == pytest.approx([1.25, 1.25, 1, 0.25])  # as much as the history together


def test_which_of_one_time_are_seeds_does_not_depend_on_how_the_shop_wrote_them() -> None:
    one, other = history((0, 4), (10, 7), (10, 5), (10, 6)), history((0, 4), (10, 6), (10, 7), (10, 5))
    found = [seeds(asked(past), n=3, half_life_days=10)[0].tolist() for past in (one, other)]
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_a_stranger_has_no_seeds() -> None:
    items, weights = seeds(asked(), n=3, half_life_days=10)
    assert items.dtype == np.int32
    assert len(items) == len(weights) == 0


@given(scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=30), n=st.integers(1, 40))
def test_best_is_a_full_sort_cut_at_n(scores: list[float], n: int) -> None:
    items = np.arange(len(scores), dtype=np.int32)[::-1] * 3
    found, values = best(items, np.array(scores, np.float32), n)
    expected = sorted(zip(items.tolist(), scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:n]
    assert list(zip(found.tolist(), values.tolist(), strict=True)) == expected

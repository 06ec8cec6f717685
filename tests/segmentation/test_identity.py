from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.identity import Move, succeed


def test_a_segment_keeps_its_id_where_most_customers_stay() -> None:
    before = np.repeat([0, 1, -1], [10, 4, 3])
    after = np.array([1] * 8 + [0] * 2 + [0] * 4 + [0] * 3)
    found = succeed(before, after, ("s0", "s3"), 2, 5)
    assert found.ids == ("s3", "s0")
    assert (found.kept, found.new, found.retired, found.next_id) == (("s3", "s0"), (), (), 5)
    assert found.moves == (Move("s0", "s0", 8, 0.8), Move("s0", "s3", 2, 0.2), Move("s3", "s3", 4, 1.0))
    assert found.moved_share == pytest.approx(2 / 14)


def test_a_segment_that_falls_apart_is_retired_and_its_id_never_comes_again() -> None:
    before, after = np.zeros(9, int), np.arange(9) % 3
    first = succeed(before, after, ("s0",), 3, 1)
    assert (first.ids, first.new, first.retired, first.next_id) == (("s1", "s2", "s3"), ("s1", "s2", "s3"), ("s0",), 4)
    second = succeed(after, before, first.ids, 1, first.next_id)  # all of s1 stay together, whoever joins them
    assert (second.ids, second.retired, second.next_id) == (("s1",), ("s2", "s3"), 4)
    third = succeed(before, after, second.ids, 3, second.next_id)
    assert (third.ids, third.next_id) == (("s4", "s5", "s6"), 7)


def test_with_nobody_to_compare_everything_is_new() -> None:
    found = succeed(np.array([-1]), np.array([0]), ("s0",), 1, 1)
    assert found.ids == ("s1",)
    assert np.isnan(found.moved_share)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2)), max_size=40))
def test_ids_are_distinct_and_heirs_hold_most_of_the_former_members(pairs: list[tuple[int, int]]) -> None:
    before, after = (np.array(column, int) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int), np.zeros(0, int))
    ids = ("s0", "s1", "s5", "s7")
    found = succeed(before, after, ids, 3, 8)
    assert len(set(found.ids)) == 3
    assert set(found.kept) | set(found.retired) == set(ids)
    for id_ in found.kept:
        assert next(move.share for move in found.moves if move.before == move.after == id_) > 0.5
    assert set(found.new) == {f"s{number}" for number in range(8, found.next_id)}

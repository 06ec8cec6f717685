from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segmentation.naming import BY_TERMS, distinguishing_terms, names_from_terms


def test_terms_that_set_a_segment_apart_come_first() -> None:
    #                  everybody, rarely held, strong, weak
    columns = np.array([[1, 9, 5, 2], [1, 0, 5, 1], [1, 0, 5, 1], [1, 0, 5, 2], [1, 0, 0, 1], [1, 0, 0, 1]], np.float32)
    has = columns > 0
    segments = np.array([0, 0, 0, 0, 1, 1], np.int16)
    terms = distinguishing_terms(columns, has, segments, 3, ("milk", "caviar", "tea", "jam"))
    assert terms == (("tea", "jam"), (), ())  # caviar: one of four has it; the second segment stands out by nothing; the third is empty


def test_names_say_how_they_were_made() -> None:
    assert names_from_terms([("BABY FOODS", "Diapers", "Wipes"), ()]) == ("Baby foods, Diapers (by terms)", "Mixed (by terms)")


def test_segments_with_the_same_terms_get_different_names() -> None:
    names = names_from_terms([("a", "b"), ("a", "b", "c"), ("a", "b", "c"), ("a", "b"), (), ()])
    assert names == tuple(f"{name} (by terms)" for name in ("a, b", "a, b, c", "a, b, c 2", "a, b 2", "Mixed", "Mixed 2"))


@given(st.lists(st.lists(st.sampled_from(["tea", "TEA", "Tea", "Tea 2", ""]), max_size=4), max_size=12))
def test_names_never_repeat(terms: list[list[str]]) -> None:
    names = names_from_terms(terms)
    assert len(set(names)) == len(terms)
    assert all(name.endswith(BY_TERMS) for name in names)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.describe import Statement
from segmentation.naming import BY_TERMS, MAX_NAME, distinguishing_terms, names_from_terms, telling_habit, written_name


def test_terms_that_set_a_segment_apart_come_first() -> None:
    #                  everybody, rarely held, strong, weak
    columns = np.array([[1, 9, 5, 2], [1, 0, 5, 1], [1, 0, 5, 1], [1, 0, 5, 2], [1, 0, 0, 1], [1, 0, 0, 1]], np.float32)
    has = columns > 0
    segments = np.array([0, 0, 0, 0, 1, 1], np.int16)
    terms = distinguishing_terms(columns, has, segments, 3, ("milk", "caviar", "tea", "jam"))
    assert terms == (("tea", "jam"), (), ())  # caviar: one of four has it; the second segment stands out by nothing; the third is empty


def test_terms_that_no_other_segment_has_more_of_come_before_stronger_ones() -> None:
    #                    tea: both first, the second more; jam: the first alone
    columns = np.array([[4, 2], [4, 2], [5, 0], [5, 0], [0, 0], [0, 0]], np.float32)
    segments = np.array([0, 0, 1, 1, 2, 2], np.int16)
    assert distinguishing_terms(columns, columns > 0, segments, 3, ("tea", "jam")) == (("jam", "tea"), ("tea",), ())


def statement(statistic: str, value: float, everybody: float) -> Statement:
    return Statement("", statistic, value, everybody)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], ""),
        ([statement("orders a month", 4.9, 4.0)], ""),  # not 1.25 times as often
        ([statement("orders a month", 5.0, 4.0)], "frequent orders"),
        ([statement("orders a month", 3.1, 4.0)], "rare orders"),
        ([statement("orders a month", 5.0, 4.0), statement("price level", 0.9, 1.0)], "cheaper choices"),  # 1.6 steps against 1.0
        ([statement("price level", 1.1, 1.0), statement("order value", 60.0, 20.0)], "large orders"),
        ([statement("order value", 0.0, 20.0), statement("bought in 28 days", 1.0, 0.1)], ""),
    ],
)
def test_the_habit_that_differs_most_is_told(statements: list[Statement], expected: str) -> None:
    assert telling_habit(statements) == expected


def test_a_habit_follows_the_terms() -> None:
    names = names_from_terms([("tea", "jam"), ("tea", "jam"), (), ()], ["rare orders", "", "small orders", "small orders"])
    expected = ("tea, jam; rare orders", "tea, jam", "Mixed; small orders", "Mixed 2; small orders")
    assert names == tuple(f"{name} (by terms)" for name in expected)


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


EVIDENCE = "Set apart by: Green tea, Honey.\n41% of them have bought Sencha 100 g; of everybody 7%."
WORDS = ("Green tea", "Honey", "Sencha 100 g", "乌龙茶")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Sencha drinkers", ("Sencha drinkers", "")),
        ('"Honey lovers"\n\nThey love honey: 41% buy it.\nMore.', ("Honey lovers", "They love honey: 41% buy it.")),
        ("乌龙茶爱好者", ("乌龙茶爱好者", "")),
        ("Honey lovers\nThey are rich.", ("Honey lovers", "")),  # the sentence speaks of nothing in the evidence
        ("Honey lovers\n90% buy honey.", ("Honey lovers", "")),  # a number that nobody counted
        ("Rich people", None),
        ("honey FRIENDS", None),  # taken
        ("Honey " + "x" * MAX_NAME, None),
        ("", None),
        (" \n ", None),
    ],
)
def test_a_written_name_must_keep_to_the_evidence(answer: str, expected: tuple[str, str] | None) -> None:
    assert written_name(lambda evidence: answer if evidence == EVIDENCE else "", EVIDENCE, WORDS, ["Honey friends"]) == expected

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.llm.repair import label_of

CHOICES = ("negative", "neutral", "positive")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"),
        ("  Positive.\n", "positive"),
        ("\uff30\uff2f\uff33\uff29\uff34\uff29\uff36\uff25", "positive"),
        ("“positive”", "positive"),
        ("**positive**", "positive"),
        ("The answer is: positive", "positive"),
        ('{"answer": "Neutral"}', "neutral"),
        ('```\n{"sentiment": "neutral"}\n```', "neutral"),
        ('"negative"', "negative"),
        ("pos", "positive"),
        ("neg.", "negative"),
        ("negative\nbecause it broke", "negative"),
    ],
)
def test_a_label_in_another_dress_is_understood(answer: str, label: str) -> None:
    assert label_of(answer, CHOICES) == label


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "ne",
        "not positive",
        "positive or negative",
        "po",
        "it is positive",
        "{}",
        "[]",
        "null",
        "true",
        "7",
        "[[[",
        '{"a": "positive", "b": 1}',
        '{"a": {"b": "positive"}}',
    ],
)
def test_what_is_no_label_or_could_be_several_is_none(answer: str) -> None:
    assert label_of(answer, CHOICES) is None


def test_labels_of_one_sign_and_labels_that_begin_alike_are_told_apart() -> None:
    assert label_of("好评。", ("好评", "差评")) == "好评"
    assert label_of("差", ("好评", "差评")) == "差评"
    assert label_of("buy", ("buy", "buy later")) == "buy"
    assert label_of("buy l", ("buy", "buy later")) == "buy later"
    assert label_of("4", ("1", "2", "3", "4", "5")) == "4"


@given(st.text())
def test_whatever_a_model_writes_only_a_declared_label_comes_out(answer: str) -> None:
    assert label_of(answer, CHOICES) in (None, *CHOICES)

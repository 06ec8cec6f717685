from __future__ import annotations

import random
from collections import Counter

import pytest

from recsys.synthetic.grammar import compile_rules, expand


def test_a_name_stands_for_its_alternative_and_a_fact_for_its_text() -> None:
    grammar = compile_rules({"start": ["{greeting}, {name}{end}"], "greeting": ["hello"], "end": ["!"]}, facts=["name"])
    assert expand(grammar, "start", {"name": "Ann {x}"}, random.Random(0)) == "hello, Ann {x}!"


def test_an_alternative_may_be_empty() -> None:
    assert expand(compile_rules({"start": [""]}), "start", {}, random.Random(0)) == ""


def test_alternatives_are_equally_likely_and_drawn_anew_each_time() -> None:
    grammar = compile_rules({"start": ["{x}{x}"], "x": ["a", "b"]})
    rng = random.Random(1)
    counts = Counter(expand(grammar, "start", {}, rng) for _ in range(8000))
    assert counts.keys() == {"aa", "ab", "ba", "bb"}
    assert all(1850 < count < 2150 for count in counts.values())


def test_equal_seeds_give_equal_texts() -> None:
    grammar = compile_rules({"start": ["{x} {x} {x}"], "x": [str(number) for number in range(100)]})
    first, second = ([expand(grammar, "start", {}, rng) for _ in range(20)] for rng in (random.Random(7), random.Random(7)))
    assert first == second


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"start": ["{other}"]}, "'start' uses other, which is neither a rule nor a fact"),
        ({"start": []}, "'start' has no alternatives"),
        ({"noun": ["tea"]}, "both a rule and a fact: noun"),
        ({"a": ["{b}"], "b": ["x", "{c}"], "c": ["{a}"]}, "'a' contains itself: a > b > c > a"),
        ({"a": ["{a}"]}, "'a' contains itself"),
    ],
)
def test_rules_that_cannot_be_expanded_are_refused(rules: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_rules(rules, facts=["noun"])

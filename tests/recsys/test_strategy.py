from __future__ import annotations

from typing import Any

import pytest
from handmade import NOW, profile

from recsys.config import Choice, Config, StrategyConfig, parse_config
from recsys.errors import ConfigError
from recsys.strategy import StrategySet
from recsys.types import Query, aware
from segmentation.profile import CustomerProfile

PLAIN = StrategyConfig(sources={"popular": 10})


def strategies(*choices: dict[str, Any]) -> StrategySet:
    names = ("home", "high", "s1", "cart", "lapsed")
    return StrategySet(dict.fromkeys(names, PLAIN), "home", tuple(Choice(**choice) for choice in choices))


def chosen(among: StrategySet, who: CustomerProfile | None = None, **query: Any) -> str:
    return among.choose(Query(k=1, time=aware(NOW), **query), who)[0]


RULES = strategies(
    {"strategy": "cart", "placements": ["cart", "checkout"]},
    {"strategy": "high", "tiers": ["high", "medium"]},
    {"strategy": "s1", "segments": ["s1"]},
    {"strategy": "lapsed", "stages": ["lapsed"], "segments": ["s0"]},
)


@pytest.mark.parametrize(
    ("who", "placement", "expected"),
    [
        (None, "home", "home"),
        (None, "checkout", "cart"),
        (profile("s0", "low"), "home", "home"),
        (profile("s0", "medium"), "home", "high"),
        (profile("s1", "low"), "home", "s1"),
        (profile("s1", "high"), "home", "high"),
        (profile("s1", "high"), "cart", "cart"),
    ],
)
def test_the_first_rule_that_fits_counts(who: CustomerProfile | None, placement: str, expected: str) -> None:
    assert chosen(RULES, who, placement=placement) == expected


def test_all_conditions_of_a_rule_must_hold() -> None:
    both = strategies({"strategy": "s1", "segments": ["s1"], "tiers": ["high"], "placements": ["home"]})
    assert chosen(both, profile("s1", "high")) == "s1"
    assert chosen(both, profile("s1", "low")) == "home"
    assert chosen(both, profile("s1", "high"), placement="cart") == "home"
    assert chosen(both) == "home"


def test_a_rule_without_conditions_is_for_everybody() -> None:
    assert chosen(strategies({"strategy": "cart"})) == "cart"


def test_a_query_may_name_its_strategy() -> None:
    assert chosen(RULES, profile("s1", "high"), strategy="lapsed") == "lapsed"


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'hme'; there are: cart, high, home, lapsed, s1"):
        chosen(RULES, strategy="hme")


def test_the_version_changes_with_anything_in_the_set() -> None:
    one: dict[str, Any] = {"default_strategy": "home", "choose": [{"strategy": "home"}, {"strategy": "discovery", "tiers": ["low"]}]}
    base = StrategySet.of(parse_config(one, "test"))
    same = StrategySet.of(Config.model_validate(parse_config(one, "test").model_dump()))
    others = [
        {**one, "default_strategy": "discovery"},
        {**one, "choose": one["choose"][::-1]},
        {**one, "strategies": {"cart": {"sources": {"popular": 1}}}},
        {**one, "strategies": {"discovery": {"sources": {"popular": 1}}}},
    ]
    assert base.version == same.version
    assert len({base.version, *(StrategySet.of(parse_config(other, "test")).version for other in others)}) == 5

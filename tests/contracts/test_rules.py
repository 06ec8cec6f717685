"""What the rules of a strategy promise, whatever the candidates: on the list, and in what is told of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from asking import ask, assert_sound, with_strategy
from handmade import candidates, catalogue
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bundle import Bundle
from recsys.config import StrategyConfig, parse_config
from recsys.engine import Engine, Snapshot
from recsys.errors import ConfigError
from recsys.selection.rules import rule_effects, rule_names
from recsys.selection.select import select
from recsys.types import Floats, RuleEffect

N = 12
ITEMS = catalogue(N, brands=[number % 4 - 1 for number in range(N)], categories=[[number % 2, 2 + number % 3] for number in range(N)])
RULES: dict[str, Any] = {
    "sources": {"popular": 60, "content": 30},
    "exclude": [{"brands": ["brand 00"]}, {"categories": ["Mug"], "item_ids": ["i1", "unheard of"]}, {"brands": ["no such brand"]}],
    "boosts": [{"factor": 30.0, "categories": ["Tea"]}, {"factor": 0.01, "item_ids": ["i3", "i5"]}],
    "diversity": 0.3,
    "max_per": {"brand": 2, "product_type": 4},
    "pins": {"2": "i58", "4": "i0", "5": "i6", "7": "nothing"},
}
"""In the small shop i0 and i6 are of brand 00."""


@pytest.fixture(scope="module")
def ruled(loaded_bundle: Bundle) -> Snapshot:
    return with_strategy(Snapshot.of(loaded_bundle), **RULES)


def effects(answer: Any) -> dict[str, RuleEffect]:
    return {effect.rule: effect for effect in answer.trace.rules}


@settings(max_examples=60, deadline=None)
@given(scores=st.lists(st.floats(-50, 50, width=32), min_size=N, max_size=N), factors=st.tuples(st.floats(0.001, 900), st.floats(1, 100)))
def test_a_stronger_boost_never_lowers_what_it_applies_to(scores: list[float], factors: tuple[float, float]) -> None:
    def places(factor: float) -> list[int]:
        strategy = StrategyConfig.model_validate({"sources": {"popular": 1}, "boosts": [{"factor": factor, "brands": ["b1"]}]})
        items = select(candidates(range(N), scores), N, strategy, {}, ITEMS, None).chosen.items.tolist()
        return [items.index(item) for item in np.flatnonzero(ITEMS.brands == 1)]

    weak, strong = places(factors[0]), places(min(factors[0] * factors[1], 1000.0))
    assert all(lifted <= before for lifted, before in zip(strong, weak, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.floats(-50, 50, width=32), min_size=N, max_size=N),
    k=st.integers(1, N),
    limit=st.integers(1, 3),
    factor=st.sampled_from([0.01, 1.0, 20.0]),
    pin=st.integers(0, N - 1),
)
def test_what_is_told_of_the_rules_accounts_for_the_list(scores: list[float], k: int, limit: int, factor: float, pin: int) -> None:
    rules = {"boosts": [{"factor": factor, "brands": ["b0"]}], "max_per": {"brand": limit}, "pins": {1: f"i{pin}"}}
    strategy = StrategyConfig.model_validate({"sources": {"popular": 1}, **rules})
    selection = select(candidates(range(N), scores), k, strategy, {1: pin}, ITEMS, None)
    items, told = selection.chosen.items.tolist(), rule_effects(strategy, selection.acted, selection.left_out)
    assert items[0] == pin
    for item, names in zip(items, selection.acted, strict=True):
        assert ("pins.1" in names) == (item == pin)
        assert ("boosts[0]" in names) == (factor != 1.0 and ITEMS.brands[item] == 0)
    assert [effect.rule for effect in told] == ["boosts[0]", "max_per.brand", "pins.1"]
    by_score = [item for item in sorted(range(N), key=lambda item: -scores[item]) if item != pin]
    if factor == 1.0:
        passed = [item for item in by_score[: by_score.index(items[-1]) + 1] if item not in items] if len(items) > 1 else []
        if len(items) == k and k > 1:
            assert told[1].left_out == len(passed)
    brands = Counter(int(ITEMS.brands[item]) for item in items if ITEMS.brands[item] >= 0)
    assert all(count <= limit for count in brands.values())


def test_excluded_items_are_never_shown_not_even_pinned_or_for_want_of_others(loaded_bundle: Bundle, ruled: Snapshot) -> None:
    shop = loaded_bundle.catalogue
    for k in (5, 60):
        for customer in ("c4", "c7", None):
            answer = Engine(loaded_bundle).recommend(ask(k=k, customer=customer), ruled)
            assert_sound(answer)
            shown = shop.items.numbers(answer.item_ids)
            assert not shop.of_brands(["brand 00"], shown).any()
            assert not shop.in_categories(["Mug"], shown).any()
            assert "i1" not in answer.item_ids


def test_every_rule_is_told_of_also_the_one_that_did_nothing(loaded_bundle: Bundle, ruled: Snapshot) -> None:
    answer = Engine(loaded_bundle).recommend(ask(k=10), ruled)
    told = effects(answer)
    assert tuple(told) == rule_names(ruled.strategies.strategies["test"])
    assert tuple(told) == (
        *(f"exclude[{number}]" for number in range(3)),
        *("boosts[0]", "boosts[1]", "diversity", "max_per.brand", "max_per.product_type"),
        *(f"pins.{rank}" for rank in (2, 4, 5, 7)),
    )
    assert told["exclude[2]"] == RuleEffect("exclude[2]", 0, 0)
    assert told["pins.7"] == RuleEffect("pins.7", 0, 0)
    for rule, effect in told.items():
        assert effect.shown == sum(rule in item.rules for item in answer.items)


def test_an_exclusion_counts_what_it_alone_keeps_out(loaded_bundle: Bundle, ruled: Snapshot) -> None:
    shop = loaded_bundle.catalogue
    sold = shop.recommendable & shop.available
    told = effects(Engine(loaded_bundle).recommend(ask(cart_item_ids=("i1",)), ruled))
    assert told["exclude[0]"].left_out == (sold & shop.of_brands(["brand 00"])).sum()
    assert told["exclude[1]"].left_out == (sold & shop.in_categories(["Mug"])).sum(), "i1 is in the cart, and out without the rule"


def test_pins_stand_at_their_rank_and_say_so(loaded_bundle: Bundle, ruled: Snapshot) -> None:
    answer = Engine(loaded_bundle).recommend(ask(k=10), ruled)
    assert answer.item_ids[1] == "i58"
    assert "pins.2" in answer.items[1].rules
    assert effects(answer)["pins.2"].shown == 1
    assert effects(answer)["pins.4"].shown == 0, "an excluded item cannot be pinned"


def test_a_buried_item_that_falls_out_is_counted(loaded_bundle: Bundle) -> None:
    plain = Snapshot.of(loaded_bundle)
    first = Engine(loaded_bundle).recommend(ask(k=5), with_strategy(plain)).item_ids
    buried = with_strategy(plain, boosts=[{"factor": 0.001, "item_ids": [*first[:2], "i60"]}])
    answer = Engine(loaded_bundle).recommend(ask(k=5), buried)
    assert not {*first[:2]} & {*answer.item_ids}
    assert effects(answer) == {"boosts[0]": RuleEffect("boosts[0]", 0, 2)}


def test_a_strategy_without_rules_tells_of_none(loaded_bundle: Bundle) -> None:
    answer = Engine(loaded_bundle).recommend(ask(), Snapshot.of(loaded_bundle))
    assert answer.trace.rules == ()
    assert all(item.rules == () for item in answer.items)


def test_rules_change_the_list_and_never_the_ranker_s_view(loaded_bundle: Bundle) -> None:
    plain = Snapshot.of(loaded_bundle)
    home = plain.strategies.strategies["home"].model_dump()
    one = Engine(loaded_bundle).recommend(ask(k=10), with_strategy(plain, **home))
    other = Engine(loaded_bundle).recommend(ask(k=10), with_strategy(plain, **{**home, "boosts": [{"factor": 9.0, "categories": ["Tea"]}]}))
    seen: dict[str, Floats] = dict(zip(one.item_ids, one.features, strict=True))
    both = [(seen[id_], row) for id_, row in zip(other.item_ids, other.features, strict=True) if id_ in seen]
    assert both
    for before, after in both:
        np.testing.assert_array_equal(before, after)


def test_a_rule_that_names_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="applies to nothing"):
        parse_config({"strategies": {"home": {"sources": {"popular": 1}, "exclude": [{}]}}}, "shop.toml")

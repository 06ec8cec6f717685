from __future__ import annotations

import copy
from typing import Any

import pytest

from recsys.synthetic.lexicon import NEEDS, capitalised, lexicon_from, load_lexicon

TABLE: dict[str, Any] = {
    "types": [
        {"noun": "soap", "noun_zh": "肥皂", "path": ["Bath", "Washing"], "price": 2.0, "cycle_days": 30, "attributes": ["scent"]},
        {"noun": "towel", "noun_zh": "毛巾", "path": ["Bath", "Drying"], "price": 9.0, "complement": "soap", "attributes": ["colour"]},
    ],
    "attributes": {"scent": {"mint": ["smells of mint"]}, "colour": {"navy": ["is navy", "is blue"]}},
    "brands": {"Bath": ["Suds"]},
    "personas": [
        {
            "name": "sailor",
            "description": "Likes blue.",
            "likes": ["navy"],
            "departments": ["Bath"],
            "need": "travel",
            "price_sensitivity": 1.0,
            "visits": 1.0,
            "churn": 1.0,
        }
    ],
}


def changed(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """TABLE with another value at one place."""
    table = copy.deepcopy(TABLE)
    inner: Any = table
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return table


def test_a_lexicon_holds_what_its_table_says() -> None:
    lexicon = lexicon_from(TABLE)
    soap, towel = lexicon.types
    assert (soap.name, soap.category, soap.cycle_days) == ("Soap", ("Bath", "Washing", "Soap"), 30)
    assert (towel.cycle_days, towel.complement, towel.season_peak) == (None, "soap", None)
    assert lexicon.attributes["colour"].words == ("navy",)
    assert lexicon.clauses == {"mint": ("smells of mint",), "navy": ("is navy", "is blue")}
    assert lexicon.departments == ("Bath",)
    assert lexicon.personas[0].likes == ("navy",)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("types", 0, "attributes"), ["taste"], "'soap' uses an unknown attribute group: taste"),
        (("types", 0, "path"), ["Cellar", "Wine"], "'soap' uses an unknown department: Cellar"),
        (("types", 1, "complement"), "sponge", "'towel' uses an unknown complement: sponge"),
        (("types", 1, "complement"), "towel", "'towel' uses an unknown complement: towel"),
        (("types", 0, "season_peak"), 13, "month from 1 to 12, not 13"),
        (("types", 0, "price"), 0.0, "must be above 0"),
        (("types", 0, "cycle_days"), -1, "must be above 0"),
        (("types", 1, "noun"), "soap", "noun occurs more than once: soap"),
        (("attributes", "colour"), {"mint": ["is green"]}, "attribute word occurs more than once: mint"),
        (("personas", 0, "likes"), ["red"], "'sailor' uses an unknown attribute word: red; known: mint, navy"),
        (("personas", 0, "departments"), ["Deck"], "'sailor' uses an unknown department: Deck"),
        (("personas", 0, "need"), "a ship", "'sailor' uses an unknown need: a ship"),
        (("personas", 0, "churn"), 0.0, "must be above 0"),
    ],
)
def test_names_without_counterpart_are_refused(place: tuple[str | int, ...], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lexicon_from(changed(place, value))


def test_the_shop_is_a_general_one_with_goods_that_are_bought_again_and_goods_that_are_not() -> None:
    lexicon = load_lexicon()
    consumable = sum(kind.cycle_days is not None for kind in lexicon.types)
    shelves = {kind.path for kind in lexicon.types}
    assert len(lexicon.types) >= 120
    assert 0.4 < consumable / len(lexicon.types) < 0.6
    assert len(lexicon.departments) == 12
    assert {shelf[0] for shelf in shelves} == set(lexicon.departments)
    assert all(len(names) == 12 for names in lexicon.brands.values())
    assert any(kind.season_peak for kind in lexicon.types)


def test_each_type_can_differ_in_three_or_four_ways() -> None:
    assert {len(set(kind.attributes)) for kind in load_lexicon().types} == {3, 4}


def test_every_persona_finds_what_it_likes_in_its_departments() -> None:
    lexicon = load_lexicon()
    group_of = {word: group.name for group in lexicon.attributes.values() for word in group.words}
    for persona in lexicon.personas:
        offered = {group for kind in lexicon.types if kind.path[0] in persona.departments for group in kind.attributes}
        assert {group_of[word] for word in persona.likes} <= offered, persona.name
        assert len({group_of[word] for word in persona.likes}) >= 4, persona.name


def test_personas_differ_in_need_and_every_need_has_one() -> None:
    assert sorted(persona.need for persona in load_lexicon().personas) == sorted(NEEDS)


def test_capitals_go_to_first_letters_only() -> None:
    assert capitalised("plastic-free T-shirt") == "Plastic-free T-shirt"

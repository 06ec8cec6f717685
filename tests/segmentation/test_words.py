from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from segmentation.clauses import MAX_CLAUSES, clauses
from segmentation.entities import Gazetteer
from segmentation.llm.masking import Masker
from segmentation.terms import find_terms
from segmentation.words import fit_words, public_pieces, terms_of, tokens

TEXTS = ["The price is fine, the price!", "Price and delivery", "物流很快。价格便宜", "价格不错", "Delivery\u2019s late", ""]


def test_words_are_weighted_as_scikit_learn_weighs_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that token_pattern is not used
        other = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2).fit(TEXTS)
    words = fit_words(TEXTS)
    assert set(words.terms) == set(other.get_feature_names_out())
    columns = [words.terms.index(term) for term in other.get_feature_names_out()]
    np.testing.assert_allclose(words.features(TEXTS).toarray()[:, columns], other.transform(TEXTS).toarray(), atol=1e-6)


PRIVATE = [
    "write to anna.jansen@example.org please",
    "anna.jansen (at) example (dot) org",
    "anna at\u00a0gmail.com",
    "www\uff0eexample.com/me?user=anna",
    "add my wechat: annajansen",
    "\u5fae\u4fe1\u53f7 annajansen",
    "my weixin id annajansen",
    "vx: annajansen",
    "call 0612 345 678",
    "\uff41\uff4e\uff4e\uff41\uff20example.org",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_whatever_the_masker_finds_is_no_public_piece(text: str) -> None:
    assert Masker().find(text)
    pieces = public_pieces(text)
    assert pieces != [text]
    assert not any(Masker().find(piece) for piece in pieces)


def test_terms_have_no_personal_data_and_none_reaches_over_it() -> None:
    found = terms_of("Nice box! Mail anna.jansen@example.org or @anna_j, number 0612345678, order A1234567; size 12")
    assert found[:2] == ["nice", "box"]
    assert {"size", "12", "size 12", "order", "or"} <= set(found)
    assert not any(part in term for term in found for part in ("anna", "jansen", "example", "org", "0612345678", "a1234567", "mail or"))


def test_a_text_without_personal_data_is_one_piece() -> None:
    assert public_pieces("The price is fine") == ["The price is fine"]
    assert public_pieces("It costs 12 (too much) at times") == ["It costs 12 (too much) at times"]


def test_chinese_is_read_by_characters_and_everything_else_by_words() -> None:
    assert tokens("It\u2019s 物流 OK!") == ["it's", "物", "流", "ok", "!"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Too dear, but well made. Fits!", ["Too dear,", "but well made. Fits!"]),
        ("It fits nicely although delivery took weeks", ["It fits nicely", "although delivery took weeks"]),
        ("质量很好\uff0c但是物流太慢。", ["质量很好\uff0c", "但是物流太慢。"]),
        ("costs 1,299.00 here", ["costs 1,299.00 here"]),
        ("", []),
        ("... !", []),
    ],
)
def test_a_text_parts_where_it_ends_or_turns(text: str, pieces: list[str]) -> None:
    assert clauses(text) == pieces


@given(st.text(max_size=300))
def test_clauses_lose_no_letters_and_are_never_empty(text: str) -> None:
    pieces = clauses(text)
    assert all(piece.strip() for piece in pieces)
    assert len(pieces) <= MAX_CLAUSES
    if len(pieces) < MAX_CLAUSES:
        assert "".join(filter(str.isalpha, "".join(pieces))) == "".join(filter(str.isalpha, text))


def _wordings(texts: list[str], n: int = 3, gazetteer: Gazetteer | None = None) -> list[str]:
    return [term.wording for term in find_terms([clauses(text) for text in texts], n, gazetteer)]


def test_nouns_are_known_by_their_company() -> None:
    texts = [
        "The delivery was slow",
        "good delivery",
        "my sister loves it",
        "my sister says so",
        "my sister again",
        "the next box",
        "this box is red",
    ]
    texts += [
        "a next one",
        "the delivery",
        "customer service is rude",
        "the customer service",
        "their customer service was fine",
        "that box",
    ]
    assert _wordings(texts) == ["box", "customer service", "delivery"]


def test_what_a_thing_did_is_no_part_of_its_name() -> None:
    assert _wordings(["the parcel came", "this parcel came late", "my parcel", "the parcel", "the parcel came"]) == ["parcel"]


def test_chinese_words_are_found_without_spaces() -> None:
    filling = ["昨晚", "今早", "刚才", "其实", "反正"]
    ends = ["很快", "太慢", "不行", "真好", "还可以"]
    texts = [f"{filling[n]}{noun}{ends[n]}" for noun in ("物流", "价格", "包装", "服务") for n in range(5)]
    assert _wordings(texts) == ["价格", "包装", "服务", "物流"]


def test_names_of_what_is_sold_are_no_terms() -> None:
    texts = ["the lamp is dim", "this lamp was big", "the quality is fine", "good quality", "this quality", "the lamp"]
    assert _wordings(texts) == ["lamp", "quality"]
    assert _wordings(texts, gazetteer=Gazetteer([], ["desk lamp"])) == ["quality"]


def test_adverbs_and_times_are_no_terms_and_neither_is_what_only_stands_behind_and_or_of() -> None:
    texts = [f"{before} {word}" for word in ("rightly", "almost", "september", "holidays") for before in ("the", "no", "and")]
    texts += [f"{before} ended" for before in ("and", "for", "of")]
    texts += [
        "the family",
        "this supply",
        "the family",
        "a supply",
        "this family",
        "the supply",
        "and customer service",
        "for customer service",
    ]
    texts += ["of customer service"]
    assert _wordings(texts) == ["customer service", "family", "supply"]


def test_what_few_texts_have_is_no_term_however_often_they_have_it() -> None:
    assert _wordings(["the price, the price, the price, the price"]) == []

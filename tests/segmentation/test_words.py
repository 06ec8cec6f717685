from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from segmentation.clauses import MAX_CLAUSES, clauses
from segmentation.entities import Gazetteer
from segmentation.terms import find_terms
from segmentation.words import fit_words, terms_of, tokens

TEXTS = ["The price is fine, the price!", "Price and delivery", "物流很快。价格便宜", "价格不错", "Delivery\u2019s late", ""]


def test_words_are_weighted_as_scikit_learn_weighs_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that token_pattern is not used
        other = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2).fit(TEXTS)
    words = fit_words(TEXTS)
    assert set(words.terms) == set(other.get_feature_names_out())
    columns = [words.terms.index(term) for term in other.get_feature_names_out()]
    np.testing.assert_allclose(words.features(TEXTS).toarray()[:, columns], other.transform(TEXTS).toarray(), atol=1e-6)


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


def test_chinese_words_are_found_without_spaces() -> None:
    filling = ["昨晚", "今早", "刚才", "其实", "反正"]
    ends = ["很快", "太慢", "不行", "真好", "还可以"]
    texts = [f"{filling[n]}{noun}{ends[n]}" for noun in ("物流", "价格", "包装", "服务") for n in range(5)]
    assert _wordings(texts) == ["价格", "包装", "服务", "物流"]


def test_names_of_what_is_sold_are_no_terms() -> None:
    texts = ["the lamp is dim", "this lamp was big", "the quality is fine", "good quality", "this quality", "the lamp"]
    assert _wordings(texts) == ["lamp", "quality"]
    assert _wordings(texts, gazetteer=Gazetteer([], ["desk lamp"])) == ["quality"]


def test_what_few_texts_have_is_no_term_however_often_they_have_it() -> None:
    assert _wordings(["the price, the price, the price, the price"]) == []

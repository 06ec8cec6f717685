"""What is read of HTML, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.text.plain_text import plain_text


def words(text: str) -> str:
    return " ".join(plain_text(text, 1000).split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>Red hat</p><p>Blue coat</p>", "Red hat Blue coat"),
        ("wool<br>cotton<br/>silk<BR />", "wool cotton silk"),
        ("un<b>believ</b>able <EM>value</EM>", "unbelievable value"),
        ("<a href=\"x.html?a=1&amp;b=2\" title='a > b' target=_blank>guide</a>", "guide"),
        ("<ul>\n<li>one</li>\n<li>two</li></ul>", "one two"),
        ("a<!-- hidden <b>words</b> -->b", "a b"),
        ("a<!-- never closed", "a"),
        ("<style type='text/css'>p { color: red }</style>hat<script>if (a < b) buy()</script>", "hat"),
        ("<!DOCTYPE html><html><body>hat</body></html>", "hat"),
        ("fish &amp; chips &#8364;5 caf&eacute; &#x1F600;", "fish & chips €5 café 😀"),
        ("&lt;b&gt; is bold", "<b> is bold"),
    ],
)
def test_html_is_read_as_a_page_shows_it(text: str, shown: str) -> None:
    assert words(text) == shown


@pytest.mark.parametrize(
    "text", ["I <3 it", "a < b", "a<b and c>d", "x<y>z", "5 > 3 <", "<not a tag>", "AT&T, R&D", "&copy right", "<-- look", "<>", "a && b;"]
)
def test_what_is_no_html_stays(text: str) -> None:
    assert plain_text(text, 1000) == text


def test_halves_of_one_character_meet_and_single_ones_are_replaced() -> None:
    assert plain_text("\ud83d\ude00 \ud800!", 100) == "😀 \ufffd!"


def test_the_text_is_cut() -> None:
    assert plain_text("hat" * 1000, 10) == "hathathath"
    assert plain_text("<p><p>" + "hat" * 1000, 3) == "  h"


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 50))
def test_any_string_gives_valid_unicode_of_at_most_the_length(text: str, n_most: int) -> None:
    shown = plain_text(text, n_most)
    shown.encode()
    assert len(shown) <= n_most


@pytest.mark.parametrize("text", ["<a", "<a ", "<a b='", "<script", "<script>", "<!--", "<p a=b ", "&#", "</script"])
def test_markup_that_never_ends_is_read_in_one_pass(text: str) -> None:
    assert len(plain_text(text * 200_000, 32_768)) <= 32_768

"""Brands, products and prices that texts name, against a shop's own lists."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from segmentation.words import EMPTY_WORDS, placed_tokens, tokens

BRAND, PRODUCT, PRICE = "brand", "product", "price"
MAX_PHRASE = 4
"""Words of a title that may be named together, at most; all of a brand's are."""
MIN_CHARACTERS = 3
"""Of a part of a title in a script without spaces; 2 words otherwise."""
PLAIN_LETTERS = 4
"""A brand of one word and so few letters is often an ordinary word too: it counts only in the case that it is listed in."""

_SYMBOLS = {"$": "USD", "£": "GBP", "€": "EUR", "¥": "CNY", "\uffe5": "CNY"}
_CODES = {"usd": "USD", "gbp": "GBP", "eur": "EUR", "cny": "CNY", "rmb": "CNY"}
_NAMES = {"dollars": "USD", "dollar": "USD", "bucks": "USD", "euros": "EUR", "euro": "EUR", "quid": "GBP", "yuan": "CNY"}
_CHINESE = {
    "\u5143": "CNY",
    "\u5757\u94b1": "CNY",
    "\u5757": "CNY",
    "\u4eba\u6c11\u5e01": "CNY",
    "\u7f8e\u5143": "USD",
    "\u6b27\u5143": "EUR",
}
_CURRENCIES = {**_SYMBOLS, **_CODES, **_NAMES, **_CHINESE}
_NUMBER = r"\d{1,3}(?:[ ,.]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?!\d)"
_BEFORE = "|".join([*map(re.escape, _SYMBOLS), *(rf"\b{code}" for code in _CODES)])
_AFTER = "|".join([*map(re.escape, _SYMBOLS), *(rf"(?:{word})\b" for word in (*_CODES, *_NAMES)), *sorted(_CHINESE, key=len, reverse=True)])
_PRICE = re.compile(
    rf"(?P<before>{_BEFORE})\s?(?P<first>{_NUMBER})|(?<![A-Za-z0-9.,])(?P<second>{_NUMBER})\s?(?P<after>{_AFTER})", re.IGNORECASE
)


class Entity(NamedTuple):
    """Something that a text names.

    kind:  BRAND, PRODUCT or PRICE
    text:  as it is written
    value: the brand as it is listed; the one title that has these words, or where several have them the words; amount and currency code
    span:  text[span[0]:span[1]] of the whole text
    """

    kind: str
    text: str
    value: str
    span: tuple[int, int]


class Phrases:
    """Runs of words to look for; the longest counts where several begin at one place, and none overlap."""

    def __init__(self, values: Mapping[tuple[str, ...], str]) -> None:
        """values: what each run of tokens, as `tokens` gives them, stands for."""
        self._values = {run: value for run, value in values.items() if run}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for run in self._values:
            lengths[run[0]].add(len(run))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def find(self, text: str) -> list[tuple[tuple[str, ...], str, tuple[int, int]]]:
        """Run, value and span of each, in order."""
        words = placed_tokens(text)
        found, at = [], 0
        while at < len(words):
            run = self._longest(words, at)
            if run:
                found.append((run, self._values[run], (words[at][1][0], words[at + len(run) - 1][1][1])))
            at += max(len(run), 1)
        return found

    def _longest(self, words: Sequence[tuple[str, tuple[int, int]]], at: int) -> tuple[str, ...]:
        for length in self._lengths.get(words[at][0], ()):
            run = tuple(word for word, _ in words[at : at + length])
            if run in self._values:
                return run
        return ()


class Gazetteer:
    """The brands and titles of a shop.

    A brand is found as a whole, in any case (but see PLAIN_LETTERS); of a title the whole, or two words in a row (MIN_CHARACTERS where
    words are not spaced) of which the first and last say something. Where a text names a brand, those words name no product.
    """

    def __init__(self, brands: Iterable[str], titles: Iterable[str]) -> None:
        titles = set(titles)
        self._listed = {run: brand for brand in sorted(set(brands)) if (run := tuple(tokens(brand)))}
        self._brands = Phrases(self._listed)
        value_of: dict[tuple[str, ...], str] = {}
        for title in sorted(titles):
            for run in set(_runs(tokens(title))):
                value_of[run] = " ".join(run) if run in value_of else title
        self._products = Phrases(value_of)
        self._n_titles = max(len(titles), 1)
        self._titles_with = Counter(word for title in titles for word in set(tokens(title)))

    def find(self, text: str) -> list[Entity]:
        """Brands and products, in the order of the text."""
        brands = [
            Entity(BRAND, text[slice(*span)], value, span)
            for run, value, span in self._brands.find(text)
            if self._is_named(run, text[slice(*span)])
        ]
        rest = text
        for _, _, _, (start, end) in brands:
            rest = rest[:start] + "!" * (end - start) + rest[end:]
        products = [Entity(PRODUCT, text[slice(*span)], value, span) for _, value, span in self._products.find(rest)]
        return sorted([*brands, *products], key=lambda entity: entity.span)

    def title_share(self, run: tuple[str, ...]) -> float:
        """Share of the titles that have the rarest of some words, in [0, 1]; 1 for a brand's words."""
        return 1.0 if run in self._listed else min((self._titles_with[word] for word in run), default=0) / self._n_titles

    def _is_named(self, run: tuple[str, ...], written: str) -> bool:
        brand = self._listed[run]
        is_plain = len(run) == 1 and brand.isascii() and len(brand) <= PLAIN_LETTERS
        return not is_plain or written in (brand, brand.upper())


NOTHING_LISTED = Gazetteer((), ())


def entities_of(texts: Sequence[str], gazetteer: Gazetteer) -> list[tuple[Entity, ...]]:
    """What each text names, in its order: brands, products, prices."""
    return [tuple(sorted([*gazetteer.find(text), *prices_of(text)], key=lambda entity: entity.span)) for text in texts]


def prices_of(text: str) -> list[Entity]:
    """Amounts with a currency: its sign, code or name beside a number, in English and Chinese.

    A dollar sign means USD, a yen sign CNY. "Pounds" are not looked for: people weigh in them.
    """
    found = []
    for match in _PRICE.finditer(text):
        currency = _CURRENCIES[(match["before"] or match["after"]).casefold()]
        found.append(Entity(PRICE, match[0], f"{_amount(match['first'] or match['second']):.2f} {currency}", match.span()))
    return found


def _amount(number: str) -> float:
    """A number with a point or comma before its one or two last digits, and others between thousands."""
    parts = re.split(r"[ ,.]", number)
    if len(parts) > 1 and len(parts[-1]) < 3:
        return float("".join(parts[:-1]) + "." + parts[-1])
    return float("".join(parts))


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """The runs of a title that may stand for it: all of it, if short, and its parts."""
    if 0 < len(words) <= MAX_PHRASE:
        yield tuple(words)
    for start in range(len(words)):
        for end in range(start + 2, min(start + MAX_PHRASE, len(words)) + 1):
            run = tuple(words[start:end])
            is_unspaced = all(len(word) == 1 and word > "\u3000" for word in run)
            if (not is_unspaced or len(run) >= MIN_CHARACTERS) and not {run[0], run[-1]} & EMPTY_WORDS:
                yield run

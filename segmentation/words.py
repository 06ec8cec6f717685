"""Texts as weighted words (TF-IDF): what every other way of reading has to beat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from segmentation.llm.masking import Masker
from segmentation.purchases import Floats

MAX_WORDS, MIN_TEXTS = 20_000, 2
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Letters of scripts that put no spaces between words, as a range of a regular expression."""
_TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+(?:['\u2019]\w+)?|[!?\uff01\uff1f]")

MANY_DIGITS = 5
"""Digits of a word from which it is a number of somebody or something, and no word."""
_MAY_BE_PRIVATE = re.compile(
    r"[@\d/\[({\uff08\uff0f\uff20-\uff5b]|www[.\uff0e]|\sat\s(?:gmail|hotmail|outlook|yahoo|icloud|qq)|wechat|weixin|vx|\u5fae\u4fe1|\u8587\u4fe1",
    re.IGNORECASE,
)
"""One of these is in every text that a `Masker` finds anything in."""
_ADDRESS = re.compile(r"[a-z0-9\u00c0-\u024f._%+'-]{0,64}[@\uff20][a-z0-9\u00c0-\u024f._-]{0,64}", re.IGNORECASE)
_MASKER = Masker()

_EMPTY = """
    a about after again all also always am an and another any anybody anyone anything are aren't as at back be because been before
    being best better both but by can can't cannot could couldn't couple day days did didn't do does doesn't doing don't done down
    dozen each eight eleven else end enough etc even ever every everybody everyone everything few fifty first five for four from get
    gets getting go going good got great guy had half has hasn't have haven't having he her here herself him himself his how however
    hundred i i'd i'll i'm i've if in into is isn't it it's its itself just know last least less like little long look lot lots made
    make man many may me might month months more most much must my myself near need never new next nice nine no nobody not nothing now
    of off often on once one only or other our ourselves out over own part people person quite rather really rest same say second see
    seem seems seven she should side since six so some somebody somehow someone something still such ten than that that's the their
    them themselves then there these they thing things think this those though three through time times to too took twelve twenty two
    until up us use used using very want was wasn't way we week weeks well went were weren't what when where which while who whole why
    will with within without woman won't would wouldn't year years yet you your yourself ! ? \uff01 \uff1f
"""
EMPTY_WORDS = frozenset(_EMPTY.split())
"""English words that name nothing a customer could praise or complain of, and marks."""


def tokens(text: str) -> list[str]:
    """Words in small letters, single characters of scripts without spaces, exclamation and question marks; in order."""
    return [token for token, _ in placed_tokens(text)]


def placed_tokens(text: str) -> list[tuple[str, tuple[int, int]]]:
    """The same, each with the places of the text where it begins and ends."""
    return [(match[0].casefold().replace("\u2019", "'"), match.span()) for match in _TOKEN.finditer(text)]


@dataclass(frozen=True)
class Words:
    """Weights of the terms that are known: tokens and pairs of neighbours.

    terms: distinct; rarity: ln((1 + n) / (1 + texts with the term)) + 1, float32 (n_terms,)

    Source:
        Salton & Buckley (1988), with the smoothing and the sublinear counts of scikit-learn's TfidfVectorizer.
    """

    terms: tuple[str, ...]
    rarity: Floats

    def features(self, texts: Sequence[str]) -> sp.csr_matrix:
        """(1 + ln count) x rarity of each term, rows of unit norm (or zero); float32 (n, n_terms)."""
        columns: list[int] = []
        values: list[float] = []
        offsets = [0]
        for text in texts:
            known = {self._column[term]: n for term, n in Counter(terms_of(text)).items() if term in self._column}
            row = (1 + np.log(np.fromiter(known.values(), np.float64, len(known)))) * self.rarity[list(known)]
            columns += known
            values += (row / max(float(np.linalg.norm(row)), 1e-12)).tolist()
            offsets.append(len(columns))
        shape = len(texts), len(self.terms)
        return sp.csr_matrix((np.array(values, np.float32), np.array(columns, np.int32), np.array(offsets, np.int64)), shape)

    @cached_property
    def _column(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}


def fit_words(texts: Sequence[str]) -> Words:
    """The MAX_WORDS terms of most texts, at least MIN_TEXTS each."""
    counts = Counter(term for text in texts for term in set(terms_of(text)))
    common = sorted((term for term, n in counts.items() if n >= MIN_TEXTS), key=lambda term: (-counts[term], term))[:MAX_WORDS]
    with_term = np.array([counts[term] for term in common], np.float64)
    return Words(tuple(common), (np.log((1 + len(texts)) / (1 + with_term)) + 1).astype(np.float32))


def terms_of(text: str) -> list[str]:
    """Tokens and pairs of neighbouring tokens, without those of personal data: what is learnt is stored in plain words."""
    runs = [[token for token in tokens(piece) if not _is_long_number(token)] for piece in public_pieces(text)]
    return [*(token for run in runs for token in run), *(f"{left} {right}" for run in runs for left, right in pairwise(run))]


def public_pieces(text: str) -> list[str]:
    """What stands before, between and after the personal data that a `Masker` finds, and before and after whatever has an @ in it."""
    if not _MAY_BE_PRIVATE.search(text):
        return [text]
    spans = [(finding.start, finding.end) for finding in _MASKER.find(text)]
    spans = sorted([*spans, *(match.span() for match in _ADDRESS.finditer(text))])
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start]] if start > at else []
        at = max(at, end)
    return [*pieces, text[at:]]


def _is_long_number(token: str) -> bool:
    return len(token) >= MANY_DIGITS and sum(letter.isdigit() for letter in token) >= MANY_DIGITS

"""Names for segments: of the terms that set each of them apart, or by whoever reads the evidence and keeps to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentation.describe import Statement
from segmentation.purchases import Floats

BY_TERMS = "(by terms)"
N_TERMS, MAX_TERMS = 2, 4
MIN_EFFECT, MIN_SUPPORT = 0.25, 0.3
HABITS = {
    "orders a month": ("rare orders", "frequent orders", 1.25),
    "order value": ("small orders", "large orders", 1.2),
    "price level": ("cheaper choices", "dearer choices", 1.07),
}
"""Words for less and for more than everybody of a statistic, and how many times it must differ to be worth a word."""
MAX_NAME, MAX_SENTENCE = 40, 240
"""Characters of a name and of a sentence that somebody else wrote."""

Namer: TypeAlias = Callable[[str], str]
"""From the evidence for one segment, as text, to a name on the first line and, if wanted, one sentence on the second."""

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[^\W\d_{_UNSPACED}]{{3,}}|[{_UNSPACED}]{{2,}}")


def distinguishing_terms(
    columns: Floats, has: NDArray[np.bool_], segments: NDArray[np.int16], n_segments: int, terms: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """At most MAX_TERMS terms per segment, the most telling first.

    A term counts where at least MIN_SUPPORT of the segment's customers have it. Its weight is the segment's mean above that of all
    customers, in standard deviations of all customers, and must be at least MIN_EFFECT. Terms of which no other segment has more come
    before the rest, whatever their weight, for they tell segments apart. Ties go to the earlier term.

    Args:
        columns: one column per term, shape (n_customers, n_terms)
        has: which customers have the term at all; same shape
        segments: segment of each customer, shape (n_customers,)
    """
    deviation = columns.std(axis=0)
    standard = np.divide(columns - columns.mean(axis=0), deviation, out=np.zeros_like(columns), where=deviation > 1e-9)
    effects, supports = np.zeros((n_segments, len(terms))), np.zeros((n_segments, len(terms)))
    for segment in np.unique(segments):
        members = segments == segment
        effects[segment], supports[segment] = standard[members].mean(axis=0), has[members].mean(axis=0)
    effects = np.where((supports >= MIN_SUPPORT) & (effects >= MIN_EFFECT), effects, -np.inf)
    leads = effects == effects.max(axis=0, initial=-np.inf)
    order = np.lexsort((-effects, ~leads), axis=1)[:, :MAX_TERMS]
    return tuple(tuple(terms[term] for term in best if effects[row, term] > 0) for row, best in enumerate(order))


def names_from_terms(terms_of_segments: Sequence[Sequence[str]], habits: Sequence[str] = ()) -> tuple[str, ...]:
    """A readable name for each segment, all different; says in brackets how it was made.

    N_TERMS terms, more where two segments would share a name, a number where that does not help; then the habit. "Mixed" has no telling
    term.

    Args:
        habits: of each segment, in a word or two, "" = none that sets it apart; empty = of none
    """
    names: list[str] = []
    for terms, habit in zip(terms_of_segments, habits or [""] * len(terms_of_segments), strict=True):
        lengths = range(N_TERMS, max(len(terms), N_TERMS) + 1)
        plain = [", ".join(map(_readable, terms[:length])) or "Mixed" for length in lengths]
        numbered = [f"{plain[-1]} {number}" for number in range(2, len(names) + 2)]
        ending = f"; {habit} {BY_TERMS}" if habit else f" {BY_TERMS}"
        names.append(next(name for text in plain + numbered if (name := f"{text}{ending}") not in names))
    return tuple(names)


def telling_habit(statements: Sequence[Statement]) -> str:
    """The habit that sets a segment apart most, in the words of HABITS; "" = none does."""
    found = {}
    for statement in statements:
        if statement.statistic in HABITS and min(statement.value, statement.everybody) > 0:
            less, more, factor = HABITS[statement.statistic]
            lead = math.log(statement.value / statement.everybody) / math.log(factor)
            found[more if lead > 0 else less] = abs(lead)
    habit = max(found, key=lambda words: found[words], default="")
    return habit if habit and found[habit] >= 1 else ""


def written_name(namer: Namer, evidence: str, words_of: Sequence[str], taken: Sequence[str]) -> tuple[str, str] | None:
    """A name and a sentence ("" = none) by a writer who read the evidence; None = refused, and the terms must do.

    A name is refused that is empty, longer than MAX_NAME, equal to one taken (letter case aside) or without a word of `words_of`; a
    sentence that is longer than MAX_SENTENCE, has no such word, or states a number that the evidence does not.

    Args:
        words_of: the texts of the evidence that a name may speak of: items, topics, phrases
    """
    lines = [line.strip() for line in namer(evidence).strip().splitlines() if line.strip()]
    name = lines[0].strip(" \"'*#") if lines else ""
    known = _words(" ".join(words_of))
    if not 0 < len(name) <= MAX_NAME or name.casefold() in {other.casefold() for other in taken} or not _speaks_of(name, known):
        return None
    sentence = lines[1] if len(lines) > 1 else ""
    numbers = set(re.findall(r"\d+(?:[.,]\d+)*", sentence))
    if len(sentence) > MAX_SENTENCE or not _speaks_of(sentence, known) or not numbers <= set(re.findall(r"\d+(?:[.,]\d+)*", evidence)):
        sentence = ""
    return name, sentence


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)} - {"and", "for", "the", "with"}


def _speaks_of(text: str, known: set[str]) -> bool:
    """Whether a word of the text is a known one, or begins like it (plurals), or stands within it where words are not spaced."""
    return any(word[:5] == other[:5] or (other in word and word[0] > "\u3000") for word in _words(text) for other in known)


def _readable(term: str) -> str:
    return term.capitalize() if term.isupper() else term

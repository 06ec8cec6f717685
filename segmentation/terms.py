"""Words that texts speak of, found without a language model: nouns, by the company they keep.

A word, or two that go together, is taken for a noun where it often stands behind a word that announces one ("the delivery", "good quality")
or before one that follows one ("the price is"), and mostly ends what it belongs to. Where words are not spaced, strings of characters that
recur stand for words: those that hold together, are free at both ends, and are often followed by what a Chinese predicate begins with.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segmentation.entities import Gazetteer
from segmentation.words import EMPTY_WORDS, UNSPACED, tokens

MIN_FRAMED, MIN_FRAMED_UNSPACED = 0.3, 0.2
"""Share of a word's occurrences that stand as a noun's would."""
MIN_LAST = 0.5
"""Share of a word's occurrences before a word that says nothing by itself, or before none: "next" and "monthly" stand before others."""
MOST_OWNED = 0.5
"""Share of a noun's occurrences behind "my", "her" and the like, beyond which it is somebody and not something ("my sister")."""
SOLD = 0.2
"""A word that so great a share of titles has, against the share of texts, names what is sold, not how it is."""
MIN_TOGETHER = 0.3
"""Two words are one term where so many occurrences of the rarer one are of both."""
MAX_UNSPACED, MIN_FREEDOM = 4, 1.0
"""Characters of a word, at most, and nats of entropy that its neighbours have on either side."""
MIN_COHESION = 10.0
"""Times that the characters of a word stand together more often than by chance, however the word is cut in two."""

_ANNOUNCING = """
    the its their this these that those my your our his her no any with great good bad poor nice excellent terrible awful amazing
    fast slow quick high low cheap decent perfect horrible
"""
_OWNING = "my his her our your"
_FOLLOWING = "is was are were isn't wasn't aren't weren't could looks look seems feels smells tastes arrived came"
_LOOSE = "and for of"
"""Announce two words only: a verb or an adverb alone stands behind them as well ("and ended")."""
_BEFORE, _AFTER, _OWNERS, _BEFORE_TWO = (frozenset(words.split()) for words in (_ANNOUNCING, _FOLLOWING, _OWNING, _LOOSE))
_TIMES_AND_ADVERBS = """
    january february march april june july august september october november december monday tuesday wednesday thursday friday saturday
    sunday mondays tuesdays wednesdays thursdays fridays saturdays sundays today tonight tomorrow yesterday morning mornings evening
    evenings afternoon night weekend weekends holiday holidays christmas easter spring summer autumn winter
    ago almost already although altogether anyway apart around aside away besides else elsewhere far forever hence instead maybe
    meanwhile nevertheless otherwise perhaps regardless somewhat soon straight together unless whether yesterday doubt regret regrets
"""
_NO_NOUNS = frozenset(_TIMES_AND_ADVERBS.split())
"""What is announced like a noun and names nothing a customer could praise or complain of, beside EMPTY_WORDS."""
_LY = """
    ally anomaly assembly belly bully butterfly doily dolly family firefly fly folly holly homily italy jelly lily monopoly panoply ply
    potbelly rally reply subassembly supply tally underbelly
"""
_NOUNS_IN_LY = frozenset(_LY.split())
MIN_ADVERB = 5
"""Letters of a word in -ly from which it is an adverb or an adjective, and no noun, unless it is one of the few."""
_PREDICATE = frozenset("很太不非挺真也还比有超特蛮好差快慢贵没都一够更最")
_EMPTY_CHARACTERS = frozenset(
    "的了是我你他她它们这那个也都就和在有没不很太还到给把被让啊吧呢吗哦呀着过又再上下里来去说要会能可以为什么而且但与及或等于之其从对"
)
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Term:
    """A word or two, as `tokens` gives them, and how many texts have it."""

    run: tuple[str, ...]
    n_texts: int

    @property
    def wording(self) -> str:
        """As a person would write it."""
        return ("" if _IS_UNSPACED.match(self.run[0]) else " ").join(self.run)


def find_terms(texts: Sequence[Sequence[str]], min_texts: int, gazetteer: Gazetteer | None = None) -> list[Term]:
    """Nouns that at least `min_texts` of the texts have, those of most texts first; without names of brands and of what is sold.

    texts: each as its clauses
    """
    read = [[tokens(clause) for clause in clauses] for clauses in texts]
    found = [
        *_spaced(read, min_texts),
        *_unspaced([[string for words in clauses for string in _strings(words)] for clauses in read], min_texts),
    ]
    if gazetteer is not None:
        found = [term for term in found if gazetteer.title_share(term.run) < SOLD * term.n_texts / len(texts)]
    return sorted(found, key=lambda term: (-term.n_texts, term.run))


class _Counts:
    """Of runs of one word or two: how often they occur, in how many texts, and how."""

    def __init__(self, texts: Sequence[Sequence[Sequence[str]]]) -> None:
        self.n, self.texts, self.framed, self.last, self.owned = (Counter[tuple[str, ...]]() for _ in range(5))
        for clauses in texts:
            seen = set()
            for words in clauses:
                for run, before, after in _short_runs(words):
                    seen.add(run)
                    self.n[run] += 1
                    self.framed[run] += before in _BEFORE or after in _AFTER or (len(run) == 2 and before in _BEFORE_TWO)
                    self.last[run] += not after or after in EMPTY_WORDS or after in _AFTER
                    self.owned[run] += before in _OWNERS
            self.texts.update(seen)

    def is_noun(self, run: tuple[str, ...]) -> bool:
        n = self.n[run]
        if run[-1] in _AFTER:  # "parcel came"
            return False
        return self.framed[run] >= MIN_FRAMED * n and self.last[run] >= MIN_LAST * n and self.owned[run] <= MOST_OWNED * n


def _spaced(texts: Sequence[Sequence[Sequence[str]]], min_texts: int) -> list[Term]:
    counts = _Counts(texts)
    nouns = [run for run, n in counts.texts.items() if n >= min_texts and counts.is_noun(run)]
    pairs = [run for run in nouns if len(run) == 2 and counts.n[run] >= MIN_TOGETHER * min(counts.n[(word,)] for word in run)]
    inside = Counter[str]()
    for pair in pairs:
        inside.update(dict.fromkeys(pair, counts.n[pair]))
    alone = [run for run in nouns if len(run) == 1 and inside[run[0]] < 0.5 * counts.n[run]]
    return [Term(run, counts.texts[run]) for run in (*pairs, *alone)]


def _short_runs(words: Sequence[str]) -> Iterable[tuple[tuple[str, ...], str, str]]:
    """One word or two that say something, with the word before and the word after; "" at the edges."""
    edged = ["", *words, ""]
    for at in range(1, len(edged) - 1):
        if _says_something(edged[at]):
            yield (edged[at],), edged[at - 1], edged[at + 1]
            if _says_something(edged[at + 1]):
                yield (edged[at], edged[at + 1]), edged[at - 1], edged[at + 2]


def _says_something(word: str) -> bool:
    if len(word) <= 2 or not word.isalpha() or word in EMPTY_WORDS or word in _NO_NOUNS or _IS_UNSPACED.match(word):
        return False
    return not word.endswith("ly") or len(word) < MIN_ADVERB or word in _NOUNS_IN_LY


def _strings(words: Sequence[str]) -> list[str]:
    """The unbroken strings of characters that need no spaces."""
    marked = "".join(word if _IS_UNSPACED.match(word) else " " for word in words)
    return marked.split()


def _unspaced(texts: Sequence[Sequence[str]], min_texts: int) -> list[Term]:
    counts, with_gram = Counter[str](), Counter[str]()
    left: defaultdict[str, Counter[str]] = defaultdict(Counter)
    right: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for strings in texts:
        seen = set()
        for string in strings:
            for gram, before, after in _grams(string):
                counts[gram] += 1
                left[gram][before] += 1
                right[gram][after] += 1
                seen.add(gram)
        with_gram.update(seen)
    total = sum(n for gram, n in counts.items() if len(gram) == 1)
    found = [
        gram
        for gram, n in with_gram.items()
        if n >= min_texts
        and len(gram) > 1
        and not set(gram) & _EMPTY_CHARACTERS
        and _coheres(gram, counts, total)
        and min(_entropy(left[gram]), _entropy(right[gram])) >= MIN_FREEDOM
        and sum(right[gram][letter] for letter in _PREDICATE) >= MIN_FRAMED_UNSPACED * counts[gram]
    ]
    return [Term(tuple(gram), with_gram[gram]) for gram in found]


def _grams(string: str) -> Iterable[tuple[str, str, str]]:
    """Every string of at most MAX_UNSPACED characters, with its neighbours; the edge of the string is one that is always new."""
    for start in range(len(string)):
        for end in range(start + 1, min(start + MAX_UNSPACED, len(string)) + 1):
            yield string[start:end], string[start - 1] if start else "", string[end] if end < len(string) else ""


def _coheres(gram: str, counts: Counter[str], total: int) -> bool:
    by_chance = max(counts[gram[:cut]] * counts[gram[cut:]] for cut in range(1, len(gram))) / max(total, 1)
    return counts[gram] >= MIN_COHESION * by_chance


def _entropy(neighbours: Counter[str]) -> float:
    """Nats; every edge of a string counts as a neighbour of its own."""
    edges = neighbours.get("", 0)
    n = sum(neighbours.values())
    inner = -sum(k / n * math.log(k / n) for letter, k in neighbours.items() if letter)
    return inner + edges / n * math.log(n)

"""Reviews with planted sentiment, aspects and needs, in English and Chinese, written from the grammars in ``lexicon/reviews_*.toml``."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from recsys.synthetic.grammar import Grammar, compile_rules, expand
from recsys.synthetic.lexicon import NEEDS, read_toml

Language: TypeAlias = Literal["en", "zh"]

ASPECTS = ("quality", "price", "delivery", "fit", "design", "service")
"""What a review can judge beside the whole; a text names no aspect that its facts do not have."""

MIN_STARS, MAX_STARS = 1, 5

_CHINESE_MARKS = {".": "\N{IDEOGRAPHIC FULL STOP}", "!": "\N{FULLWIDTH EXCLAMATION MARK}"}
_QUESTION_MARKS = ("?", "\N{FULLWIDTH QUESTION MARK}")
_SIGNS = {1: "pos", 0: "mixed", -1: "neg"}
_ORDERS = (
    ("opener", "opinion", "told", "situation", "hearsay", "remark"),
    ("opener", "told", "hearsay", "opinion", "situation"),
    ("hearsay", "opener", "told", "situation", "opinion"),
    ("opinion", "opener", "told", "hearsay", "closer"),
    ("opener", "situation", "told", "hearsay", "compare", "remark", "opinion"),
    ("opinion", "told", "hearsay", "opener", "compare"),
    ("opener", "compare", "told", "opinion", "hearsay"),
    ("situation", "opener", "told", "opinion", "remark"),
    ("told", "opinion", "opener", "situation", "closer"),
)
"""Orders of a review's sentences; "told" is what it says of aspects and needs. Each has an opinion and the opener, the richest rule."""

_SIGNED = ("compare", "closer")


@dataclass(frozen=True)
class AspectOpinion:
    """What somebody thinks of one aspect: one of ASPECTS, and 1 for praise or -1 for blame."""

    aspect: str
    polarity: int

    def __post_init__(self) -> None:
        if self.aspect not in ASPECTS or self.polarity not in (-1, 1):
            raise ValueError(f"an aspect is one of {', '.join(ASPECTS)} and a polarity 1 or -1, got {self}")


@dataclass(frozen=True)
class ReviewFacts:
    """What a review says.

    noun:      of the item's type, in the language of the review
    sentiment: of the whole: 1 for praise, 0 for neither, -1 for blame
    aspects:   each at most once; they may go against the sentiment
    need:      one of NEEDS; None = none is told
    stars:     1 to 5; 1 and 5 choose stronger words than 2 and 4
    """

    noun: str
    brand: str
    language: Language
    sentiment: int
    aspects: tuple[AspectOpinion, ...]
    need: str | None
    stars: int

    def __post_init__(self) -> None:
        if self.language not in ("en", "zh"):
            raise ValueError(f"reviews are written in en or zh, not in {self.language!r}")
        if self.sentiment not in _SIGNS:
            raise ValueError(f"sentiment must be -1, 0 or 1, got {self.sentiment}")
        if len({opinion.aspect for opinion in self.aspects}) < len(self.aspects):
            raise ValueError(f"an aspect is judged twice: {', '.join(opinion.aspect for opinion in self.aspects)}")
        if self.need is not None and self.need not in NEEDS:
            raise ValueError(f"need must be one of {', '.join(NEEDS)}, got {self.need!r}")
        if not MIN_STARS <= self.stars <= MAX_STARS:
            raise ValueError(f"stars must be from {MIN_STARS} to {MAX_STARS}, got {self.stars}")


def write_review(facts: ReviewFacts, rng: random.Random) -> tuple[str, str]:
    """Headline and text of one review: the text carries all facts, the headline in most cases the sentiment and never more."""
    writer = _Writer(facts, rng)
    headline = finished(writer.say(f"headline_{writer.sign}"), facts.language, mark="")
    sentences = [sentence for part in rng.choice(_ORDERS) for sentence in writer.part(part)]
    return headline, joined(sentences, facts.language)


def finished(clause: str, language: Language, mark: str) -> str:
    """A clause as a sentence: a capital in English, the language's form of the mark ("." or "!") unless the clause brings its own."""
    if clause.endswith(_QUESTION_MARKS):
        mark = ""
    if language == "zh":
        return clause + _CHINESE_MARKS.get(mark, mark)
    return clause[:1].upper() + clause[1:] + mark


def joined(sentences: list[str], language: Language) -> str:
    """Sentences as one text."""
    return (" " if language == "en" else "").join(sentences)


class _Writer:
    """Writes the parts of one review."""

    def __init__(self, facts: ReviewFacts, rng: random.Random) -> None:
        self.facts = facts
        self.rng = rng
        self.sign = _SIGNS[facts.sentiment]
        self.grammar = _grammar(facts.language)
        self.words = {"noun": facts.noun, "brand": facts.brand}
        self.told = list(facts.aspects)
        rng.shuffle(self.told)
        self.conceded = self._concession()

    def say(self, rule: str, **words: str) -> str:
        return expand(self.grammar, rule, {**self.words, **words} if words else self.words, self.rng)

    def part(self, name: str) -> list[str]:
        """The sentences of one part of the review."""
        if name == "told":
            return self._what_is_told()
        if name == "opinion":
            return [finished(self._opinion(), self.facts.language, self._mark())]
        rule = f"{name}_{self.sign}" if name in _SIGNED else name
        return [finished(self.say(rule), self.facts.language, ".")]

    def _concession(self) -> AspectOpinion | None:
        """An aspect that shares a sentence with the opinion it goes against ("Delivery took ages, but ..."), in half of such reviews."""
        against = [opinion for opinion in self.told if opinion.polarity != self.facts.sentiment]
        if not against or self.rng.random() < 0.5:
            return None
        self.told.remove(against[0])
        return against[0]

    def _opinion(self) -> str:
        opinion = self.say(f"opinion_{self._strength()}")
        if self.conceded is None:
            return opinion
        return self.say(f"joined_{self.sign}", opinion=opinion, clause=self._clause(self.conceded))

    def _strength(self) -> int:
        """Which set of opinions: 1 and 2 blame, 4 and 5 praise. Where the stars contradict the sentiment, the sentiment is told."""
        if self.facts.sentiment == 0:
            return 3
        is_strong = self.facts.stars in (MIN_STARS, MAX_STARS)
        return (5 if is_strong else 4) if self.facts.sentiment > 0 else (1 if is_strong else 2)

    def _mark(self) -> str:
        return "!" if self._strength() in (1, 5) and self.rng.random() < 0.25 else "."

    def _what_is_told(self) -> list[str]:
        clauses = [self._aspect(opinion) for opinion in self.told]
        if self.facts.need is not None:
            need = self.say(f"need_{self.facts.need.replace(' ', '_')}")
            clauses.insert(self.rng.randrange(len(clauses) + 1), need)
        return [finished(clause, self.facts.language, ".") for clause in clauses]

    def _aspect(self, opinion: AspectOpinion) -> str:
        is_against = opinion.polarity != self.facts.sentiment
        return self.say(f"contrast_{self.sign}" if is_against else "also", clause=self._clause(opinion))

    def _clause(self, opinion: AspectOpinion) -> str:
        return self.say(f"{opinion.aspect}_{_SIGNS[opinion.polarity]}")


@cache
def _grammar(language: Language) -> Grammar:
    return compile_rules(read_toml(f"reviews_{language}.toml"), facts=("noun", "brand", "clause", "opinion"))

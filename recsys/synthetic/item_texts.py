"""Titles and descriptions of the planted shop's items, which state the facts that tastes are made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from recsys.synthetic.lexicon import ItemType, capitalised, load_lexicon

_LINES = ("Classic", "Select", "Plus", "Original", "Essential", "Signature", "Premium", "Basic")
_OPENERS = (
    "This {noun} by {brand} {first}.",
    "{brand}'s {noun} {first}.",
    "Our {noun} from {brand} {first}.",
    "The {noun} that {first}: a favourite by {brand}.",
    "New in our range: {noun} by {brand}. It {first}.",
    "{noun_first} by {brand}: it {first}.",
)
_FOLLOWERS = ("It {0}.", "It also {0}.", "What is more, it {0}.", "On top of that it {0}.", "And it {0}.")
_PAIRS = ("It {0} and {1}.", "It {0}, and it {1}.", "Besides, it {0} and {1}.", "Not only that: it {0} and {1}.")
_CLOSERS = (
    "From our {shelf} shelf.",
    "A good choice among our {shelf} range.",
    "Made by {brand}, sold by us.",
    "See also what else {brand} makes.",
    "Part of the {department} department.",
)


def title_of(item_type: ItemType, brand: str, attributes: Sequence[str], number: int) -> str:
    """A product title: brand, attribute words, noun, and a line where needed: "Verdanel Lavender Gentle Shampoo Select 2".

    Args:
        attributes: attribute words, in the order in which they shall stand.
        number: how many items made earlier have this type, brand and attributes; 0 adds nothing, each other number its own line.
    """
    words = [brand, *map(capitalised, attributes), item_type.name]
    if number > 0:
        edition, line = divmod(number - 1, len(_LINES))
        words.append(_LINES[line] if edition == 0 else f"{_LINES[line]} {edition + 1}")
    return " ".join(words)


def description_of(item_type: ItemType, brand: str, attributes: Sequence[str], rng: random.Random) -> str:
    """A description of 2 to 4 sentences that says something of each attribute, in varying order and words.

    Up to four attributes are told; ``KeyError`` for a word that no attribute group has.
    """
    clauses = _clauses()
    told = [rng.choice(clauses[word]) for word in rng.sample(list(attributes), min(4, len(attributes)))]
    first = told[0] if told else "is a staple of its shelf"
    noun = item_type.noun
    opener = rng.choice(_OPENERS).format(noun=noun, noun_first=noun[:1].upper() + noun[1:], brand=brand, first=first)
    rest = _rest(told[1:], rng)
    closer = rng.choice(_CLOSERS).format(shelf=item_type.path[1], department=item_type.path[0], brand=brand)
    is_closed = not rest or (len(rest) == 1 and rng.random() < 0.5)
    return " ".join([opener, *rest, closer] if is_closed else [opener, *rest])


def _rest(clauses: Sequence[str], rng: random.Random) -> list[str]:
    """Sentences of one clause each; two clauses may share a sentence, and the last two of three always do."""
    if len(clauses) == 3 or (len(clauses) == 2 and rng.random() < 0.6):
        alone, together = clauses[:-2], clauses[-2:]
        return [*_rest(alone, rng), rng.choice(_PAIRS).format(*together)]
    return [rng.choice(_FOLLOWERS).format(clause) for clause in clauses]


@cache
def _clauses() -> dict[str, tuple[str, ...]]:
    return load_lexicon().clauses

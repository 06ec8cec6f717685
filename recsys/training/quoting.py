"""Which clauses of reviews may be shown to others: short, whole, kind, and without a trace of who wrote them or of whom they speak.

English and Chinese. No model judges here: a clause that may not be fit is left out, for another one will do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from segmentation.words import EMPTY_WORDS, UNSPACED, placed_tokens, tokens

LENGTH, LENGTH_UNSPACED = (15, 120), (5, 60)
"""Characters of a clause."""
MAX_DIGITS = 4
"""More could be somebody's number."""
MIN_LOWER = 2
"""Times that a word is written in small letters somewhere, from which it is a word and not a name."""

_KIND = """
    accurate adore affordable amazing awesome beautiful beautifully best better bright cheap clean clear comfortable comfy compact cool
    crisp decent delicious delighted delightful durable easily easy effective elegant enjoy enjoyed enjoys excellent excellently
    exceptional fabulous fair fantastic fast favorite favourite fine fits flawless flawlessly fun gem generous gentle good gorgeous great
    greatly handy happy helpful ideal impressed impressive improved improves incredible joy lasting like liked likes love loved lovely
    loves nice nicely outstanding perfect perfectly phenomenal pleasant pleased pretty prompt quick quickly quiet reasonable recommend
    reliable rich right robust satisfied simple sleek smart smooth smoothly soft solid splendid stunning sturdy stylish super superb
    superior sweet terrific thrilled tidy top treat useful valuable versatile warm well wonderful worth
"""
KIND = frozenset(_KIND.split())
"""One of these must stand near a term in an English clause that is quoted for it."""
NEAR = 5
"""Words from the term to it, at most."""
_UNKIND = """
    although another arent awful bad barely both broke broken but cannot cant cheaply complain complained complaint complaints could dead
    didnt died disappointed disappointing disappointment doesnt dont either even except expensive fail failed fails faulty flaw flawed
    flaws flimsy hardly hate hated horrible however if isnt issue issues junk lack lacked lacking lacks less loose maybe mediocre neither
    never no nobody none nor not nothing once only other others overpriced poor poorly probably problem problems rattle regret returned
    sadly should some sometimes stiff sure terrible than though too turned uneven unfortunately unhappy unless until useless wasnt weak
    weird wish without wont worse worst would wrong yet
"""
UNKIND = frozenset(_UNKIND.split())
"""English words with which a clause may take back what it says, or speak of something else."""
_KIND_UNSPACED = re.compile("[好棒赞优美值]|喜欢|满意|不错|漂亮|舒服|精致|完美|放心|很快|推荐|实惠")
_UNKIND_UNSPACED = re.compile("不(?!错)|[没无非别差坏破烂糟比]|但是|可惜|虽然|尽管|唯一|缺点|扣分|如果|希望|好像")
_HALF = re.compile(
    r"(?:after|as|because|before|by|for|from|in|of|or|since|so|that|to|when|where|which|while|who|whose|with)\b", re.IGNORECASE
)
"""How a clause begins that is only half of what was said."""
_LINK = re.compile(r"\A(?:(?:and|also|plus|overall|again)\b[\s,]*|而且|并且|还有|另外)", re.IGNORECASE)
_UNCLEAN = re.compile(r"[][(){}<>*=_|/\\\"\u201c\u201d$\u20ac\u00a3\u00a5\uffe5\uff08\uff09~^#]|[!?.](?=[!?.\s]|[^\W\d])")
"""Marks of half a bracket or of layout, prices, which change, and an end before the end."""
_MARKS = " ,;:.-*\uff0c\uff1b\uff1a\u3002\u3001\u2013\u2014"
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")
_MYSELF = frozenset({"i", "i'm", "i've", "i'd", "i'll"})


class Quotable:
    """Judges clauses.

    clauses: all of the reviews: what nobody writes in small letters is taken for a name
    known:   what the shop itself writes: titles and brands
    """

    def __init__(self, clauses: Iterable[str], known: Iterable[str]) -> None:
        self._known = {word for text in known for word in tokens(text)}
        written = Counter(clause[start:end] for clause in clauses for _, (start, end) in placed_tokens(clause))
        self._lower = EMPTY_WORDS | {word for word, n in written.items() if n >= MIN_LOWER and word.islower()}

    def quote(self, clause: str, term: Sequence[str], customer_id: str) -> str | None:
        """The clause without what links it to others; None where it may not be shown for a term. customer_id: whoever wrote it"""
        quote = _LINK.sub("", clause.strip(_MARKS))
        is_unspaced = _IS_UNSPACED.search(quote) is not None
        low, high = LENGTH_UNSPACED if is_unspaced else LENGTH
        if not low <= len(quote) <= high or sum(map(str.isdigit, quote)) > MAX_DIGITS or _UNCLEAN.search(quote) or _HALF.match(quote):
            return None
        words = placed_tokens(quote)
        is_kind = _is_kind_unspaced(quote) if is_unspaced else _is_kind([word for word, _ in words], term)
        if not is_kind or customer_id.casefold() in quote.casefold():
            return None
        names = (self._may_be_name(quote[start:end], word, start == words[0][1][0]) for word, (start, end) in words)
        return None if any(names) else quote

    def _may_be_name(self, written: str, word: str, is_first: bool) -> bool:
        if not written[0].isupper() or word in _MYSELF or word in self._known:
            return False
        return word not in self._lower or not (is_first or written.isupper())


def _is_kind(words: Sequence[str], term: Sequence[str]) -> bool:
    if not UNKIND.isdisjoint(words) or any(word.endswith("n't") for word in words):
        return False
    places = (at for at in range(len(words)) if words[at : at + len(term)] == list(term))
    return any(not KIND.isdisjoint(words[max(at - NEAR, 0) : at + len(term) + NEAR]) for at in places)


def _is_kind_unspaced(quote: str) -> bool:
    return _KIND_UNSPACED.search(quote) is not None and _UNKIND_UNSPACED.search(quote) is None

"""Texts in pieces small enough to say one thing of one thing."""

from __future__ import annotations

import re

MAX_CLAUSES = 60
MAX_CHARACTERS = 20_000
"""Of one text; what follows is not looked at."""
MIN_LETTERS = 6
"""A shorter piece belongs to the one before it; 2 where words are not spaced."""

_TURN = r"\b(?:but|however|although|though|whereas|yet|except|unfortunately|nevertheless)\b|但是?|不过|可是|然而|虽然|唯一"
_END = re.compile(rf"(?<=[!?\u3002\uff01\uff1f;\uff1b\n])|(?<=[.,\uff0c])(?=\s|\Z)|(?<=\uff0c)|(?={_TURN})", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")


def clauses(text: str) -> list[str]:
    """The pieces of a text between marks, and before words that turn it, in English and Chinese; in order, without empty ones.

    Commas part clauses too: who says "too dear, but well made" says two things. A piece too short to say anything joins its left neighbour.
    """
    found: list[str] = []
    for piece in _END.split(text[:MAX_CHARACTERS]):
        letters = _LETTER.findall(piece)
        least = 2 if any(letter > "\u3000" for letter in letters) else MIN_LETTERS
        if found and len(letters) < least:
            found[-1] += piece
        elif letters:
            found.append(piece)
        if len(found) == MAX_CLAUSES:
            break
    return [piece.strip() for piece in found]

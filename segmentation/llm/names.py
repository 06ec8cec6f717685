"""Finds known people in a text, in time that does not grow with how many are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from segmentation.llm.patterns import Span, folded

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"(?:(?![{_UNSPACED}])[^\W\d_])+")
_GAP = re.compile(r"[\s.'\u2019-]{1,3}")
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")


class Names:
    """A list of names to look for.

    One of several words is found in any case, also with a hyphen or point between them; one of a single word only as it is written,
    since many are also words (Rose, Will); one in Chinese, Japanese or Korean letters anywhere, if it has two at least.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spaced: dict[str, set[tuple[str, ...]]] = {}
        self._unspaced: dict[str, set[str]] = {}
        for name in (folded(name).strip() for name in names):
            words = tuple(_WORD.findall(name))
            if re.match(f"[{_UNSPACED}]{{2}}", name):
                self._unspaced.setdefault(name[0], set()).add(name)
            elif len(words) == 1:
                self._spaced.setdefault(words[0], set()).add(words)
            elif words:
                key = tuple(word.casefold() for word in words)
                self._spaced.setdefault(key[0], set()).add(key)

    def find(self, text: str) -> list[Span]:
        """Where names stand in a folded text; the longest where several start at one place; none overlap."""
        if not self._spaced and not self._unspaced:
            return []
        found = [*self._find_unspaced(text), *self._find_spaced(text)]
        chosen: list[Span] = []
        for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
            if not chosen or start >= chosen[-1][1]:
                chosen.append((start, end))
        return chosen

    def _find_unspaced(self, text: str) -> Iterable[Span]:
        for start, letter in enumerate(text):
            for name in self._unspaced.get(letter, ()):
                if text.startswith(name, start):
                    yield start, start + len(name)

    def _find_spaced(self, text: str) -> Iterable[Span]:
        ours = [match.span() for match in _PLACEHOLDER.finditer(text)]
        words = [match for match in _WORD.finditer(text) if (match.start() - 1, match.end() + 1) not in ours]
        for at, first in enumerate(words):
            for key in self._spaced.get(first[0], set()) | self._spaced.get(first[0].casefold(), set()):
                here = words[at : at + len(key)]
                written = tuple(word[0] if len(key) == 1 else word[0].casefold() for word in here)
                gaps = pairwise(here)
                if written == key and all(_GAP.fullmatch(text, left.end(), right.start()) for left, right in gaps):
                    yield first.start(), here[-1].end()

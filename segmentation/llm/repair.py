"""From what a model wrote to the label it meant, or to none: never a guess."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

_FENCE = re.compile(r"\A\s*```[\w-]*\s*\n?(.*?)\s*```\s*\Z", re.DOTALL)
_LEAD = re.compile(r"\A(?:the )?(?:answer|label|答案|标签)(?: is)?\s*[:=]?\s*", re.IGNORECASE)
MIN_PREFIX = 3
"""A shorter prefix means nothing, except in scripts where one sign is a word."""


def unwrapped(text: str) -> Any:
    """The JSON in an answer, also inside a Markdown fence; None where there is none."""
    fence = _FENCE.match(text)
    try:
        return json.loads(fence[1] if fence else text)
    except (ValueError, RecursionError):
        return None


def label_of(answer: str, choices: Sequence[str]) -> str | None:
    """The one choice that the answer means; None = none, or it could mean several.

    Beyond the choice itself these are understood: other case, width or edges (spaces, quotes, punctuation), a leading "Answer:", JSON
    with one value, in a fence or not, a first line that is a choice, and the beginning of one choice only (MIN_PREFIX letters at least).
    A choice somewhere inside a sentence is not: it may be denied there.
    """
    if answer in choices:
        return answer
    value = unwrapped(answer)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if value is not None and not isinstance(value, str):
        value = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        return _match(value, choices) if value is not None else None
    text = value if isinstance(value, str) else answer
    lines = text.strip().splitlines()
    return _match(text, choices) or (_match(lines[0], choices) if lines else None)


def _match(text: str, choices: Sequence[str]) -> str | None:
    said = _folded(text)
    folded = {choice: _folded(choice) for choice in choices}
    for candidate in (said, _folded(_LEAD.sub("", said))):
        equal = [choice for choice in choices if folded[choice] == candidate]
        if len(equal) == 1:
            return equal[0]
        begun = [choice for choice in choices if candidate and folded[choice].startswith(candidate)]
        if len(begun) == 1 and (len(candidate) >= MIN_PREFIX or not candidate.isascii()):
            return begun[0]
    return None


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    inside = [at for at, letter in enumerate(plain) if letter != "`" and unicodedata.category(letter)[0] not in "PZC"]
    return plain[inside[0] : inside[-1] + 1] if inside else ""

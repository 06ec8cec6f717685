"""What is asked of a language model, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from segmentation.llm.usage import Usage

UNREACHABLE = "unreachable"
"""No answer after all attempts, or the endpoint was given up."""
TOO_LONG = "too_long"
"""The text does not fit into what the model reads at once."""
REJECTED = "rejected"
"""The endpoint refuses this one request, and would again."""
DENIED = "denied"
"""The endpoint refuses us: the key, the account, the model's name."""

Progress: TypeAlias = Callable[[int, int, str], None]
"""Told how many are done, of how many, and of what."""


@dataclass(frozen=True)
class Prompt:
    """One question. Trusted and untrusted words stay apart until a backend renders them.

    instruction: ours: what is asked, and in what form the answer is wanted
    text:        whatever a customer wrote; no backend lets it act as anything but material
    examples:    texts with the answers they should get, ours as well
    """

    instruction: str
    text: str
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back for one prompt.

    text:       the answer; for `choose` one of the choices wherever the backend could make sure of it; "" where it failed
    confidence: probability that the model gives this answer among the choices, in [0, 1]; NaN = it does not say
    failure:    why there is no answer: UNREACHABLE, TOO_LONG, REJECTED or DENIED; "" = there is one
    detail:     the failure in words, for a person
    """

    text: str = ""
    confidence: float = math.nan
    failure: str = ""
    detail: str = ""
    usage: Usage = field(default_factory=Usage)


Answers: TypeAlias = Generator[tuple[int, Answer], None, None]
"""Each prompt's number with its answer, once each, as they come: what was said is not lost when the rest never comes."""


class LanguageModel(Protocol):
    """Answers prompts. What goes wrong with one prompt is in its answer; nothing is raised for it."""

    @property
    def model(self) -> str:
        """Names the model so exactly that equal ids may share answers; without secrets."""
        ...

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        """One of the choices for each prompt."""
        ...

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        """Free text for each prompt, of at most `max_tokens`; JSON by the schema where one is given and the model knows how."""
        ...

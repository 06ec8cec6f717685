"""Declared questions over texts: every text gets one of the declared labels, or none with the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.llm.asking import REASONS, Parsed, Task, ask
from segmentation.llm.cache import LabelCache
from segmentation.llm.commands import without_commands, without_names
from segmentation.llm.language_model import LanguageModel, Progress, Prompt
from segmentation.llm.rendering import VERSION
from segmentation.llm.repair import label_of
from segmentation.llm.usage import Usage

MAX_CHOICES = 127


@dataclass(frozen=True)
class Question:
    """What to ask about each text.

    name:        for people, for example "sentiment"
    instruction: what to decide, in words; the choices and the form of the answer are added
    choices:     the labels, two at least, different also in small letters
    version:     change it to have everything asked anew, although the words stay
    examples:    texts with their labels, shown before each text; a small model needs some, in as many languages as it will read
    hide_choices: take the names of the choices out of the texts: a small model repeats a label that it has just read, so any text that
        names one decides its own label. Not for choices that are what texts are about (delivery, price)
    """

    name: str
    instruction: str
    choices: tuple[str, ...]
    version: str = "1"
    examples: tuple[tuple[str, str], ...] = ()
    hide_choices: bool = False

    def __post_init__(self) -> None:
        if not 2 <= len(self.choices) <= MAX_CHOICES or len({choice.casefold().strip() for choice in self.choices}) < len(self.choices):
            raise ValueError(f"question {self.name!r} needs 2 to {MAX_CHOICES} different choices, got {self.choices}")
        if unusable := [choice for choice in self.choices if not choice or label_of(choice, self.choices) != choice or "\n" in choice]:
            raise ValueError(f"question {self.name!r} has choices that no answer can name: {unusable}")
        if unknown := [label for _, label in self.examples if label not in self.choices]:
            raise ValueError(f"question {self.name!r} has examples with labels that are no choices: {unknown}")

    @property
    def prompt_version(self) -> str:
        """A hash of everything that the model is told beside the text."""
        return hashlib.sha256(json.dumps([VERSION, "label", asdict(self)]).encode()).hexdigest()

    def prompt(self, text: str) -> Prompt:
        """The question about one text, without the commands that the text gives (`without_commands`)."""
        instruction = f"{self.instruction}\nAnswer with exactly one of these labels and nothing else: {self._listed}."
        shown = without_commands(text, self.choices)
        return Prompt(instruction, without_names(shown, self.choices) if self.hide_choices else shown, self.examples)

    @property
    def reminder(self) -> str:
        """What is added when a first answer was none of the choices."""
        return f"Your last answer was not one of the labels. Write one of them and not a word more: {self._listed}."

    @property
    def _listed(self) -> str:
        return ", ".join(self.choices)


@dataclass(frozen=True)
class Labels:
    """Parallel arrays of length n_texts, and what they took.

    choices:    names of the labels
    label:      rows of choices, -1 = none; int8
    confidence: probability that the model gives its label among the choices, in [0, 1], not calibrated against truth; NaN = no label, or
                the model did not say; float32
    reason:     rows of `asking.REASONS`, 0 = has a label; int8
    """

    choices: tuple[str, ...]
    label: NDArray[np.int8]
    confidence: NDArray[np.float32]
    reason: NDArray[np.int8]
    usage: Usage

    def __post_init__(self) -> None:
        lengths = len(self.label), len(self.confidence), len(self.reason)
        if len(set(lengths)) > 1:
            raise ValueError(f"label, confidence and reason differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.label)

    @property
    def unlabelled(self) -> dict[str, int]:
        """How many texts have no label, by reason; only reasons that occur."""
        counts = np.bincount(self.reason, minlength=len(REASONS))
        return {reason: int(n) for reason, n in zip(REASONS[1:], counts[1:], strict=True) if n}


def label_texts(model: LanguageModel, question: Question, texts: Sequence[str], cache: LabelCache, *, progress: Progress) -> Labels:
    """Label every text by the question; see `asking.ask` for what is kept, repeated and counted.

    What a text says cannot add a label: whatever the model writes, only declared choices come out. It may still move a weak model from
    one declared label to another.

    Raises:
        LanguageModelError: there were texts to label, and not one could be.
        SegmentationError: the cache cannot be used.
    """

    def parse(answer: str) -> Parsed[int] | None:
        choice = label_of(answer, question.choices)
        return None if choice is None else Parsed(question.choices.index(choice), repaired=choice != answer)

    task = Task(
        f"labelling {question.name}",
        question.prompt_version,
        model.model,
        question.prompt,
        question.reminder,
        lambda prompts: model.choose(prompts, question.choices),
        parse,
    )
    outcomes, usage = ask(task, texts, cache, progress)
    return Labels(
        question.choices,
        np.array([-1 if outcome.value is None else outcome.value for outcome in outcomes], np.int8),
        np.array([outcome.confidence for outcome in outcomes], np.float32),
        np.array([REASONS.index(outcome.reason) for outcome in outcomes], np.int8),
        usage,
    )

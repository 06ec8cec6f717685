"""Names for segments, written by a language model that reads the evidence.

What it writes is a proposal: `segmentation.naming.written_name` refuses what the evidence does not back. The evidence is masked first, for
phrases of customers are in it, and a name is for everybody to read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from segmentation.errors import LanguageModelError
from segmentation.llm.asking import Parsed, Task, ask
from segmentation.llm.cache import LabelCache
from segmentation.llm.language_model import DENIED, UNREACHABLE, Answers, LanguageModel, Progress, Prompt
from segmentation.llm.masking import Masker
from segmentation.llm.rendering import VERSION
from segmentation.llm.usage import Usage
from segmentation.naming import MAX_NAME, MAX_SENTENCE

INSTRUCTION = (
    "A shop has grouped its customers. Below is what sets one group apart. "
    f"On the first line write a name for the group: two to four words, at most {MAX_NAME} letters, made of what it buys or writes of, "
    "in the language of these. "
    f"On the second line write one sentence about the group: at most {MAX_SENTENCE // 2} letters, what is stated below and nothing else. "
    "No other lines."
)
REMINDER = f"Your last answer was not a name on the first line, of at most {MAX_NAME} letters, and a sentence on the second."
MAX_TOKENS = 120
_LEAD = re.compile(r"\A\W*(?:(?:group |segment )?(?:name|sentence|description)\s*[:\uff1a])?\s*", re.IGNORECASE)
_NO_TEXT = re.compile(r"[<>\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
"""Marks of tags and control characters: what has one is no name."""
_AWAY = (UNREACHABLE, DENIED)


class WrittenNames:
    """A `segmentation.naming.Namer`: asks a language model, each evidence once for all runs that share the cache.

    usage:  what it took so far; failed: evidences without an answer because the model could not be asked, by the reason in words.
    Once the model was out of reach, the segments after it are not tried any more.
    """

    def __init__(self, model: LanguageModel, cache: LabelCache, masker: Masker, progress: Progress) -> None:
        self._model, self._cache, self._masker, self._progress = model, cache, masker, progress
        self._given_up = ""
        self.usage = Usage()
        self.failed: Counter[str] = Counter()

    def facts(self) -> dict[str, Any]:
        """For a manifest: what it took, and how often the model could not be asked; names that were refused are no failures."""
        return {"usage": asdict(self.usage), "failed": dict(self.failed)}

    def __call__(self, evidence: str) -> str:
        """Name and sentence on two lines; empty where the model gave none, or was out of reach."""
        if self._given_up:
            self.failed[self._given_up] += 1
            return ""
        masked = self._masker.mask(evidence)
        self.usage += Usage(masked=masked.n)
        noted = _Noted(self._model)
        try:
            (outcome,), usage = ask(_task(noted), [masked.text], self._cache, self._progress)
        except LanguageModelError as error:
            if noted.failure:
                self.failed[str(error)] += 1
            if noted.failure in _AWAY:
                self._given_up = str(error)
            self.usage += replace(noted.usage, failed=int(bool(noted.failure)), refused=int(not noted.failure))
            return ""
        self.usage += usage
        return outcome.value or ""


class _Noted:
    """A model that remembers what its answers took and why the last one failed: `ask` raises where its only text has no answer."""

    def __init__(self, model: LanguageModel) -> None:
        self._of = model
        self.usage, self.failure = Usage(), ""

    @property
    def model(self) -> str:
        return self._of.model

    def write(self, prompts: list[Prompt]) -> Answers:
        for number, answer in self._of.write(prompts, MAX_TOKENS):
            self.usage += answer.usage
            self.failure = answer.failure
            yield number, answer


def _task(model: _Noted) -> Task[str]:
    told: list[Any] = [VERSION, "name", INSTRUCTION, REMINDER, MAX_TOKENS]
    return Task(
        "naming segments",
        hashlib.sha256(json.dumps(told).encode()).hexdigest(),
        model.model,
        lambda text: Prompt(INSTRUCTION, text),
        REMINDER,
        lambda prompts: model.write(list(prompts)),
        parse_name,
    )


def parse_name(answer: str) -> Parsed[str] | None:
    """Name and sentence on a line each, without headings, quotes or marks around them.

    None = no name of at most MAX_NAME letters, or tags or control characters in what is written.
    """
    pairs = [(line, _LEAD.sub("", line).strip(" \"'`*#\u201c\u201d\u300c\u300d")) for line in answer.strip().split("\n")]
    used = [(line.rstrip("\r"), plain) for line, plain in pairs if plain.strip()][:2]
    if not used or len(used[0][1].strip()) > MAX_NAME or any(_NO_TEXT.search(line) for line, _ in used):
        return None
    written = "\n".join(plain.strip() for _, plain in used)
    return Parsed(written, repaired=written != answer)

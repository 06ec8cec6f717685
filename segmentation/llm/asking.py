"""Asks one thing of many texts: from the cache, from the model, a second time where the answer is not valid; nothing answered is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from segmentation.errors import LanguageModelError
from segmentation.llm.cache import Known, LabelCache, cache_key
from segmentation.llm.language_model import DENIED, REJECTED, TOO_LONG, UNREACHABLE, Answers, Progress, Prompt
from segmentation.llm.usage import Usage

EMPTY, REFUSED = "empty", "refused"
REASONS = ("", EMPTY, REFUSED, TOO_LONG, UNREACHABLE, REJECTED, DENIED)
"""Why a text has no answer; "" = it has one. Empty texts are not asked about; refused are answers that stayed invalid."""

T = TypeVar("T")


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """A valid answer. repaired: it was not quite in the form that was asked for."""

    value: T
    repaired: bool


@dataclass(frozen=True)
class Task(Generic[T]):
    """What is asked of every text.

    title:   for progress and errors
    version: changes whenever an answer could
    model:   id of the model that `send` asks
    reminder: what is added to the instruction when it is asked again
    parse:   the answer that a text means; None = not valid
    """

    title: str
    version: str
    model: str
    prompt: Callable[[str], Prompt]
    reminder: str
    send: Callable[[Sequence[Prompt]], Answers]
    parse: Callable[[str], Parsed[T] | None]


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one text. value: None with a reason; confidence: NaN where the model did not say."""

    value: T | None
    confidence: float
    reason: str


_NOTHING = float("nan")


def ask(task: Task[T], texts: Sequence[str], cache: LabelCache, progress: Progress) -> tuple[list[Outcome[T]], Usage]:
    """One outcome per text, equal texts asked once; what it took counts distinct texts.

    Answers are kept as they come, so that a run cut off at any moment goes on where it was. Failures are not kept: the next run tries
    those texts again. Invalid answers are: the same question would get the same.

    Raises:
        LanguageModelError: there was something to ask, and not one valid answer.
        SegmentationError: the cache cannot be used.
    """
    run = _Run(task, cache, progress)
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    run.round(distinct, again=False)
    run.round([text for text in distinct if text in run.invalid], again=True)
    outcomes = {text: run.outcome(text) for text in distinct}
    counts = Counter(outcome.reason for outcome in outcomes.values())
    failed = sum(counts[reason] for reason in (TOO_LONG, UNREACHABLE, REJECTED, DENIED))
    usage = replace(run.usage, refused=counts[REFUSED], failed=failed)
    _check_any(task, counts, run, usage)
    nothing: Outcome[T] = Outcome(None, _NOTHING, EMPTY)
    return [outcomes.get(text, nothing) for text in texts], usage


class _Run(Generic[T]):
    def __init__(self, task: Task[T], cache: LabelCache, progress: Progress) -> None:
        self._task, self._cache, self._progress = task, cache, progress
        self._valid: dict[str, Outcome[T]] = {}
        self._failures: dict[str, str] = {}
        self.invalid: dict[str, str] = {}
        self.detail = ""
        self.usage = Usage()

    def round(self, texts: Sequence[str], *, again: bool) -> None:
        """Answers for these texts; those that were invalid before get a reminder and have another place in the cache."""
        if not texts:
            return
        version = f"{self._task.version}/again" if again else self._task.version
        keys = {text: cache_key(self._task.model, version, text) for text in texts}
        known = self._cache.known(keys.values())
        missing = [text for text in texts if keys[text] not in known]
        self.usage += Usage(cached=len(known), repeated=len(missing) if again else 0)
        for text in texts:
            if keys[text] in known:
                self._take(text, known[keys[text]])
        self._ask(missing, keys, again)

    def _ask(self, texts: Sequence[str], keys: dict[str, str], again: bool) -> None:
        what = f"{self._task.title}, asked again" if again else self._task.title
        prompts = [self._task.prompt(text) for text in texts]
        if again:
            prompts = [replace(prompt, instruction=f"{prompt.instruction}\n{self._task.reminder}") for prompt in prompts]
        with closing(self._task.send(prompts)) as answers:
            for done, (number, answer) in enumerate(answers, 1):
                text = texts[number]
                self.usage += answer.usage
                if answer.failure:
                    self._failures[text] = answer.failure
                    self.detail = self.detail or answer.detail
                else:
                    self._take(text, self._cache.keep(keys[text], Known(answer.text, answer.confidence)))
                self._progress(done, len(texts), what)

    def _take(self, text: str, answer: Known) -> None:
        parsed = self._task.parse(answer.text)
        if parsed is None:
            self.invalid[text] = answer.text
            return
        self._valid[text] = Outcome(parsed.value, answer.confidence, "")
        self.usage += Usage(repaired=int(parsed.repaired))

    def outcome(self, text: str) -> Outcome[T]:
        return self._valid.get(text) or Outcome(None, _NOTHING, self._failures.get(text, REFUSED))


def _check_any(task: Task[T], reasons: Counter[str], run: _Run[T], usage: Usage) -> None:
    if not reasons or reasons[""]:
        return
    counted = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    said = f"; for example {next(iter(run.invalid.values()))[:60]!r}" if run.invalid else ""
    why = f"; {run.detail}" if run.detail else ""
    reason = f"{task.title}: {task.model} gave no valid answer for any of {reasons.total()} texts ({counted}){why}{said}"
    raise LanguageModelError(reason, usage)

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation.errors import LanguageModelError, SegmentationError
from segmentation.llm.asking import REASONS
from segmentation.llm.cache import LabelCache
from segmentation.llm.labels import Labels, Question, label_texts
from segmentation.llm.language_model import Answer, Answers, Prompt
from segmentation.llm.usage import Usage


class Echo:
    """Answers with the first word of the text; counts what it was asked."""

    def __init__(self, model: str = "echo") -> None:
        self.model = model
        self.asked: list[str] = []

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        for number, prompt in reversed(list(enumerate(prompts))):
            self.asked.append(prompt.text)
            yield number, Answer(prompt.text.split()[0], 0.5, usage=Usage(calls=1))

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        raise NotImplementedError


def _quiet(done: int, total: int, what: str) -> None:
    pass


def test_labels_stand_beside_their_texts_and_equal_texts_are_asked_once(sentiment: Question) -> None:
    model = Echo()
    with LabelCache(None) as cache:
        labels = label_texts(model, sentiment, ["positive a", "", "negative b", "positive a", " \n"], cache, progress=_quiet)
    assert labels.label.tolist() == [2, -1, 0, 2, -1]
    assert labels.label.dtype == labels.reason.dtype == np.int8
    assert labels.confidence.dtype == np.float32
    assert [REASONS[row] for row in labels.reason] == ["", "empty", "", "", "empty"]
    assert labels.confidence[0] == 0.5
    assert math.isnan(labels.confidence[1])
    assert sorted(model.asked) == ["negative b", "positive a"]


def test_all_texts_empty_is_no_error_and_asks_nothing(sentiment: Question) -> None:
    model = Echo()
    with LabelCache(None) as cache:
        labels = label_texts(model, sentiment, ["", "  "], cache, progress=_quiet)
        assert len(label_texts(model, sentiment, [], cache, progress=_quiet)) == 0
    assert (labels.unlabelled, labels.usage, model.asked) == ({"empty": 2}, Usage(), [])


def test_another_model_version_or_instruction_asks_anew_and_the_same_does_not(sentiment: Question) -> None:
    model, other = Echo(), Echo("echo-2")
    changed = [
        Question(sentiment.name, sentiment.instruction, sentiment.choices, version="2"),
        Question(sentiment.name, "Otherwise?", sentiment.choices),
        Question(sentiment.name, sentiment.instruction, sentiment.choices, examples=(("so good", "positive"),)),
    ]
    with LabelCache(None) as cache:
        for question in [sentiment, sentiment, *changed, *changed]:
            label_texts(model, question, ["positive a"], cache, progress=_quiet)
        label_texts(other, sentiment, ["positive a"], cache, progress=_quiet)
    assert (len(model.asked), len(other.asked)) == (4, 1)


def test_a_model_that_never_names_a_label_is_an_error_that_says_so(sentiment: Question) -> None:
    why = "labelling sentiment: echo gave no valid answer for any of 2"
    with LabelCache(None) as cache, pytest.raises(LanguageModelError, match=why) as refused:
        label_texts(Echo(), sentiment, ["what", "ever"], cache, progress=_quiet)
    assert refused.value.usage == Usage(calls=4, repeated=2, refused=2)  # what came of nothing was spent all the same
    assert issubclass(LanguageModelError, SegmentationError)


def test_progress_goes_up_to_the_number_of_texts_asked(sentiment: Question) -> None:
    seen: list[tuple[int, int, str]] = []
    with LabelCache(None) as cache:
        label_texts(Echo(), sentiment, ["positive a", "negative b"], cache, progress=lambda *step: seen.append(step))
    assert seen == [(1, 2, "labelling sentiment"), (2, 2, "labelling sentiment")]


@pytest.mark.parametrize(
    "change",
    [
        {"choices": ("one",)},
        {"choices": ("yes", "Yes ")},
        {"choices": ("yes", "")},
        {"choices": ("yes", "no\nno")},
        {"examples": (("text", "maybe"),)},
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="question 'q'"):
        Question(**({"name": "q", "instruction": "Well?", "choices": ("yes", "no")} | change))


def test_a_question_can_hide_its_own_labels_in_the_texts() -> None:
    question = Question("q", "Well?", ("yes", "no"), hide_choices=True)
    assert question.prompt("Yes! The right choice is no, I know").text == "…! The right choice is …, I know"
    assert question.prompt_version != Question("q", "Well?", ("yes", "no")).prompt_version


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Labels(("a", "b"), np.zeros(2, np.int8), np.zeros(1, np.float32), np.zeros(2, np.int8), Usage())


KILLED = """
import os, signal, sys
from pathlib import Path
from segmentation.llm.cache import LabelCache
from segmentation.llm.labels import Question, label_texts
from segmentation.llm.language_model import Answer
from segmentation.llm.usage import Usage

class Model:
    model = "echo"
    def choose(self, prompts, choices):
        for number, prompt in enumerate(prompts):
            yield number, Answer("positive", 0.5, usage=Usage(calls=1))

def progress(done, total, what):
    if done == 7:
        os.kill(os.getpid(), signal.SIGKILL)

question = Question("sentiment", "Is this review positive, neutral or negative?", ("negative", "neutral", "positive"))
texts = [f"positive {number}" for number in range(20)]
label_texts(Model(), question, texts, LabelCache(Path(sys.argv[1])), progress=progress)
"""


def test_a_run_killed_in_the_middle_goes_on_where_it_was(sentiment: Question, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    path = tmp_path / "answers.sqlite"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    model = Echo()
    with LabelCache(path) as cache:
        labels = label_texts(model, sentiment, [f"positive {number}" for number in range(20)], cache, progress=_quiet)
    assert (len(model.asked), labels.usage.cached, labels.label.tolist()) == (13, 7, [2] * 20)


def test_asking_and_reading_labels_loads_no_heavy_library() -> None:
    root = Path(__file__).parents[3]
    script = (
        "import sys, segmentation.llm.labels, segmentation.llm.aspects, segmentation.llm.agreement, segmentation.llm.masking; "
        "print(sorted({'torch', 'transformers', 'httpx2', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, timeout=60
    )
    assert done.stdout.decode().strip() == "[]"

"""Labels of a sample of what customers wrote, by a language model: sentiment of any text, intent of messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import LanguageModelError
from segmentation.llm.cache import LabelCache
from segmentation.llm.labels import Question, label_texts
from segmentation.llm.language_model import DENIED, UNREACHABLE, LanguageModel, Progress
from segmentation.llm.usage import Usage
from segmentation.voice_settings import VoiceSettings
from segmentation.words import UNSPACED
from segmentation.writings import KINDS, Writings

SENTIMENT, INTENT, NEEDS = "sentiment", "intent", "needs"
SENTIMENTS = ("negative", "neutral", "positive")
INTENTS, OTHER = ("buy", "hesitate", "leave"), "other"
REVIEW, MESSAGE = (KINDS.index(kind) for kind in ("review", "message"))
PASSING = frozenset((UNREACHABLE, DENIED))
"""Reasons for a missing answer that another run may not meet."""

QUESTIONS = {
    SENTIMENT: Question(
        SENTIMENT,
        "How does this customer feel about the product or the shop: negative, neutral or positive? "
        "A text with as much praise as blame, or with neither, is neutral.",
        SENTIMENTS,
        examples=(
            ("Broke after two days and nobody answers my mails.", "negative"),
            ("Does what it should, nothing special.", "neutral"),
            ("So soft and warm, I have already ordered a second one.", "positive"),
            ("质量太差。用了一次就坏了。", "negative"),
            ("物流很快。东西也很好。下次还来。", "positive"),
        ),
        hide_choices=True,
    ),
    INTENT: Question(
        INTENT,
        "What is this customer up to: about to order something (buy), unsure whether to order (hesitate), about to go to another shop, "
        "cancel or close the account (leave), or none of these, such as a question about an order, a delivery or an invoice (other)?",
        (*INTENTS, OTHER),
        examples=(
            ("Do you still have the blue one? I would like two.", "buy"),
            ("I like it, but is it really worth the price? I may wait a little.", "hesitate"),
            ("Please delete my account, I will not order here again.", "leave"),
            ("Where is my parcel? It should have been here on Monday.", "other"),
            ("我想马上下单。这款还有货吗。", "buy"),
            ("请帮我注销账号。以后不会再来了。", "leave"),
        ),
    ),
}

_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Told:
    """What a language model said of a sample.

    by_head:  texts with the name of their class, by "sentiment" and "intent"; only texts that were labelled
    problems: why labels are missing, in words, by the same; only where some are
    failed:   the heads for which labels are missing that another run may get
    usage:    what it took, also where nothing came of it
    """

    by_head: Mapping[str, tuple[tuple[str, str], ...]]
    problems: Mapping[str, str]
    failed: frozenset[str]
    usage: Usage

    @property
    def is_complete(self) -> bool:
        """Whether another run would get no more."""
        return not self.failed


NOTHING_TOLD = Told(MappingProxyType({}), MappingProxyType({}), frozenset(), Usage())
"""Nobody was asked."""


def label_writings(
    writings: Writings,
    as_of: np.datetime64,
    settings: VoiceSettings,
    *,
    model: LanguageModel,
    cache: LabelCache,
    seed: int,
    progress: Progress,
) -> Told:
    """Ask about a sample of the texts before `as_of`: the same for equal seed. Where the model fails, what it said is kept.

    Intents are asked of messages; of reviews only where there are no messages.

    Raises:
        SegmentationError: the cache cannot be used.
    """
    known = writings.before(as_of)
    pool = learnable(known, settings, seed)
    messages = pool[known.kinds[pool] == MESSAGE]
    told = NOTHING_TOLD
    for name, question in QUESTIONS.items():
        rows = sampled(known, messages if name == INTENT and len(messages) else pool, settings.n_labelled, seed)
        texts = [str(text) for text in known.texts[rows]]
        told = _with(told, name, texts, question, model, cache, progress) if texts else told
    return told


def _with(
    told: Told, name: str, texts: Sequence[str], question: Question, model: LanguageModel, cache: LabelCache, progress: Progress
) -> Told:
    """The same, and the labels of some texts."""
    try:
        labels = label_texts(model, question, texts, cache, progress=progress)
    except LanguageModelError as error:  # the fit goes on without; the reason is kept
        problems, usage = {**told.problems, name: str(error)}, told.usage + error.usage
        return replace(told, problems=problems, failed=told.failed | {name}, usage=usage)
    pairs = tuple((text, question.choices[label]) for text, label in zip(texts, labels.label.tolist(), strict=True) if label >= 0)
    missing = labels.unlabelled
    problems = {name: f"of {len(texts)} texts: {_counted(missing)}"} if missing else {}
    return Told(
        {**told.by_head, name: pairs},
        {**told.problems, **problems},
        told.failed | ({name} if PASSING & set(missing) else set()),
        told.usage + labels.usage,
    )


def _counted(missing: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in missing.items())


def learnable(writings: Writings, settings: VoiceSettings, seed: int) -> NDArray[np.intp]:
    """Rows of texts to learn from, in order: not empty, at most so many of one customer and altogether as the settings say."""
    rows = np.flatnonzero([bool(text.strip()) for text in writings.texts])
    rows = np.random.default_rng(seed).permutation(rows)
    rows = rows[rank_within(writings.customers[rows]) < settings.max_texts_per_customer]
    return np.sort(rows[: settings.max_texts])


def sampled(writings: Writings, rows: NDArray[np.intp], n: int, seed: int) -> NDArray[np.intp]:
    """At most n of the rows, without equal texts: of each kind and script, in proportion to the square root of how many there are."""
    _, first = np.unique([str(text) for text in writings.texts[rows]], return_index=True)
    rows = np.random.default_rng(seed).permutation(rows[np.sort(first)])
    strata = writings.kinds[rows] * 2 + np.array([bool(_UNSPACED.search(text)) for text in writings.texts[rows]], np.int64)
    sizes = np.bincount(strata, minlength=1)
    order = np.argsort(rank_within(strata) / np.sqrt(sizes[strata]), kind="stable")
    return np.sort(rows[order[:n]])


def rank_within(groups: NDArray[np.integer]) -> NDArray[np.intp]:
    """How many earlier rows are of the same group, for each row."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    ranks = np.empty(len(groups), np.intp)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return ranks

"""What teaches the heads that read texts: stars, labels of a language model, labels that were handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.labelling import INTENT, INTENTS, MESSAGE, OTHER, REVIEW, SENTIMENT, SENTIMENTS, Told, learnable
from segmentation.llm.agreement import agreement
from segmentation.probes import Verdict, fit_probe, macro_f1_bounds, words_macro_f1
from segmentation.text_heads import TRUNK, Eye, TextHead
from segmentation.voice_settings import VoiceSettings
from segmentation.writings import KINDS, Reader, Writings

CLASSES = {SENTIMENT: SENTIMENTS, INTENT: (*INTENTS, OTHER)}
MIN_OF_KIND = 20
"""Labelled texts of a kind from which a head reads texts of that kind."""
MIN_TO_COMPARE = 30
"""Texts with both stars and a label, for the labels to be judged by the stars."""
TEXTS_FOR_SHARES = 500
FLATTERED = f"the {TRUNK}'s own head is no worse than words; it may have learnt from these labels: its figures, under rival, are flattered"


@dataclass(frozen=True)
class Taught:
    """A head, None = there is none; and the facts of it, for a manifest."""

    head: TextHead | None
    facts: dict[str, Any]


def believed(told: Told, writings: Writings, settings: VoiceSettings, seed: int, n_threads: int) -> dict[str, tuple[tuple[str, str], ...]]:
    """What a language model said, by head, without labels that a `Teacher` of these writings and this seed refuses."""
    said = dict(told.by_head.get(SENTIMENT, ()))
    judged = judge_labels(writings, learnable(writings, settings, seed), said, seed, n_threads) if said else {}
    return {name: pairs for name, pairs in told.by_head.items() if name != SENTIMENT or not judged.get("refused")}


def by_stars(writings: Writings, pool: NDArray[np.intp]) -> dict[int, str]:
    """What the stars say of rows of the writings: 1 and 2 are negative, 4 and 5 positive."""
    rated = pool[np.isfinite(writings.stars[pool])]
    names = [SENTIMENTS[int(n > 2) + int(n > 3)] for n in writings.stars[rated].round().tolist()]
    return dict(zip(rated.tolist(), names, strict=True))


def judge_labels(writings: Writings, pool: NDArray[np.intp], said: Mapping[str, str], seed: int, n_threads: int) -> dict[str, Any]:
    """How sentiments agree with the stars of the same texts; refused where words that learnt from stars agree better, beyond chance."""
    rated = by_stars(writings, pool)
    both = {text: star for row, star in rated.items() if (text := str(writings.texts[row])) in said}
    if len(both) < MIN_TO_COMPARE:
        return {"n_labels": len(said), "reason": f"not judged: {len(both)} of the texts have stars, {MIN_TO_COMPARE} are needed"}
    labels = np.array([SENTIMENTS.index(said[text]) for text in both])
    stars = np.array([SENTIMENTS.index(star) for star in both.values()])
    found = agreement(labels, stars, SENTIMENTS)
    _, _, high = macro_f1_bounds(labels, stars, seed)
    pairs = list(dict.fromkeys((str(writings.texts[row]), star) for row, star in rated.items()))
    targets = np.array([SENTIMENTS.index(star) for _, star in pairs])
    words = words_macro_f1([text for text, _ in pairs], targets, SENTIMENTS, seed=seed, n_threads=n_threads)
    facts = {"n_labels": len(said), "n_with_stars": len(both), "macro_f1": found.macro_f1, "at_most": high, "kappa": found.kappa}
    refused = f"labels agree less with stars than words do, macro F1 {words:.3f}" if high < words else ""
    return {**facts, "macro_f1_of_words": words, "refused": refused}


@dataclass(frozen=True)
class Teacher:
    """Fits heads on what was known at one time.

    pool:  texts to learn from, rows of `writings`
    given: labels that were handed in: texts and names of classes, by head
    """

    writings: Writings
    pool: NDArray[np.intp]
    told: Told
    given: Mapping[str, Sequence[tuple[str, str]]]
    reader: Reader
    eye: Eye
    seed: int
    n_threads: int

    def sentiment(self) -> Taught:
        """Taught by stars, by what the language model said where that is no worse than words are, and by what was handed in."""
        said = dict(self.told.by_head.get(SENTIMENT, ()))
        judged = judge_labels(self.writings, self.pool, said, self.seed, self.n_threads) if said else {}
        accepted = {} if judged.get("refused") else said
        stars = by_stars(self.writings, self.pool)
        taught = self._head(SENTIMENT, {**accepted, **dict(self.given.get(SENTIMENT, ()))}, stars, (REVIEW, MESSAGE))
        return Taught(taught.head, {**taught.facts, **({"language_model": judged} if judged else {})})

    def intent(self) -> Taught:
        """Taught by what the language model said and by what was handed in; there is nothing else that knows intents."""
        labels = {**dict(self.told.by_head.get(INTENT, ())), **dict(self.given.get(INTENT, ()))}
        return self._head(INTENT, labels, {}, (MESSAGE,))

    def _head(self, name: str, labels: Mapping[str, str], by_row: Mapping[int, str], kinds: tuple[int, ...]) -> Taught:
        """The encoder's own head, where it has one of these classes that is no worse than words; else a probe.

        labels: classes of texts; by_row: of rows of the writings, where their text has none; kinds: those that labels handed in count for
        """
        if unknown := sorted(set(labels.values()) - set(CLASSES[name])):
            raise ValueError(f"labels of {name!r} must be among {', '.join(CLASSES[name])}, got {', '.join(unknown)}")
        known = {row: label for row in self.pool.tolist() if (label := labels.get(self.writings.texts[row]) or by_row.get(row))}
        taught_kinds = self._kinds(name, known, kinds)
        pool_texts = {self.writings.texts[row] for row in known}
        lesson: list[tuple[int | str, str]] = [*known.items(), *((text, label) for text, label in labels.items() if text not in pool_texts)]
        if not lesson:
            return Taught(
                None, {"by": "", "reason": "nothing teaches it: no language model, no labels" + (", no stars" if name == SENTIMENT else "")}
            )
        own, trunk = self.reader.classes.get(name), None
        if own is not None and set(own) <= set(CLASSES[name]):
            trunk = TextHead(name, own, self._shares(name, own, taught_kinds), taught_kinds or kinds, None)
        fitted, verdict = self._fit(lesson, CLASSES[name], name, taught_kinds, trunk)
        facts = {**verdict.facts(), "kinds": self._names(taught_kinds)}
        if trunk is not None and verdict.rival is not None and verdict.rival.is_believed:
            return Taught(trunk, {**facts, **trunk.facts(), "kinds": self._names(trunk.kinds), "reason": FLATTERED})
        if trunk is not None:
            why = "nothing judges it" if verdict.rival is None else "it tells less than words, or nothing beyond chance"
            return Taught(fitted, {**facts, "ignored": f"the {TRUNK}'s head: {why}"})
        other = {} if own is None else {"ignored": f"the {TRUNK}'s head of that name has other classes: {', '.join(own)}"}
        return Taught(fitted, {**facts, **other})

    def _fit(
        self, lesson: Sequence[tuple[int | str, str]], classes: tuple[str, ...], name: str, kinds: tuple[int, ...], trunk: TextHead | None
    ) -> tuple[TextHead | None, Verdict]:
        """A probe, and how it was judged; and the head of the encoder beside it, where there is one."""
        pairs = list(dict.fromkeys((str(self.writings.texts[at]) if isinstance(at, int) else at, label) for at, label in lesson))
        texts = [text for text, _ in pairs]
        labels = np.array([classes.index(label) for _, label in pairs])
        rival = None
        if trunk is not None:
            rows = np.array([classes.index(own) for own in trunk.classes])
            rival = rows[trunk.even(trunk.read(texts, self.eye)).argmax(axis=1)]
        probe, verdict = fit_probe(texts, labels, classes, self.eye.encode(texts), seed=self.seed, n_threads=self.n_threads, rival=rival)
        return (None if probe is None else TextHead(name, probe.classes, probe.shares, kinds, probe)), verdict

    def _kinds(self, name: str, known: Mapping[int, str], kinds: tuple[int, ...]) -> tuple[int, ...]:
        """The kinds of which enough texts are labelled, and those that labels handed in count for."""
        counts = np.bincount(self.writings.kinds[list(known)], minlength=len(KINDS)) if known else np.zeros(len(KINDS))
        given = set(kinds) if len(self.given.get(name, ())) >= MIN_OF_KIND else set()
        return tuple(kind for kind in range(len(KINDS)) if counts[kind] >= MIN_OF_KIND or kind in given)

    def _shares(self, name: str, classes: tuple[str, ...], kinds: tuple[int, ...]) -> NDArray[np.float32]:
        """How often the encoder's own head finds each class in the shop."""
        rows = self.pool[np.isin(self.writings.kinds[self.pool], kinds)][:TEXTS_FOR_SHARES]
        if not len(rows):
            return np.full(len(classes), 1 / len(classes), np.float32)
        return np.asarray(self.eye.classify([str(text) for text in self.writings.texts[rows]], name).mean(axis=0), np.float32)

    def _names(self, kinds: tuple[int, ...]) -> list[str]:
        return [KINDS[kind] for kind in kinds]

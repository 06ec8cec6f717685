"""What teaches the heads that read texts: stars, labels of a language model, labels that were handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.labelling import INTENT, INTENTS, MESSAGE, OTHER, REVIEW, SENTIMENT, SENTIMENTS, Told
from segmentation.llm.agreement import agreement
from segmentation.probes import WORDS, Verdict, fit_probe, macro_f1_bounds
from segmentation.text_heads import TRUNK, Eye, TextHead
from segmentation.writings import KINDS, Reader, Writings

CLASSES = {SENTIMENT: SENTIMENTS, INTENT: (*INTENTS, OTHER)}
MIN_OF_KIND = 20
"""Labelled texts of a kind from which a head reads texts of that kind."""
MIN_TO_COMPARE = 30
"""Texts with both stars and a label, for the labels to be judged by the stars."""
TEXTS_FOR_SHARES = 500


@dataclass(frozen=True)
class Taught:
    """A head, None = there is none; and the facts of it, for a manifest."""

    head: TextHead | None
    facts: dict[str, Any]


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
        judged: dict[str, Any] = {}
        said = self.told.by_head.get(SENTIMENT, ())
        if said:
            judged = self._judge_labels(dict(said))
        accepted = () if judged.get("refused") else said
        taught = self._head(SENTIMENT, {**dict(accepted), **dict(self.given.get(SENTIMENT, ()))}, self._by_stars(), (REVIEW, MESSAGE))
        return Taught(taught.head, {**taught.facts, **({"language_model": judged} if judged else {})})

    def intent(self) -> Taught:
        """Taught by what the language model said and by what was handed in; there is nothing else that knows intents."""
        labels = {**dict(self.told.by_head.get(INTENT, ())), **dict(self.given.get(INTENT, ()))}
        return self._head(INTENT, labels, {}, (MESSAGE,))

    def _by_stars(self) -> dict[int, str]:
        """What the stars say of rows of the writings: 1 and 2 are negative, 4 and 5 positive."""
        stars = self.writings.stars[self.pool]
        rated = self.pool[np.isfinite(stars)]
        names = [SENTIMENTS[int(n > 2) + int(n > 3)] for n in self.writings.stars[rated].round().tolist()]
        return dict(zip(rated.tolist(), names, strict=True))

    def _judge_labels(self, said: Mapping[str, str]) -> dict[str, Any]:
        """How labels agree with the stars of the same texts; refused where words that learnt from stars agree better, beyond chance."""
        by_stars = self._by_stars()
        both = {text: star for row, star in by_stars.items() if (text := str(self.writings.texts[row])) in said}
        if len(both) < MIN_TO_COMPARE:
            return {"n_labels": len(said), "reason": f"not judged: {len(both)} of the texts have stars, {MIN_TO_COMPARE} are needed"}
        labels = np.array([SENTIMENTS.index(said[text]) for text in both])
        stars = np.array([SENTIMENTS.index(star) for star in both.values()])
        found = agreement(labels, stars, SENTIMENTS)
        _, _, high = macro_f1_bounds(labels, stars, self.seed)
        words = self._fit(list(by_stars.items()), SENTIMENTS)[1].macro_f1.get(WORDS, 0.0)
        facts = {"n_labels": len(said), "n_with_stars": len(both), "macro_f1": found.macro_f1, "at_most": high, "kappa": found.kappa}
        refused = f"labels agree less with stars than words do, macro F1 {words:.3f}" if high < words else ""
        return {**facts, "macro_f1_of_words": words, "refused": refused}

    def _head(self, name: str, labels: Mapping[str, str], by_row: Mapping[int, str], kinds: tuple[int, ...]) -> Taught:
        """A head of the encoder, where it has one of that name and those classes; else a probe.

        labels: classes of texts; by_row: of rows of the writings, where their text has none; kinds: those that labels handed in count for
        """
        if unknown := sorted(set(labels.values()) - set(CLASSES[name])):
            raise ValueError(f"labels of {name!r} must be among {', '.join(CLASSES[name])}, got {', '.join(unknown)}")
        known = {row: label for row in self.pool.tolist() if (label := labels.get(self.writings.texts[row]) or by_row.get(row))}
        taught_kinds = self._kinds(name, known, kinds)
        own = self.reader.classes.get(name)
        if own is not None and set(own) <= set(CLASSES[name]):
            head = TextHead(name, own, self._shares(name, own, taught_kinds), taught_kinds or kinds, None)
            return Taught(head, {**head.facts(), "kinds": self._names(head.kinds), "reason": f"judged where the {TRUNK} was trained"})
        pool_texts = {self.writings.texts[row] for row in known}
        lesson: list[tuple[int | str, str]] = [*known.items(), *((text, label) for text, label in labels.items() if text not in pool_texts)]
        if not lesson:
            return Taught(
                None, {"by": "", "reason": "nothing teaches it: no language model, no labels" + (", no stars" if name == SENTIMENT else "")}
            )
        fitted, verdict = self._fit(lesson, CLASSES[name], name, taught_kinds)
        other = {} if own is None else {"ignored": f"the encoder's head of that name has other classes: {', '.join(own)}"}
        return Taught(fitted, {**verdict.facts(), "kinds": self._names(taught_kinds), **other})

    def _fit(
        self, lesson: Sequence[tuple[int | str, str]], classes: tuple[str, ...], name: str = SENTIMENT, kinds: tuple[int, ...] = ()
    ) -> tuple[TextHead | None, Verdict]:
        pairs = list(dict.fromkeys((str(self.writings.texts[at]) if isinstance(at, int) else at, label) for at, label in lesson))
        texts = [text for text, _ in pairs]
        labels = np.array([classes.index(label) for _, label in pairs])
        probe, verdict = fit_probe(texts, labels, classes, self.eye.encode(texts), seed=self.seed, n_threads=self.n_threads)
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

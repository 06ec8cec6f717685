"""Needs as a language model finds them in a sample; probes that it teaches find them everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.clauses import clauses
from segmentation.entities import Phrases
from segmentation.errors import LanguageModelError
from segmentation.labelling import PASSING
from segmentation.llm.asking import REASONS
from segmentation.llm.aspects import POLARITIES, AspectLabels, Aspects, find_aspects, label_aspects
from segmentation.llm.cache import LabelCache
from segmentation.llm.language_model import LanguageModel, Progress
from segmentation.llm.usage import Usage
from segmentation.needs import NeedsModel, merged, needs_of, polarity
from segmentation.probes import Probe, fit_probe
from segmentation.text_heads import Eye, TextHead
from segmentation.words import tokens

MIN_TEXTS_TOLD = 3
"""Texts of the sample that must mention an aspect."""
ABSENT, MENTIONED = "absent", "mentioned"
SURELY = 0.2
"""Polarity beyond which the sentiment of a clause is held against what the language model said of it."""


@dataclass(frozen=True)
class ToldNeeds:
    """needs: None = the model found no aspect that enough texts mention; failed: another run may get more; facts: for a manifest."""

    needs: NeedsModel | None
    failed: bool
    usage: Usage
    facts: dict[str, Any]

    def as_facts(self) -> dict[str, Any]:
        """The facts with the names of the aspects."""
        return {**self.facts, "names": list(self.needs.aspects) if self.needs is not None else []}


@dataclass(frozen=True)
class NeedsTeacher:
    """Asks a language model of a sample of texts; seed and threads are those of the probes."""

    model: LanguageModel
    cache: LabelCache
    sentiment: TextHead
    eye: Eye
    max_aspects: int
    n_labelled: int
    seed: int
    n_threads: int
    progress: Progress

    def needs(self, texts: Sequence[str]) -> ToldNeeds:
        """Aspects of the texts, and what finds each of them; what the model could not be asked is in the facts."""
        try:
            found = find_aspects(self.model, texts, self.cache, progress=self.progress)
        except LanguageModelError as error:
            return ToldNeeds(None, True, error.usage, {"language_model": str(error)})
        aspects = merged(found.by_text, self.eye, MIN_TEXTS_TOLD, self.max_aspects)
        failed = _has_failed(found.reason)
        if not aspects.names:
            reason = f"no aspect is mentioned in {MIN_TEXTS_TOLD} of {len(texts)} texts"
            return ToldNeeds(None, failed, found.usage, {"language_model": reason})
        pieces = list(dict.fromkeys(clause for text in texts for clause in clauses(text)))
        rows = np.sort(np.random.default_rng(self.seed).permutation(len(pieces))[: self.n_labelled])
        sample = [pieces[row] for row in rows.tolist()]
        try:
            labels = label_aspects(self.model, aspects, sample, self.cache, progress=self.progress)
        except LanguageModelError as error:
            why = {"language_model": str(error), "found_by": "wordings"}
            return ToldNeeds(needs_of(aspects, {}), True, found.usage + error.usage, why)
        probes, facts = self._probes(aspects, sample, labels)
        facts = {"aspects": facts, "polarity_agreement": self._agreement(sample, labels)}
        return ToldNeeds(needs_of(aspects, probes), failed or _has_failed(labels.reason), found.usage + labels.usage, facts)

    def _probes(self, aspects: Aspects, sample: Sequence[str], labels: AspectLabels) -> tuple[dict[str, Probe], dict[str, Any]]:
        """Probes of the aspects that they find better than the wordings do, and how each is found."""
        read = np.flatnonzero(labels.reason == 0)
        texts = [sample[row] for row in read.tolist()]
        embeddings = self.eye.encode(texts)
        probes: dict[str, Probe] = {}
        facts: dict[str, Any] = {}
        for column, name in enumerate(aspects.names):
            mentioned = (labels.polarity[read, column] >= 0).astype(np.int64)
            by_wording = _kappa(_have_wordings(texts, aspects.synonyms, name), mentioned)
            probe, verdict = fit_probe(texts, mentioned, (ABSENT, MENTIONED), embeddings, seed=self.seed, n_threads=self.n_threads)
            is_better = probe is not None and (verdict.kappa or 0.0) > by_wording
            if probe is not None and is_better:
                probes[name] = probe
            found_by = verdict.by if is_better else "wordings"
            facts[name] = {
                "found_by": found_by,
                "n": int(mentioned.sum()),
                "kappa_of_wordings": by_wording,
                "kappa_of_probe": verdict.kappa,
            }
        return probes, facts

    def _agreement(self, sample: Sequence[str], labels: AspectLabels) -> float | None:
        """Share of the clauses, told to praise or blame, whose sentiment says the same; None where there are none."""
        told = np.where(
            labels.polarity == POLARITIES.index("positive"), 1, np.where(labels.polarity == POLARITIES.index("negative"), -1, 0)
        )
        side = np.sign(told.sum(axis=1))
        rows = np.flatnonzero(side)
        score, _ = polarity([sample[row] for row in rows.tolist()], self.sentiment, self.eye)
        clear = np.abs(score) >= SURELY
        return float((np.sign(score[clear]) == side[rows][clear]).mean()) if clear.any() else None


def _has_failed(reasons: NDArray[np.int8]) -> bool:
    return any(REASONS[reason] in PASSING for reason in np.unique(reasons))


def _have_wordings(texts: Sequence[str], synonyms: Mapping[str, str], name: str) -> NDArray[np.int64]:
    phrases = Phrases({tuple(tokens(words)): name for words, own in synonyms.items() if own == name})
    return np.array([bool(phrases.find(text)) for text in texts], np.int64)


def _kappa(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Cohen's kappa, 0 where it is not defined."""
    by_chance = float(found.mean() * true.mean() + (1 - found.mean()) * (1 - true.mean()))
    return (float((found == true).mean()) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0

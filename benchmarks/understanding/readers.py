"""The readers that every table compares: a probe on embeddings, TF-IDF with logistic regression, and both as `segmentation` joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmarks.text.bench import SEED
from benchmarks.text.classes import Labels, regression
from recsys.types import Floats
from segmentation.probes import fit_probe
from segrec.console import output

OURS = "as segmentation reads"

Unit = Literal["words", "characters"]
_FEW = 2000
"""Of fewer texts than this every word counts, of more those of two texts at least."""


def probe(seen: Floats, labels: Labels, asked: Floats) -> Labels:
    """Classes named by logistic regression on embeddings, (len(asked),); labels: 0 and up, each there."""
    return np.asarray(regression(seen, labels, asked).argmax(axis=1))


def tf_idf(seen: Sequence[str], labels: Labels, asked: Sequence[str], unit: Unit = "words") -> Labels:
    """Classes named by logistic regression on words and pairs of them, or on runs of one to three characters; (len(asked),)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rare = 2 if len(seen) >= _FEW else 1
    ways = {"words": ("word", (1, 2)), "characters": ("char", (1, 3))}
    analyzer, runs = ways[unit]
    parts = TfidfVectorizer(analyzer=analyzer, ngram_range=runs, min_df=rare, sublinear_tf=True)
    return np.asarray(regression(parts.fit_transform(seen), labels, parts.transform(asked)).argmax(axis=1))


def ours(seen: Sequence[str], embeddings: Floats, labels: Labels, asked: Sequence[str], asked_embeddings: Floats) -> Labels | None:
    """Classes named by what `segmentation.probes` makes of the labelled texts, (len(asked),); None = it refuses, and the reason is printed.

    That is embeddings and words weighed by cross-validation, or the words alone where embeddings make it worse.
    """
    names = [str(label) for label in range(int(labels.max()) + 1)]
    found, verdict = fit_probe(seen, np.asarray(labels), names, embeddings, seed=SEED, n_threads=1)
    if found is None:
        output().print(f"{OURS}: refused, {verdict.reason}")
        return None
    named = np.array([int(name) for name in found.classes])
    return np.asarray(named[found.read(asked, asked_embeddings).argmax(axis=1)])

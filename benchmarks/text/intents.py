"""CLINC150, the 150 intents in scope, its own train and test parts: which reader names the intent of a sentence.

A head that learns with the trunk, logistic regression on the embeddings of the trunk as it comes and of the tuned one, and logistic
regression on TF-IDF.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.text import classes
from benchmarks.text.bench import Bench
from recsys.text.heads import load_reader
from recsys.training.finetuning import Material

HEAD = "intent"
MAX_TOKENS = 32


def run(bench: Bench) -> None:
    """One table."""
    rows = pd.read_parquet(bench.data / "clinc150_intents.parquet").query("not out_of_scope")
    known, asked = rows[rows.split == "train"], rows[rows.split == "test"]
    names, labels = np.unique(known.intent.to_numpy(object), return_inverse=True)
    truth = np.searchsorted(names, asked.intent.to_numpy(object))
    seen, texts = known.text.tolist(), asked.text.tolist()
    material = Material(("",), labels={HEAD: list(zip(seen, known.intent, strict=True))})
    config = bench.plan(n_steps=250, head_texts=128, head_weight=1.0, micro_batch=64, learning_rate=1e-4)
    tuned = bench.tuned(material, config, MAX_TOKENS)
    told = {"head of the tuned trunk": load_reader(tuned, bench.n_threads).classify(texts)[HEAD]}
    for name, trunk in (("tuned", tuned), ("untuned", bench.untuned(MAX_TOKENS))):
        embeddings = bench.encode(trunk, seen), bench.encode(trunk, texts)
        told[f"logistic regression, {name} embeddings"] = classes.regression(embeddings[0], labels, embeddings[1])
    told["TF-IDF, logistic regression"] = classes.tf_idf(seen, labels, texts)
    systems = {name: classes.by_class(truth, shares.argmax(axis=1), len(names)) for name, shares in told.items()}
    classes.report(f"CLINC150: {len(names)} intents, {len(texts):,} sentences", systems, list(range(len(texts))))

"""What a head reads from the stars of reviews, against TF-IDF with logistic regression on the same texts.

Clear stars (1 and 2 against 4 and 5), headline and text, of Subscription Boxes and of Musical Instruments: the first four fifths in time
of both sets teach one head; the last fifth of each is the test. The classic reader learns from its own set alone, and from both. Either
names the most probable class, or ("alike") what would be most probable were the classes equally frequent, which misses fewer of the rare.
The same head, which never saw them, orders the sentences of the VADER snippets; truth is the mean of twenty human ratings or more, and
whole reviews are drawn for its intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.text import classes
from benchmarks.text.bench import Bench
from benchmarks.text.shops import BOXES, INSTRUMENTS, by_time, written
from recsys.config import TextConfig
from recsys.text.heads import load_reader
from recsys.training.finetuning import Material
from recsys.types import Floats

Head: TypeAlias = Callable[[list[str]], Floats]
"""Probability that each text is good, float32 (n,)."""
HEAD = "stars"
MAX_TOKENS, READ_TOKENS = 96, 224
"""Of each text the head learns from so many, and reads so many: a fifth to a third of the reviews, more of the bad ones, are longer than
the former."""


def run(bench: Bench) -> None:
    """A table for each set, and one for the snippets."""
    parts = {name: by_time(_clear(bench, name)) for name in (BOXES, INSTRUMENTS)}
    early = pd.concat([known for known, _ in parts.values()])
    material = Material(
        ("",), labels={HEAD: [(text, "good" if stars > 3 else "bad") for text, stars in zip(early.text, early.rating, strict=True)]}
    )
    text = bench.tuned(material, bench.plan(n_steps=450, head_texts=64, head_weight=1.0, micro_batch=16, learning_rate=7e-5), MAX_TOKENS)
    heads = {
        f"head of the tuned trunk, {n} tokens": _head(text.model_copy(update={"max_tokens": n}), bench) for n in (READ_TOKENS, MAX_TOKENS)
    }
    for name, (known, late) in parts.items():
        _stars(name, heads, {"own stars": known, "all stars": early}, late)
    _snippets(bench, heads, early)


def _head(text: TextConfig, bench: Bench) -> Head:
    reader = load_reader(text, bench.n_threads)
    return lambda texts: reader.classify(texts)[HEAD][:, 1]


def _stars(name: str, heads: Mapping[str, Head], known: Mapping[str, pd.DataFrame], late: pd.DataFrame) -> None:
    """known: what readers learn from; the last of them is what the heads learnt from."""
    truth = is_good(late)
    told = {head: (read(late.text.tolist()), list(known.values())[-1]) for head, read in heads.items()}
    for what, rows in known.items():
        told[f"TF-IDF, logistic regression, {what}"] = classes.tf_idf(rows.text, is_good(rows), late.text)[:, 1], rows
    systems = {}
    for reader, (shares, rows) in told.items():
        systems[reader] = classes.by_class(truth, (shares > 0.5).astype(np.int64), 2)
        systems[f"{reader}, alike"] = classes.by_class(truth, (shares > is_good(rows).mean()).astype(np.int64), 2)
    classes.report(f"{name}: clear stars, {len(late):,} later reviews, {1 - truth.mean():.0%} bad", systems, late.customer.tolist())


def _snippets(bench: Bench, heads: Mapping[str, Head], early: pd.DataFrame) -> None:
    snippets = pd.read_parquet(bench.data / "vader_amazon_snippets.parquet")
    truth = snippets.mean_sentiment.to_numpy(np.float64)
    told = {
        **{head: read(snippets.text.tolist()) for head, read in heads.items()},
        "TF-IDF, logistic regression, all stars": classes.tf_idf(early.text, is_good(early), snippets.text)[:, 1],
    }
    systems = {reader: classes.by_order(truth, np.asarray(shares, np.float64)) for reader, shares in told.items()}
    reviews = snippets.snippet_id.str.split("_").str[0].tolist()
    classes.report(f"VADER: {len(snippets):,} sentences of {len(set(reviews)):,} reviews, ordered as people rate them", systems, reviews)


def is_good(rows: pd.DataFrame) -> NDArray[np.int64]:
    """1 for 4 and 5 stars, 0 for others; (n,)."""
    return np.asarray(rows.rating > 3, np.int64)


def _clear(bench: Bench, name: str) -> pd.DataFrame:
    return written(bench.data, name).query("rating != 3 and text != ''")

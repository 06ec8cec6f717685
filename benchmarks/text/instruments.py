"""Next items of Musical Instruments' customers, with what customers wrote pooled into the items' embeddings, and without.

Everything obeys one cut in time. What is asked: each item that a customer took up after the cut and had not before, from the mean of
the customer's items before it. Reviews pooled are those before the cut, whoever wrote them. The trunk learns, from histories and
reviews, on what was before an earlier cut; between the two cuts the weight of reviews and how fast older items fade are chosen, for
every system by itself. Votes for reviews have no date, so they are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.text.bench import SEED, Bench
from benchmarks.text.retrieval import DECAYS, K, Ranks, ranks_after, report, same_for_all, whitened
from benchmarks.text.shops import INSTRUMENTS, item_texts, written
from recsys.config import TextConfig
from recsys.text.pooling import pool_reviews, review_weights
from recsys.training.finetuning import Material
from recsys.types import Floats, Ints

REVIEW_WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
HALF_LIFE_DAYS = 730.0
CUTS = (0.6, 0.8)
"""Shares of the interactions before the two cuts."""
N_VALIDATION = 300


@dataclass(frozen=True)
class _Questions:
    """What was known at a cut, and what followed. reviews: rows before the cut; pasts, wanted, customers: one of each question."""

    cut: float
    reviews: pd.DataFrame
    pasts: Sequence[Ints]
    wanted: Ints
    customers: Sequence[str]


@dataclass(frozen=True)
class _Read:
    """What a trunk makes of the texts: documents (n_documents, dim) and every review (n_reviews, dim), unit norm."""

    documents: Floats
    reviews: Floats

    def items(self, asked: _Questions, review_weight: float) -> Floats:
        """Embeddings of the items as of the cut."""
        if review_weight == 0:
            return self.documents
        known = asked.reviews
        weights = review_weights(np.zeros(len(known), np.float32), (asked.cut - known.days).to_numpy(np.float32), HALF_LIFE_DAYS)
        about = known.document.to_numpy(np.int32)
        return pool_reviews(self.documents, self.reviews[known.index], about, weights, review_weight)


def run(bench: Bench) -> None:
    """Two tables: against the whitened untuned trunk, and the tuned trunk with reviews against without."""
    items = item_texts(bench.data, INSTRUMENTS)
    documents, document_of = np.unique(items.document.to_numpy(object), return_inverse=True)
    rows = written(bench.data, INSTRUMENTS)
    rows = rows[rows["item"].isin(items["item"])].reset_index(drop=True)
    rows["document"] = rows["item"].map(dict(zip(items["item"], document_of.tolist(), strict=True)))
    first, second = (float(np.quantile(rows.days, share)) for share in CUTS)
    validation, test = _questions(rows, first, second), _questions(rows, second, np.inf)
    tuned = bench.tuned(
        _material(documents.tolist(), validation),
        bench.plan(n_steps=120, batch_texts=192, micro_batch=32, validate_every=30, review_share=0.5, history_share=0.5),
    )
    popular = same_for_all(np.bincount(test.reviews.document, minlength=len(documents)))
    found = {"popularity": ranks_after(popular, test.pasts, test.wanted, 1.0)}
    for name, trunk in (("untuned", bench.untuned()), ("tuned", tuned)):
        found |= _systems(name, _read(bench, trunk, documents.tolist(), rows), validation, test)
    what = f"{INSTRUMENTS}: Recall@{K} of the next items, {len(test.wanted):,} items of {len(set(test.customers)):,} customers"
    report(f"{what}, {len(documents):,} texts", found, test.customers)
    report(
        "with reviews against without", {name: rank for name, rank in found.items() if name.startswith("tuned")}, test.customers, "tuned"
    )


def _systems(name: str, read: _Read, validation: _Questions, test: _Questions) -> dict[str, Ranks]:
    """Ranks in the test, by system, each with the settings that find most in validation."""
    found = {}
    for suffix, weights in (("", (0.0,)), (" + reviews", REVIEW_WEIGHTS)):
        for title, prepare in ((name, np.asarray), (f"{name}, whitened", whitened)):
            chosen = {weight: prepare(read.items(validation, weight)) for weight in weights}
            hits = {
                (weight, decay): float((ranks_after(rows, validation.pasts, validation.wanted, decay) <= K).mean())
                for weight, rows in chosen.items()
                for decay in DECAYS
            }
            weight, decay = max(hits, key=lambda settings: hits[settings])
            shown = f"{title}{suffix} {weight:g}" if suffix else title
            found[f"{shown} (weight {decay:g})"] = ranks_after(prepare(read.items(test, weight)), test.pasts, test.wanted, decay)
    return found


def _read(bench: Bench, trunk: TextConfig, documents: list[str], rows: pd.DataFrame) -> _Read:
    return _Read(bench.encode(trunk, documents), bench.encode(trunk, rows.text.tolist()))


def _questions(rows: pd.DataFrame, cut: float, end: float) -> _Questions:
    """Each item that a customer known before the cut took up from it on until the end, and had not before."""
    before = rows[rows.days < cut]
    later = rows[(rows.days >= cut) & (rows.days < end)]
    pasts = {customer: group.to_numpy(np.int32) for customer, group in before.groupby("customer").document}
    asked = [
        (customer, document)
        for customer, document in sorted(set(zip(later.customer, later.document, strict=True)))
        if customer in pasts and document not in pasts[customer]
    ]
    customers = [customer for customer, _ in asked]
    return _Questions(cut, before, [pasts[customer] for customer in customers], np.array([document for _, document in asked]), customers)


def _material(documents: list[str], known: _Questions) -> Material:
    """What was known at the cut: histories, the last item of some of them held out, and reviews."""
    histories = [group.to_numpy(np.int32) for _, group in known.reviews.groupby("customer").document]
    is_fit = [len(history) > 2 and history[-1] not in history[:-1] for history in histories]
    drawn = set(np.random.default_rng(SEED).permutation(np.flatnonzero(is_fit))[:N_VALIDATION].tolist())
    kept = [history[:-1] if row in drawn else history for row, history in enumerate(histories)]
    held_out = [(histories[row][:-1], int(histories[row][-1])) for row in sorted(drawn)]
    reviews = list(zip(known.reviews.text, known.reviews.document.tolist(), strict=True))
    return Material(tuple(documents), [history for history in kept if len(history) > 1], held_out, reviews)

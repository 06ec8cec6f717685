"""A review, of the last fifth in time, should find its item's text among those of all items; the trunk learns from the earlier reviews.

Musical Instruments, where an item is its title and category, and Subscription Boxes, where it is its title and feature bullets.
"""

from __future__ import annotations

import numpy as np

from benchmarks.text.bench import Bench
from benchmarks.text.retrieval import K, ranks, report, whitened
from benchmarks.text.shops import BOXES, INSTRUMENTS, by_time, item_texts, written
from recsys.training.finetuning import Material


def run(bench: Bench) -> None:
    """One table for each set."""
    for name in (INSTRUMENTS, BOXES):
        _find_items(bench, name)


def _find_items(bench: Bench, name: str) -> None:
    items = item_texts(bench.data, name)
    documents, document_of = np.unique(items.document.to_numpy(object), return_inverse=True)
    numbers = dict(zip(items["item"], document_of.tolist(), strict=True))
    rows = written(bench.data, name)
    early, late = by_time(rows[rows["item"].isin(numbers) & (rows.text != "")])
    pairs = [(text, numbers[item]) for text, item in zip(early.text, early["item"], strict=True)]
    config = bench.plan(n_steps=80, batch_texts=128, micro_batch=32)
    tuned = bench.tuned(Material(tuple(documents.tolist()), reviews=pairs), config)
    wanted = np.array([numbers[item] for item in late["item"]])
    found = {}
    for system, trunk in (("untuned", bench.untuned()), ("tuned", tuned)):
        there, asked = bench.encode(trunk, documents.tolist()), bench.encode(trunk, late.text.tolist())
        found[system] = ranks(asked @ there.T, wanted)
        found[f"{system}, whitened"] = ranks(whitened(asked, there) @ whitened(there).T, wanted)
    customers = [str(customer) for customer in late.customer]
    report(f"{name}: Recall@{K} of a review's item, {len(late):,} later reviews, {len(documents):,} texts", found, customers)

"""What helps: one small budget for every way of tuning, each differing from the first in one thing.

Beauty: customers drawn at random and the items they had; the trunk learns from all of a customer's items but the last, which is asked
for. Musical Instruments: the same with all customers, because there are reviews to learn from; that of the item asked for is left out.
Office Products (2018), for titles and descriptions: the trunk learns from the earlier of two parts in time, the later is asked.
The last weights are kept, nothing is chosen on validation, and older items weigh .7 of the next newer one. The budget is far too small
for the best figures: what counts is the difference within a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.text.bench import SEED, Bench
from benchmarks.text.retrieval import K, Ranks, ranks_after, report, whitened
from benchmarks.text.shops import INSTRUMENTS, OFFICE, Shop, item_texts, read_shop, written
from recsys.config import TextConfig
from recsys.text.trunk import load_trunk
from recsys.training.finetuning import SENTIMENT, SENTIMENTS, Material
from recsys.types import Ints

DECAY = 0.7
N_CUSTOMERS = 1500
BUDGET: dict[str, object] = {"n_steps": 50, "batch_texts": 96, "micro_batch": 48, "validate_every": 25, "head_weight": 0.0}
BEAUTY: dict[str, dict[str, object]] = {
    "tuned: history, all weights, mean pooling": {},
    "2 hard negatives in the second half": {"hard_negatives": 2},
    "co-bought items not spared": {"spare_cobought": False},
    "LoRA, rank 16, learning rate 1e-3": {"lora_rank": 16, "learning_rate": 1e-3},
}
REVIEWED: dict[str, dict[str, object]] = {
    "tuned: history": {"review_share": 0.0},
    "history and reviews": {"history_share": 0.5, "review_share": 0.5},
    "reviews alone": {"history_share": 0.0, "review_share": 1.0},
    "history, and a sentiment head": {"review_share": 0.0, "head_weight": 0.5},
    "history and reviews, and a sentiment head": {"history_share": 0.5, "review_share": 0.5, "head_weight": 0.5},
}
TITLED: dict[str, dict[str, object]] = {
    "tuned: history": {"title_share": 0.0},
    "history, and titles with descriptions": {"history_share": 0.8, "title_share": 0.2},
}


@dataclass(frozen=True)
class _World:
    """A material to learn from; items of which the last is asked for, and whose they are."""

    material: Material
    sequences: Sequence[Ints]
    customers: Sequence[str]

    def ranks(self, bench: Bench, text: TextConfig, is_whitened: bool = False) -> Ranks:
        """Of the last items."""
        embeddings = bench.encode(text, self.material.documents)
        pasts = [sequence[:-1] for sequence in self.sequences]
        wanted = np.array([sequence[-1] for sequence in self.sequences])
        return ranks_after(whitened(embeddings) if is_whitened else embeddings, pasts, wanted, DECAY)


def run(bench: Bench) -> None:
    """A table for each shop."""
    beauty = _beauty(read_shop(bench.data, "beauty"))
    found = _compare(bench, beauty, BEAUTY)
    by_first_token = bench.tuned(beauty.material, bench.plan(**BUDGET), trunk=str(_first_token(bench)))
    _report("beauty", beauty, {**found, "first token instead of mean pooling": beauty.ranks(bench, by_first_token)})
    for name, world, ways in ((INSTRUMENTS, _reviewed(bench), REVIEWED), (OFFICE, _titled(bench), TITLED)):
        _report(name, world, _compare(bench, world, ways))


def _report(name: str, world: _World, found: Mapping[str, Ranks]) -> None:
    what = f"{len(world.sequences):,} questions, {len(world.material.documents):,} texts"
    report(f"{name}: Recall@{K} of the next item after {BUDGET['n_steps']} steps, {what}", found, world.customers, "tuned")


def _compare(bench: Bench, world: _World, ways: Mapping[str, dict[str, object]]) -> dict[str, Ranks]:
    found = {"untuned": world.ranks(bench, bench.untuned()), "untuned, whitened": world.ranks(bench, bench.untuned(), True)}
    for name, settings in ways.items():
        found[name] = world.ranks(bench, bench.tuned(world.material, bench.plan(**{**BUDGET, **settings})))
    return found


def _beauty(shop: Shop) -> _World:
    """Some customers and the items they had."""
    drawn = np.sort(np.random.default_rng(SEED).choice(len(shop.sequences), N_CUSTOMERS, replace=False))
    kept = np.unique(np.concatenate([shop.sequences[row] for row in drawn]))
    sequences = [np.searchsorted(kept, shop.sequences[row]).astype(np.int32) for row in drawn]
    documents = tuple(shop.texts[row] for row in kept)
    return _World(Material(documents, [sequence[:-1] for sequence in sequences]), sequences, [str(row) for row in drawn])


def _reviewed(bench: Bench) -> _World:
    """All customers; a customer's review of the item asked for is not learnt from."""
    items = item_texts(bench.data, INSTRUMENTS)
    documents, document_of = np.unique(items.document.to_numpy(object), return_inverse=True)
    rows = written(bench.data, INSTRUMENTS)
    rows = rows[rows["item"].isin(items["item"])]
    rows = rows.assign(document=rows["item"].map(dict(zip(items["item"], document_of.tolist(), strict=True))))
    groups = [group for _, group in rows.groupby("customer") if group.document.nunique() > 1]
    earlier = pd.concat([group.iloc[:-1] for group in groups])
    reviews = list(zip(earlier.text, earlier.document.tolist(), strict=True))
    stars = [(text, SENTIMENTS[(rating > 2) + (rating > 3)]) for text, rating in zip(earlier.text, earlier.rating, strict=True)]
    sequences = [group.document.to_numpy(np.int32) for group in groups]
    material = Material(tuple(documents.tolist()), [sequence[:-1] for sequence in sequences], reviews=reviews, labels={SENTIMENT: stars})
    return _World(material, sequences, [str(group.customer.iloc[0]) for group in groups])


def _titled(bench: Bench) -> _World:
    """Histories of the earlier part, questions of the later."""
    items = pd.read_parquet(bench.data / f"{OFFICE}_catalogue.parquet").sort_values("item_idx")
    rows = pd.read_parquet(bench.data / f"{OFFICE}_valid_test.parquet")
    names = (items.title + ". " + items.description).to_numpy(object)
    documents, document_of = np.unique(names, return_inverse=True)
    wanted = [[*past, last] for past, last in zip(rows.history_item_idx, rows.item_idx, strict=True)]
    sequences = [document_of[np.searchsorted(items.item_idx, sequence)].astype(np.int32) for sequence in wanted]
    early = [sequence for sequence, part in zip(sequences, rows.split, strict=True) if part == "valid"]
    is_asked = [part == "test" and sequence[-1] not in sequence[:-1] for sequence, part in zip(sequences, rows.split, strict=True)]
    titles = list(zip(items.title, items.description, document_of.tolist(), strict=True))
    asked = [sequence for sequence, keep in zip(sequences, is_asked, strict=True) if keep]
    return _World(Material(tuple(documents.tolist()), early, titles=titles), asked, rows.user_id[is_asked].tolist())


def _first_token(bench: Bench) -> Path:
    """The untuned trunk as a folder that asks for the first token's state."""
    folder = bench.work / "first-token"
    learner = load_trunk(TextConfig(trunk=bench.trunk), bench.n_threads, (), None, SEED)
    learner.pooling = "cls"
    folder.mkdir(parents=True, exist_ok=True)
    learner.save(folder)
    return folder

"""Items that nobody was seen with: a tenth of the texts is hidden from all interactions, and should be found by what is written of it.

What is asked: the last item of each customer for whom it is a hidden one, from the mean of the customer's other items before it; first
among the hidden items alone, then among all. The trunk learns from the other items of a customer, without the last two; it never saw
an interaction of a hidden item. How fast older items fade is chosen on the customers whose last but one is hidden.

Popularity knows nothing of a hidden item and cannot find one. Fairer: the mean popularity of the known items of the same brand and
narrowest category, and the attributes (brand and categories) that an item shares with the customer's last items, weighted by how rare
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from benchmarks.text.bench import SEED, Bench
from benchmarks.text.retrieval import K, Ranks, best_decay, ranks_after, report, same_for_all, whitened
from benchmarks.text.shops import Shop, read_shop
from recsys.training.finetuning import Material
from recsys.types import Flags, Floats, Ints

HIDDEN_SHARE = 0.1


@dataclass(frozen=True)
class _Questions:
    """Customers whose item at some place of their sequence is hidden: known items before it, and the hidden one."""

    pasts: Sequence[Ints]
    wanted: Ints


def run(bench: Bench) -> None:
    """Two tables: the hidden items among themselves, and among all."""
    shop = read_shop(bench.data, bench.shop)
    is_hidden = np.random.default_rng(SEED).random(len(shop.texts)) < HIDDEN_SHARE
    material = _material(shop, is_hidden)
    tuned = bench.tuned(material, bench.plan(n_steps=80, batch_texts=256))
    validation, test = _questions(shop, is_hidden, -2), _questions(shop, is_hidden, -1)
    systems = _plain(shop, is_hidden)
    for name, trunk in (("untuned", bench.untuned()), ("tuned", tuned)):
        raw = bench.encode(trunk, shop.texts)
        systems |= {name: raw, f"{name}, whitened": whitened(raw)}
    for among, left_out in (("the hidden items", ~is_hidden), ("all items", np.zeros(len(is_hidden), np.bool_))):
        found = _found(systems, validation, test, left_out)
        title = f"{bench.shop}: Recall@{K} of a hidden item among {among} ({int((~left_out).sum()):,}), {len(test.wanted):,} customers"
        report(title, found)


def _found(systems: dict[str, Floats], validation: _Questions, test: _Questions, left_out: Flags) -> dict[str, Ranks]:
    found = {}
    for name, rows in systems.items():
        decay = best_decay(rows, validation.pasts, validation.wanted, left_out)
        chosen = f" (weight {decay:g})" if rows.shape[1] > 1 else ""
        found[f"{name}{chosen}"] = ranks_after(rows, test.pasts, test.wanted, decay, left_out)
    return found


def _material(shop: Shop, is_hidden: Flags) -> Material:
    """Histories without hidden items and without the last two."""
    known = [sequence[:-2][~is_hidden[sequence[:-2]]] for sequence in shop.sequences]
    return Material(shop.texts, [history for history in known if len(history) > 1])


def _questions(shop: Shop, is_hidden: Flags, at: int) -> _Questions:
    sequences = [sequence for sequence in shop.sequences if is_hidden[sequence[at]]]
    pasts = [sequence[:at][~is_hidden[sequence[:at]]] for sequence in sequences]
    wanted = np.array([sequence[at] for sequence in sequences])
    is_asked = [len(past) > 0 for past in pasts]
    return _Questions([past for past in pasts if len(past)], wanted[is_asked])


def _plain(shop: Shop, is_hidden: Flags) -> dict[str, Floats]:
    """What needs no encoder, as rows whose product with those of the past is the score."""
    counts = np.bincount(np.concatenate([sequence[:-1] for sequence in shop.sequences]), minlength=len(shop.texts)) * ~is_hidden
    kinds = [(found[0], found[-1]) if found else ("", "") for found in shop.attributes]
    _, kind = np.unique(np.array(kinds), axis=0, return_inverse=True)
    kind = kind.ravel()
    means = np.bincount(kind, counts) / np.maximum(np.bincount(kind, ~is_hidden), 1)
    return {
        "popularity": same_for_all(counts),
        "popularity of brand and category": same_for_all(means[kind]),
        "shared attributes": _shared(shop),
    }


def _shared(shop: Shop) -> Floats:
    """Attributes by rarity, unit norm; (n_texts, n_attributes)."""
    names, columns = np.unique([name for found in shop.attributes for name in found], return_inverse=True)
    bounds = np.cumsum([0, *(len(found) for found in shop.attributes)])
    table = sp.csr_matrix((np.ones(len(columns), np.float32), columns, bounds), (len(shop.texts), len(names)))
    rarity = np.log(len(shop.texts) / np.maximum(np.asarray(table.sum(axis=0)).ravel(), 1.0))
    weighted = table @ sp.diags(rarity.astype(np.float32))
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return np.asarray((sp.diags(1 / np.maximum(norms, 1e-6)) @ weighted).toarray(), np.float32)

"""Leave-one-out over the whole catalogue, seen items removed: the mean of a customer's last items should find the next.

The trunk learns from all items of a customer but the last two; the last but one is for validation, the last for the test. How fast
the weight of older items falls is chosen on validation for every system by itself.
"""

from __future__ import annotations

import numpy as np

from benchmarks.text.bench import SEED, Bench
from benchmarks.text.retrieval import K, best_decay, ranks_after, report, whitened
from benchmarks.text.shops import read_shop
from recsys.training.finetuning import Material

N_VALIDATION = 2000


def run(bench: Bench) -> None:
    """One table."""
    shop = read_shop(bench.data, bench.shop)
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(len(shop.sequences), N_VALIDATION, replace=False)
    held_out = [(shop.sequences[row][:-2], int(shop.sequences[row][-2])) for row in drawn]
    config = bench.plan(**{"n_steps": 420, "validate_every": 105})
    tuned = bench.tuned(Material(shop.texts, [sequence[:-2] for sequence in shop.sequences], held_out), config)
    before, last = ([sequence[:at] for sequence in shop.sequences] for at in (-2, -1))
    next_to_last, wanted = (np.array([sequence[at] for sequence in shop.sequences]) for at in (-2, -1))
    found = {}
    for name, trunk in (("untuned", bench.untuned()), ("tuned", tuned)):
        raw = bench.encode(trunk, shop.texts)
        for system, embeddings in ((name, raw), (f"{name}, whitened", whitened(raw))):
            decay = best_decay(embeddings, before, next_to_last)
            found[f"{system} (weight {decay:g})"] = ranks_after(embeddings, last, wanted, decay)
    report(f"{bench.shop}: Recall@{K} of the next item, {len(wanted):,} customers, {len(shop.texts):,} texts", found)

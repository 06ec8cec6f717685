"""Writes `rectools.json`: a small world, and what RecTools makes of it, to compare our metrics with where it cannot be installed.

RecTools wants an older numpy than we do, so it runs in an environment of its own:

    python -m venv rectools && rectools/bin/pip install rectools==0.19.0
    rectools/bin/python tests/offline_eval/record_rectools.py tests/offline_eval/rectools.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import metrics
from rectools.metrics.distances import PairwiseHammingDistanceCalculator

N_CUSTOMERS, N_ITEMS, N_CATEGORIES, DEPTH, K = 60, 30, 4, 12, 5


def world(seed: int = 7) -> dict[str, object]:
    """Lists, what was wanted, what had been bought, and the category of each item, by id."""
    rng = np.random.default_rng(seed)
    items = [f"i{number:02}" for number in range(N_ITEMS)]

    def drawn(least: int, most: int) -> list[str]:
        return [items[item] for item in rng.permutation(N_ITEMS)[: rng.integers(least, most + 1)]]

    customers = [f"c{number:02}" for number in range(N_CUSTOMERS)]
    history = {customer: drawn(1, 8) for customer in customers}
    history["c00"] = items  # so every item has a buyer: what has none, conventions differ on
    return {
        "lists": {customer: drawn(DEPTH, DEPTH) for customer in customers},
        "wanted": {customer: drawn(1, 9) for customer in customers},
        "history": history,
        "categories": {item: int(rng.integers(N_CATEGORIES)) for item in items},
    }


def frame(of: dict[str, list[str]]) -> pd.DataFrame:
    """As RecTools reads lists and interactions."""
    rows = [(customer, item, place + 1) for customer, items in of.items() for place, item in enumerate(items)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank"])


def values(made: dict[str, object]) -> dict[str, list[float] | float]:
    """By our names; one value per customer, in their order, or one of all lists together."""
    reco, wanted, history = (frame(made[name]) for name in ("lists", "wanted", "history"))
    categories = pd.DataFrame({"category": made["categories"]}).rename_axis("item_id")
    catalog = list(made["categories"])
    of_lists = {
        f"NDCG@{K}": metrics.NDCG(K, divide_by_achievable=True).calc_per_user(reco, wanted),
        f"NDCG@{K}, ideal of k places": metrics.NDCG(K).calc_per_user(reco, wanted),
        f"Recall@{K}": metrics.Recall(K).calc_per_user(reco, wanted),
        f"Precision@{K}": metrics.Precision(K).calc_per_user(reco, wanted),
        f"HitRate@{K}": metrics.HitRate(K).calc_per_user(reco, wanted),
        f"MAP@{K}": metrics.MAP(K).calc_per_user(reco, wanted),
        f"MAP@{K}, divided by k": metrics.MAP(K, divide_by_k=True).calc_per_user(reco, wanted),
        f"MRR@{K}": metrics.MRR(K).calc_per_user(reco, wanted),
        f"Novelty@{K}": metrics.MeanInvUserFreq(K).calc_per_user(reco, history),
        f"Popularity@{K}": metrics.AvgRecPopularity(K).calc_per_user(reco, history),
        f"CategoryDiversity@{K}": metrics.IntraListDiversity(K, PairwiseHammingDistanceCalculator(categories)).calc_per_user(reco),
        f"Serendipity@{K}, weighted by popularity": metrics.Serendipity(K).calc_per_user(reco, wanted, history, catalog),
    }
    found = {name: series.sort_index().tolist() for name, series in of_lists.items()}
    return {**found, "Coverage@1": metrics.CatalogCoverage(1, normalize=True).calc(reco, catalog)}


if __name__ == "__main__":
    made = world()
    content = {"rectools": version("rectools"), "k": K, **made, "values": values(made)}
    Path(sys.argv[1]).write_text(json.dumps(content, separators=(",", ":")) + "\n")

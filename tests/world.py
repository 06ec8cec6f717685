"""A small shop with known answers, written in the canonical folder layout.

Customers and items are even or odd, and customers like items of their own parity: even customers buy even items nearly always.
Every customer has a favourite item, bought every other week. Item 0 is even and the most popular of all, item 1 odd and second.
The last item of each parity was never bought; the very last two items are not recommendable and out of stock.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.dataset import in_no_order

N_CUSTOMERS = 80
N_ITEMS = 64
ITEM_IDS = tuple(in_no_order(pa.table({"item_id": [f"i{n}" for n in range(N_ITEMS)]}))["item_id"].to_pylist())
"""Ids of the items, by the number that the data give them."""
NUMBER = {id_: number for number, id_ in enumerate(ITEM_IDS)}
N_DAYS = 170
DAY = np.timedelta64(1, "D")
START = np.datetime64("2024-01-01T00:00:00", "us")
END = START + np.timedelta64(N_DAYS, "D")
NOT_RECOMMENDABLE, OUT_OF_STOCK = "i62", "i63"
NEVER_BOUGHT = "i60"

FEW_TREES = """
[rankers.home]
train_on = "home"
n_trees = 10
min_data_in_leaf = 5
[rankers.discovery]
train_on = "discovery"
n_trees = 10
min_data_in_leaf = 5
"""
"""Rankers that a small shop trains in no time."""

QUICK = (
    FEW_TREES
    + """
[training]
n_threads = 1
n_ranking_periods = 2
max_queries_per_period = 30
[segmentation]
n_segments = 2
[sources.als]
kind = "als"
factors = 8
iterations = 5
"""
)
"""Settings for studies that train several engines on it."""

THINGS = ("tea", "coffee", "soap", "candle", "notebook", "pencil", "mug", "scarf")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown", "grey")


def write_world(folder: Path, seed: int = 5) -> Path:
    """Write the shop; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_items(), folder / "items.parquet")
    pq.write_table(_interactions(np.random.default_rng(seed)), folder / "interactions.parquet")
    return folder


def _items() -> pa.Table:
    numbers = range(N_ITEMS)
    return pa.table(
        {
            "item_id": [f"i{n}" for n in numbers],
            "title": [f"{COLOURS[n % 8].title()} {THINGS[n // 8]}" for n in numbers],
            "brand": [f"brand {n % 2}{n % 6 // 2}" for n in numbers],
            "category": [["Drinks" if n < 16 else "Home", THINGS[n // 8].title()] for n in numbers],
            "group_id": [f"{THINGS[n // 8]}" if n >= 48 else None for n in numbers],
            "available": [f"i{n}" != OUT_OF_STOCK for n in numbers],
            "recommendable": [f"i{n}" != NOT_RECOMMENDABLE for n in numbers],
        }
    )


def _interactions(rng: np.random.Generator) -> pa.Table:
    rows: list[tuple[str, str, np.datetime64, str, float, float]] = []
    popularity = 1.0 / np.arange(1, N_ITEMS // 2 - 1)
    for customer in range(N_CUSTOMERS):
        parity = customer % 2
        own = np.arange(parity, N_ITEMS - 4, 2)
        favourite = int(own[4 + customer // 2 % 20])
        for visit, day in enumerate(np.sort(rng.choice(N_DAYS, 22, replace=False))):
            chosen = rng.choice(own, 2, replace=False, p=popularity[: len(own)] / popularity[: len(own)].sum())
            stray = rng.random() < 0.08
            items = {favourite if visit % 2 == 0 else int(chosen[0]), int(chosen[1]) ^ int(stray)}
            time = START + np.timedelta64(int(day) * 86_400 + 36_000 + customer, "s")
            rows += [
                (f"c{customer}", f"i{item}", time, f"b{customer}-{visit}", 1.0, 2.0 + customer % 5 + item / 10) for item in sorted(items)
            ]
    customers, items, times, baskets, quantities, values = zip(*rows, strict=True)
    return pa.table(
        {
            "item_id": items,
            "customer_id": customers,
            "event": ["purchase"] * len(rows),
            "event_time": pa.array(np.array(times, "datetime64[us]"), pa.timestamp("us", "UTC")),
            "basket_id": baskets,
            "quantity": quantities,
            "value": values,
        }
    )

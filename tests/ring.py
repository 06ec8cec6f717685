"""A shop in which the next item follows from the last, and settings that measure it by position."""

from __future__ import annotations

from pathlib import Path

from lines import write_shop

N_ITEMS, N_CUSTOMERS, N_BOUGHT = 24, 90, 8
SETTINGS = """
default_strategy = "next"
choose = []
evaluation = { strategy = "next", discovery_strategy = "next" }
[training]
n_ranking_periods = 2
[sources]
repurchase = false
als = false
covisit = false
content = false
popular = false
popular_7d = false
popular_segment = false
order = { kind = "covisit", unit = "sequence", backward = 0, popularity_exponent = 0, half_life_days = 1e9, seed_half_life_items = 0.2 }
sales = { kind = "popular" }
[strategies]
home = false
product = false
discovery = false
[strategies.next]
sources = { order = 20, sales = 20 }
ranker = "next"
filters = ["bought"]
[rankers]
home = false
discovery = false
[rankers.next]
train_on = "next"
n_trees = 20
min_data_in_leaf = 5
"""


def write_ring(folder: Path) -> Path:
    """Items stand in a ring; everybody starts somewhere and takes the next one every day."""
    lines = [
        {"customer_id": f"c{customer}", "item_id": f"i{(customer + day) % N_ITEMS:02d}", "day": day + customer / 100}
        for customer in range(N_CUSTOMERS)
        for day in range(N_BOUGHT)
    ]
    return write_shop(folder, lines)

"""Purchases drawn from a known world: customers buy at their own steady rates for their own amounts, and some leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmentation.purchases import Purchases

START = np.datetime64("2024-01-01", "us")
AS_OF = np.datetime64("2025-01-01", "us")
HORIZON_DAYS = 28.0


@dataclass(frozen=True)
class World:
    """purchases: also of the horizon after AS_OF; rates: purchases a day while staying; amounts: mean value; leaves: days from START."""

    purchases: Purchases
    n_customers: int
    rates: np.ndarray
    amounts: np.ndarray
    leaves: np.ndarray


def world(n_customers: int = 700, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    rates = rng.choice([0.01, 0.03, 0.1, 0.25], n_customers)
    amounts = rng.lognormal(3, 1, n_customers)
    leaves = rng.exponential(500, n_customers)
    days = float((AS_OF - START) / np.timedelta64(1, "D")) + HORIZON_DAYS
    counts = rng.poisson(rates * days)
    customers = np.repeat(np.arange(n_customers, dtype=np.int32), counts)
    at = rng.random(len(customers)) * days
    kept = at < leaves[customers]
    customers, at = customers[kept], at[kept]
    values = amounts[customers] * rng.lognormal(0, 0.3, len(customers))
    purchases = Purchases(
        customers,
        START + (at * 86_400_000_000).astype("timedelta64[us]"),
        values.astype(np.float32),
        np.arange(len(customers), dtype=np.int32),
        rng.integers(-1, 3, len(customers)).astype(np.int32),
        ("tea", "coffee", "cake"),
    )
    return World(purchases, n_customers, rates, amounts, leaves)

"""How far the features moved between what the ranker learned from and what the refitted sources give it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.training.rows import candidates_of
from recsys.types import Floats, Query, aware

N_BINS = 10
SMOOTH = 1e-4


def sample_features(bundle: Bundle, strategy: StrategyConfig, customers: NDArray[np.int64], time: np.datetime64) -> Floats:
    """Features of all candidates of some customers who ask at a time, float32 (n, n_features)."""
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    parts = []
    for customer in customers:
        resolved, _ = engine.resolve(Query(k=1, time=aware(time), customer_id=bundle.customers.ids[customer]), snapshot)
        candidates = candidates_of(engine, resolved, strategy, snapshot)
        parts.append(bundle.features.rows(resolved, candidates, bundle.sources))
    return np.concatenate(parts) if parts else np.empty((0, len(bundle.features.names)), np.float32)


def population_stability(before: Floats, after: Floats) -> float:
    """Population stability index of one feature; 0 = the same, above 0.25 is usually called a shift.

    Sum over bins of (q - p) * log(q / p); bins are the deciles of `before`, and one for missing values. NaN without any row.

    Source: Siddiqi (2006), Credit Risk Scorecards.
    """
    if not len(before) or not len(after):
        return float("nan")
    edges = np.unique(np.nanquantile(before, np.linspace(0, 1, N_BINS + 1)[1:-1])) if np.isfinite(before).any() else np.empty(0)
    shares = [np.maximum(_shares(values, edges), SMOOTH) for values in (before, after)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _shares(values: Floats, edges: NDArray[np.floating]) -> NDArray[np.float64]:
    missing = ~np.isfinite(values)
    bins = np.where(missing, len(edges) + 1, np.searchsorted(edges, np.where(missing, 0, values), side="left"))
    return np.bincount(bins, minlength=len(edges) + 2) / len(values)

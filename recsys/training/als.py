"""Fitting implicit ALS."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from recsys.candidates.factors import FactorSource
from recsys.features.spec import half_life_weights
from recsys.source_config import AlsConfig, IndexConfig
from recsys.text.index import VectorIndex
from recsys.threads import single_blas
from recsys.training.stages import Progress, silent
from recsys.types import Floats, Interactions

N_QUERIES = 500
"""Customers whose factors say how hard the index of items has to search."""


def fit_als(
    lines: Interactions,
    n_customers: int,
    n_items: int,
    as_of: np.datetime64,
    config: AlsConfig,
    index_config: IndexConfig,
    *,
    seed: int,
    n_threads: int,
    progress: Progress = silent,
) -> FactorSource:
    """Factorise customers x items, each line weighted 0.5 ** (age / half-life); items nobody bought get zeros.

    On the GPU where `implicit` finds one.

    Source: Hu, Koren & Volinsky (2008), by the `implicit` library.
    """
    known = lines.customers >= 0
    ages = ((as_of - lines.times[known]) / np.timedelta64(1, "D")).astype(np.float32)
    weights = half_life_weights(ages, config.half_life_days)
    matrix = sparse.csr_matrix((weights, (lines.customers[known], lines.items[known])), shape=(n_customers, n_items))
    with single_blas():
        model = _model(config, seed, n_threads)
        model.fit(matrix, show_progress=False, callback=lambda done, *_: progress(done + 1, config.iterations, "ALS"))
    factors, customers = (_on_processor(learnt) for learnt in (model.item_factors, model.user_factors))
    factors[np.asarray(matrix.sum(axis=0)).ravel() == 0] = 0.0
    asking = customers[np.any(customers != 0, axis=1)]
    asking = asking[np.sort(np.random.default_rng(seed).permutation(len(asking))[:N_QUERIES])]
    return FactorSource(factors, VectorIndex.build(factors, index_config, asking), config)


def on_gpu() -> bool:
    """Whether `implicit` finds a GPU, and its package for memory there (rmm); other bits than on a CPU come of it."""
    import implicit.gpu

    return bool(implicit.gpu.HAS_CUDA)


def _on_processor(factors: Any) -> Floats:
    return np.ascontiguousarray(factors.to_numpy() if on_gpu() else factors, np.float32)


def _model(config: AlsConfig, seed: int, n_threads: int) -> Any:
    settings: dict[str, Any] = {
        "factors": config.factors,
        "regularization": config.regularization,
        "alpha": config.alpha,
        "iterations": config.iterations,
        "random_state": seed,
    }
    if on_gpu():
        from implicit.gpu.als import AlternatingLeastSquares as OnGpu

        return OnGpu(**settings)
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(**settings, num_threads=n_threads)

"""Fitting implicit ALS."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recsys.candidates.factors import FactorSource
from recsys.config import AlsConfig, IndexConfig
from recsys.features.spec import half_life_weights
from recsys.text.index import VectorIndex
from recsys.threads import single_blas
from recsys.training.stages import Progress, silent
from recsys.types import Interactions


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

    Source: Hu, Koren & Volinsky (2008), by the `implicit` library.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    known = lines.customers >= 0
    ages = ((as_of - lines.times[known]) / np.timedelta64(1, "D")).astype(np.float32)
    weights = half_life_weights(ages, config.half_life_days)
    matrix = sparse.csr_matrix((weights, (lines.customers[known], lines.items[known])), shape=(n_customers, n_items))
    with single_blas():
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            num_threads=n_threads,
            random_state=seed,
        )
        model.fit(matrix, show_progress=False, callback=lambda done, *_: progress(done + 1, config.iterations, "ALS"))
    factors = np.ascontiguousarray(model.item_factors, np.float32)
    factors[np.asarray(matrix.sum(axis=0)).ravel() == 0] = 0.0
    return FactorSource(factors, VectorIndex.build(factors, index_config), config)

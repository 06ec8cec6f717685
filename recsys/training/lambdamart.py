"""Fitting LambdaMART."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.config import RankerConfig
from recsys.errors import DataError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.rows import Rows
from recsys.training.stages import Progress


def fit_lambdamart(
    rows: Sequence[Rows], names: tuple[str, ...], config: RankerConfig, *, seed: int, n_threads: int, progress: Progress
) -> LambdaMart:
    """Boost trees on the rows of all periods with NDCG as the objective.

    Source: Burges (2010), MSR-TR-2010-82; by LightGBM.
    """
    import lightgbm

    sizes = np.concatenate([part.sizes for part in rows])
    if not len(sizes):
        raise DataError("no query of the ranking periods has a wanted item among its candidates; are the data long and dense enough?")
    table = lightgbm.Dataset(
        np.concatenate([part.features for part in rows]),
        label=np.concatenate([part.labels for part in rows]),
        group=sizes,
        feature_name=list(names),
        params={"verbosity": -1, "num_threads": n_threads},
    )
    booster = lightgbm.train(
        _parameters(config, seed, n_threads),
        table,
        num_boost_round=config.n_trees,
        callbacks=[lambda env: progress(env.iteration + 1, config.n_trees, "boosting")],
    )
    return LambdaMart(booster.model_to_string())


def _parameters(config: RankerConfig, seed: int, n_threads: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.n_leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "feature_fraction": config.feature_fraction,
        "lambda_l2": config.l2,
        "seed": seed,
        "num_threads": n_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }

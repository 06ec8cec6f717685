"""Fitting LambdaMART, and what its scores mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsys.config import RankerConfig
from recsys.errors import DataError
from recsys.ranking.calibration import Calibration
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.calibration import candidates_per_row, fit_calibration
from recsys.training.rows import Rows
from recsys.training.stages import Progress
from recsys.types import Flags, Ints

HELD_OUT_SHARE = 0.15
"""Share of the customers whose queries tell when to stop, and what scores mean."""
LEAST_HELD_OUT = 50
"""With fewer customers to hold out the best number of trees would be chance, and all are boosted."""
MEASURED_AT = 10
LAST_POSITION = 50
"""Positions from here on count as one: few customers get there."""
POSITION_L2 = "lambdarank_position_bias_regularization"

Parameters = dict[str, object]


def fit_lambdamart(
    rows: Sequence[Rows], names: tuple[str, ...], config: RankerConfig, *, seed: int, n_threads: int, progress: Progress
) -> LambdaMart:
    """Boost trees on the rows of all periods with NDCG as the objective, and learn what their scores mean.

    With ``patience`` or ``calibrate``, and 50 customers or more to hold out (15 % of them), it is done twice: first without those
    customers' queries, with ``patience`` until their NDCG@10 has not risen for so many rounds; then on all rows, with as many trees. What
    the first trees say of the customers held out is what the calibration is fitted on; with fewer customers there is none.

    Where items were shown, each position has a bias of its own, added to the scores while trees are boosted and left out afterwards.

    Raises:
        DataError: no query has a wanted item among its candidates.

    Source: Burges (2010), MSR-TR-2010-82; positions as in Zhao et al. (2019), RecSys, an additive tower; both by LightGBM.
    """
    taught, idle = (Rows.stacked(parts) for parts in zip(*(part.parted() for part in rows), strict=True))
    if not len(taught.sizes):
        raise DataError("no query of the ranking periods has a wanted item among its candidates; are the data long and dense enough?")
    parameters = parameters_of(taught, names, config, seed, n_threads)
    rng = np.random.default_rng(seed)
    held_out = held_out_queries(taught.customers, HELD_OUT_SHARE, rng)
    n_trees, calibration = config.n_trees, None
    if held_out.any() and (config.calibrate or config.patience is not None):
        tried = _tried(taught, held_out, names, parameters, config, progress)
        n_trees = config.n_trees if config.patience is None else int(tried.best_iteration)
        calibration = _calibrated(tried, _unseen(taught, held_out, idle, rng)) if config.calibrate else None
    booster = boost(dataset(taught, names, parameters), parameters, n_trees, [_telling(progress, n_trees, "boosting")])
    return LambdaMart(booster.model_to_string(), calibration)


def held_out_queries(customers: Ints, share: float, rng: np.random.Generator) -> Flags:
    """Which queries are held out: all of a share of the customers; none where those would be too few. Guests, who may be anybody, never
    are."""
    known = np.unique(customers[customers >= 0])
    n = round(share * len(known))
    return np.isin(customers, rng.choice(known, n, replace=False) if n >= LEAST_HELD_OUT else [])


def dataset(rows: Rows, names: tuple[str, ...], parameters: Parameters, reference: Any = None) -> Any:
    """LightGBM's view of rows. reference: the one whose bins are to be used; None = its own"""
    import lightgbm

    return lightgbm.Dataset(
        rows.features,
        label=rows.labels,
        group=rows.sizes,
        position=np.minimum(rows.positions, LAST_POSITION) if POSITION_L2 in parameters else None,
        feature_name=list(names),
        reference=reference,
        params={name: parameters[name] for name in ("verbosity", "num_threads")},
    )


def boost(known: Any, parameters: Parameters, n_trees: int, callbacks: list[Any], judged: list[Any] | None = None) -> Any:
    """LightGBM's booster. known, judged: see `dataset`"""
    import lightgbm

    return lightgbm.train(parameters, known, num_boost_round=n_trees, valid_sets=judged, callbacks=callbacks)


def parameters_of(rows: Rows, names: tuple[str, ...], config: RankerConfig, seed: int, n_threads: int) -> Parameters:
    """What LightGBM is told. Where nothing of the rows was shown, there are no positions to tell of."""
    parameters: Parameters = {
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
    if config.monotone:
        parameters["monotone_constraints"] = [config.monotone.get(name, 0) for name in names]
    if config.position_l2 is not None and rows.positions.any():
        parameters[POSITION_L2] = config.position_l2
    return parameters


def _tried(taught: Rows, held_out: Flags, names: tuple[str, ...], parameters: Parameters, config: RankerConfig, progress: Progress) -> Any:
    """Trees of all customers but those held out; with patience only so many as rank the latter best."""
    import lightgbm

    known = dataset(taught.of_queries((taught.customers >= 0) & ~held_out), names, parameters)
    telling = _telling(progress, config.n_trees, "boosting without the customers held out")
    if config.patience is None:
        return boost(known, parameters, config.n_trees, [telling])
    judged = dataset(taught.of_queries(held_out), names, parameters, reference=known)
    callbacks = [telling, lightgbm.early_stopping(config.patience, verbose=False)]
    return boost(known, {**parameters, "metric": "ndcg", "eval_at": [MEASURED_AT]}, config.n_trees, callbacks, [judged])


def _unseen(taught: Rows, held_out: Flags, idle: Rows, rng: np.random.Generator) -> Rows:
    """All queries of the customers held out, and of as large a share of those whose queries are all idle."""
    unasked = np.setdiff1d(idle.customers, [*taught.customers, -1])
    apart = [*taught.customers[held_out], *rng.choice(unasked, round(HELD_OUT_SHARE * len(unasked)), replace=False)]
    return Rows.stacked([taught.of_queries(held_out), idle.of_queries(np.isin(idle.customers, apart))])


def _calibrated(tried: Any, unseen: Rows) -> Calibration | None:
    """What scores mean, from those of rows that the trees did not learn from."""
    scores = LambdaMart(tried.model_to_string()).score(unseen.features)
    return fit_calibration(scores, unseen.labels, candidates_per_row(unseen))


def _telling(progress: Progress, n_trees: int, what: str) -> Callable[[Any], None]:
    return lambda env: progress(env.iteration + 1, n_trees, what)

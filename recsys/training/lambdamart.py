"""Fitting LambdaMART."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.config import RankerConfig
from recsys.errors import DataError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.rows import Rows
from recsys.training.stages import Progress
from recsys.types import Flags, Floats, Ints

HELD_OUT_SHARE = 0.15
"""Share of the customers whose queries tell when to stop."""
LEAST_HELD_OUT = 50
"""With fewer customers to hold out the best number of trees would be chance, and all are boosted."""
MEASURED_AT = 10


def fit_lambdamart(
    rows: Sequence[Rows], names: tuple[str, ...], config: RankerConfig, *, seed: int, n_threads: int, progress: Progress
) -> LambdaMart:
    """Boost trees on the rows of all periods with NDCG as the objective.

    With ``patience``, and 50 customers or more to hold out (15 % of them), it is done twice: first without those customers' queries,
    until their NDCG@10 has not risen for so many rounds; then on all rows, with as many trees as were best.

    Raises:
        DataError: no query has a wanted item among its candidates.

    Source: Burges (2010), MSR-TR-2010-82; by LightGBM.
    """
    table = _Table.of(rows, names, _parameters(names, config, seed, n_threads))
    n_trees, held_out = config.n_trees, _held_out(table.customers, np.random.default_rng(seed))
    if config.patience is not None and held_out.any():
        n_trees = _best_n_trees(table, held_out, n_trees, config.patience, progress)
    everything = table.dataset(np.ones(len(table.sizes), np.bool_))
    booster = _boost(everything, table.parameters, n_trees, [_telling(progress, n_trees, "boosting")])
    return LambdaMart(booster.model_to_string())


@dataclass(frozen=True)
class _Table:
    """The rows of all periods, see `Rows`, and LightGBM's parameters."""

    features: Floats
    labels: Ints
    sizes: Ints
    customers: Ints
    names: tuple[str, ...]
    parameters: dict[str, object]

    @staticmethod
    def of(rows: Sequence[Rows], names: tuple[str, ...], parameters: dict[str, object]) -> _Table:
        if not sum(len(part.sizes) for part in rows):
            raise DataError("no query of the ranking periods has a wanted item among its candidates; are the data long and dense enough?")
        columns = {name: np.concatenate([getattr(part, name) for part in rows]) for name in ("features", "labels", "sizes", "customers")}
        return _Table(**columns, names=names, parameters=parameters)

    def dataset(self, queries: Flags, reference: Any = None) -> Any:
        """LightGBM's view of some queries. reference: the one whose bins are to be used; None = its own"""
        import lightgbm

        rows = np.repeat(queries, self.sizes) if not queries.all() else slice(None)
        of_data = {name: self.parameters[name] for name in ("verbosity", "num_threads")}
        return lightgbm.Dataset(
            self.features[rows],
            label=self.labels[rows],
            group=self.sizes[queries],
            feature_name=list(self.names),
            reference=reference,
            params=of_data,
        )


def _best_n_trees(table: _Table, held_out: Flags, n_trees: int, patience: int, progress: Progress) -> int:
    """With how many trees, of `n_trees` at most, the held-out queries are ranked best."""
    import lightgbm

    known = table.dataset((table.customers >= 0) & ~held_out)
    judged = table.dataset(held_out, reference=known)
    telling = _telling(progress, n_trees, "looking for the number of trees")
    parameters = {**table.parameters, "metric": "ndcg", "eval_at": [MEASURED_AT]}
    return int(_boost(known, parameters, n_trees, [telling, lightgbm.early_stopping(patience, verbose=False)], [judged]).best_iteration)


def _held_out(customers: Ints, rng: np.random.Generator) -> Flags:
    """Which queries are held out: all of a share of the customers; none where those would be too few. Guests, who may be anybody, never
    are."""
    known = np.unique(customers[customers >= 0])
    n = round(HELD_OUT_SHARE * len(known))
    return np.isin(customers, rng.choice(known, n, replace=False) if n >= LEAST_HELD_OUT else [])


def _boost(known: Any, parameters: dict[str, object], n_trees: int, callbacks: list[Any], judged: list[Any] | None = None) -> Any:
    import lightgbm

    return lightgbm.train(parameters, known, num_boost_round=n_trees, valid_sets=judged, callbacks=callbacks)


def _telling(progress: Progress, n_trees: int, what: str) -> Callable[[Any], None]:
    return lambda env: progress(env.iteration + 1, n_trees, what)


def _parameters(names: tuple[str, ...], config: RankerConfig, seed: int, n_threads: int) -> dict[str, object]:
    parameters: dict[str, object] = {
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
    return parameters

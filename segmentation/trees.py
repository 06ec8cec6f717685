"""Boosted trees that one fit makes and another process reads: LightGBM behind a text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Reals

if TYPE_CHECKING:
    from lightgbm import Booster

N_TREES = 120


@dataclass(frozen=True)
class Trees:
    """model: LightGBM's own text format.

    Raises:
        ValueError: it is none.
    """

    model: str

    def __post_init__(self) -> None:
        _ = self._booster

    def raw(self, columns: Reals) -> Reals:
        """Sum of the leaves of each row: log odds of a yes, or the number itself; shape (n,) for columns (n, n_features)."""
        if not len(columns):
            return np.zeros(0)
        return np.asarray(self._booster.predict(columns, raw_score=True, num_threads=1), np.float64)

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns are."""
        return tuple(self._booster.feature_name())

    @cached_property
    def _booster(self) -> Booster:
        import lightgbm

        try:
            return lightgbm.Booster(model_str=self.model)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"not a LightGBM model: {error}") from error


def fit_trees(
    columns: Reals, labels: NDArray[np.generic], names: tuple[str, ...], rising: Collection[str], *, seed: int, n_threads: int
) -> Trees:
    """Fit yes or no where the labels are boolean, else least squares; never falling in the columns named by `rising`.

    columns: shape (n, len(names)); NaN = unknown. The same for equal seed and threads.
    """
    import lightgbm

    parameters = {
        "objective": "binary" if labels.dtype == np.bool_ else "regression",
        "learning_rate": 0.05,
        "num_leaves": 8,
        "min_data_in_leaf": 40,
        "lambda_l2": 5.0,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "monotone_constraints": [int(name in rising) for name in names],
        "seed": seed,
        "num_threads": n_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    table = lightgbm.Dataset(columns, label=labels.astype(np.float64), feature_name=list(names), params={"verbosity": -1})
    return Trees(lightgbm.train(parameters, table, num_boost_round=N_TREES).model_to_string())

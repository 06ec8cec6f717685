"""What a model expects an action to earn: the part of the direct method and of doubly robust estimates that is not in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.off_policy.decisions import Decisions
from offline_eval.significance import Doubles
from recsys.errors import DataError

N_FOLDS = 3
STRENGTH = 1.0
_CELLS_PER_CHUNK = 4_000_000


@dataclass(frozen=True)
class PredictedRewards:
    """Predictions for each of n decisions, in the unit of the reward; float64, finite.

    logged:   of the logged action
    expected: of an action drawn from the evaluated policy

    Raises:
        DataError: the lengths differ or a value is not finite, naming the row.
    """

    logged: Doubles
    expected: Doubles

    def __post_init__(self) -> None:
        if len(self.logged) != len(self.expected):
            raise DataError(f"{len(self.logged)} rows have a prediction of the logged action and {len(self.expected)} of the policy's")
        wrong = ~(np.isfinite(self.logged) & np.isfinite(self.expected))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"row {row + 1}: the predicted rewards are {self.logged[row]:g} and {self.expected[row]:g}; they must be finite"
            )


def features_of(table: pd.DataFrame, names: Sequence[str]) -> Doubles:
    """Columns of a log as features: numbers as they are, other values as one indicator each; shape (n, n_features).

    Raises:
        DataError: a column is missing, or a number is.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"the log lacks {', '.join(map(repr, missing))}; it has: {', '.join(map(str, table.columns))}")
    features = pd.get_dummies(table[list(names)], dtype=np.float64).to_numpy(np.float64)
    if not np.isfinite(features).all():
        raise DataError(
            f"row {int(np.argmin(np.isfinite(features).all(axis=1))) + 1}: one of {', '.join(map(repr, names))} is no finite number"
        )
    return features


def fit_rewards(
    decisions: Decisions,
    policy: ActionProbabilities,
    rng: np.random.Generator,
    features: Doubles | None = None,
    *,
    n_folds: int = N_FOLDS,
    strength: float = STRENGTH,
) -> PredictedRewards:
    """Predict rewards by a regression on the action, the position and the features, cross-fitted.

    Logistic where all rewards are 0 or 1, else linear with least squares; the squared weights are penalised by 1 / (2 strength). The action
    adds to the rest and does not interact with it: a plain model whose errors are for the doubly robust estimates to correct. Every
    row is predicted by a model that saw no row of its unit, so the correction is not fooled by what the model learned by heart.

    Args:
        policy: the evaluated policy, for the same rows.
        features: of each decision, finite; shape (n, n_features); None = none.

    Raises:
        ValueError: there are fewer than two folds.
        DataError: there are fewer units than folds, or the model predicts something that is not finite.

    Source:
        Direct method of Dudík, Langford & Li (2011), ICML; cross-fitting of Chernozhukov et al. (2018), The Econometrics Journal 21(1).
    """
    units = np.unique(decisions.units, return_inverse=True)[1]
    n_units = int(units.max()) + 1
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}")
    if n_units < n_folds:
        raise DataError(f"the log has {n_units} units; a reward model that is cross-fitted in {n_folds} folds needs as many")
    folds = rng.permutation(np.arange(n_units) % n_folds)[units]
    design = _Design.of(decisions, policy, features)
    logged, expected = np.empty(len(units)), np.empty(len(units))
    for fold in range(n_folds):
        held_out = np.flatnonzero(folds == fold)
        model = _fit(design, decisions.rewards, np.flatnonzero(folds != fold), strength)
        logged[held_out], expected[held_out] = model.predict(design, policy, held_out)
    return PredictedRewards(logged, expected)


@dataclass(frozen=True)
class _Design:
    """Everything a prediction depends on. actions: number of the logged action of each row; places: of each of the policy's actions."""

    context: Any  # scipy.sparse, (n, n_context): standardised features and indicators of the position
    actions: NDArray[np.intp]
    places: NDArray[np.intp]
    n_actions: int

    @staticmethod
    def of(decisions: Decisions, policy: ActionProbabilities, features: Doubles | None) -> _Design:
        names = pd.Index(np.union1d(policy.actions, decisions.actions))
        context = _indicators(np.unique(decisions.positions, return_inverse=True)[1])
        if features is not None:
            spread = features.std(axis=0)
            context = sparse.hstack([context, (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)], format="csr")
        logged, places = names.get_indexer(pd.Index(decisions.actions)), names.get_indexer(pd.Index(policy.actions))
        return _Design(context, logged, places, len(names))


@dataclass(frozen=True)
class _Model:
    """A linear score of context and action; is_chance: the score is a log-odds."""

    context: Doubles
    actions: Doubles
    bias: float
    is_chance: bool

    def predict(self, design: _Design, policy: ActionProbabilities, rows: NDArray[np.intp]) -> tuple[Doubles, Doubles]:
        """Predictions of the logged action and of the policy's, both (n_rows,)."""
        scores = design.context[rows] @ self.context + self.bias
        logged = self._reward(scores + self.actions[design.actions[rows]])
        expected = np.empty(len(rows))
        size = max(1, _CELLS_PER_CHUNK // policy.table.shape[1])
        for first in range(0, len(rows), size):
            part = slice(first, first + size)
            each = self._reward(scores[part, None] + self.actions[design.places])  # (n_part, n_actions)
            expected[part] = np.sum(policy.table[policy.rows[rows[part]]] * each, axis=1)
        return logged, expected

    def _reward(self, scores: Doubles) -> Doubles:
        return np.asarray(expit(scores), np.float64) if self.is_chance else scores


def _fit(design: _Design, rewards: Doubles, rows: NDArray[np.intp], strength: float) -> _Model:
    from sklearn.linear_model import LogisticRegression, Ridge

    is_binary = bool(np.isin(rewards, (0.0, 1.0)).all())
    taught = rewards[rows]
    n_context = design.context.shape[1]
    if (taught == taught[0]).all():
        return _Model(np.zeros(n_context), np.zeros(design.n_actions), float(taught[0]), is_chance=False)
    columns = sparse.hstack([design.context[rows], _indicators(design.actions[rows], design.n_actions)], format="csr")
    if is_binary:
        regression = LogisticRegression(C=strength, max_iter=2_000).fit(columns, taught)
    else:
        regression = Ridge(alpha=1 / strength).fit(columns, taught)
    weights, bias = np.ravel(regression.coef_), float(np.ravel(regression.intercept_)[0])
    return _Model(weights[:n_context], weights[n_context:], bias, is_chance=is_binary)


def _indicators(codes: NDArray[np.intp], n: int | None = None) -> Any:
    """One column per code, 1 where a row has it; sparse, (n_rows, n)."""
    shape = len(codes), int(codes.max()) + 1 if n is None else n
    return sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=shape)

"""A policy as all its probabilities: needed to see where it would go that the log never went, and to ask a reward model what it expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline_eval.significance import Doubles
from recsys.errors import DataError

TOLERANCE = 1e-6


@dataclass(frozen=True)
class ActionProbabilities:
    """A table of distributions over actions, and which of them holds at each of n decisions.

    actions: names, without repeats; str, length n_actions
    table:   one distribution a row, each with sum 1; float64, shape (n_distributions, n_actions)
    rows:    row of the table that holds at each decision; intp, shape (n,)

    Raises:
        DataError: a probability is out of range or a sum is not 1, naming the row of the table.
    """

    actions: NDArray[np.str_]
    table: Doubles
    rows: NDArray[np.intp]

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.table.shape[1] != len(self.actions) or len(set(self.actions.tolist())) < len(self.actions):
            raise DataError(f"{len(self.actions)} actions, without repeats, need a table as wide; its shape is {self.table.shape}")
        wrong = ~(self.table >= 0).all(axis=1) | ~(np.abs(self.table.sum(axis=1) - 1) <= TOLERANCE)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"distribution {row + 1} of the policy has sum {self.table[row].sum():g} and least value {self.table[row].min():g}"
            )

    def of(self, actions: NDArray[np.str_]) -> Doubles:
        """Probability of one action at each decision, 0 for an action that the policy does not know; shape (n,)."""
        places = pd.Index(self.actions).get_indexer(pd.Index(actions))
        return np.where(places < 0, 0.0, self.table[self.rows, places])

    def never_logged(self, actions: NDArray[np.str_], positions: NDArray[np.int64]) -> Doubles:
        """Probability, at each decision, of actions that the log never shows in that place; shape (n,)."""
        outside = np.empty(len(actions))
        for position in np.unique(positions):
            rows = np.flatnonzero(positions == position)
            absent = ~np.isin(self.actions, actions[rows])
            outside[rows] = self.table[:, absent].sum(axis=1)[self.rows[rows]]
        return outside


def policy_of_table(
    policy: pd.DataFrame, log: pd.DataFrame, action: str = "item_id", probability: str = "probability"
) -> ActionProbabilities:
    """A policy written as a table with a row per action.

    Further columns that the log has too say where a row holds: with a column `position` there is a distribution for each place, with
    `segment` for each segment. An action without a row has probability 0.

    Raises:
        DataError: a column is missing, an action is there twice, or a row of the log finds no distribution.
    """
    missing = [name for name in (action, probability) if name not in policy]
    if missing:
        raise DataError(f"the policy's table lacks {', '.join(map(repr, missing))}; it has: {', '.join(map(str, policy.columns))}")
    keys = [name for name in policy.columns if name in log and name not in (action, probability)]
    where, distinct = pd.factorize(_key(policy, keys))
    actions, names = pd.factorize(policy[action].astype(str).to_numpy(object))
    if pd.DataFrame({"where": where, "action": actions}).duplicated().any():
        raise DataError(f"the policy's table has an action twice in one place; its rows are told apart by {[action, *keys]}")
    table = np.zeros((len(distinct), len(names)))
    table[where, actions] = policy[probability].to_numpy(np.float64)
    rows = pd.Index(distinct).get_indexer(pd.Index(_key(log, keys)))
    if (rows < 0).any():
        row = int(np.argmin(rows))
        raise DataError(f"row {row + 1} of the log: the policy's table says nothing for {dict(log[keys].iloc[row])}")
    return ActionProbabilities(np.asarray(names, np.str_), table, rows)


def _key(table: pd.DataFrame, names: list[str]) -> NDArray[np.object_]:
    """What tells the distributions apart, as one string a row."""
    return np.array(["\x1f".join(map(str, values)) for values in table[names].to_numpy(object)], object)

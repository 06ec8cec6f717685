"""Logged decisions: what was shown to whom, with which probability, what it earned, and what another policy would have done.

A row is one item in one place. The columns are those of the table `exposures` of the data contract, with a reward and the evaluated
policy's probability of the logged item beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.significance import Doubles
from recsys.errors import DataError

IDS = ("customer_id", "visitor_id", "request_id", "item_id")
"""Columns that are names, even where they look like numbers."""

RowPolicy: TypeAlias = Callable[[pd.DataFrame], Doubles]
"""A policy as a function of the log's rows: its probability of each row's logged action, in [0, 1]."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a log.

    unit:        who received it; of several the first that is not empty counts
    slate:       rows with an equal value are one list; without the column every row stands alone
    position:    place in the list; without the column every row has place 1
    policy:      the evaluated policy's probability of the logged action
    unsupported: the evaluated policy's probability, at that row, of all actions that the logging policy would never take; may be missing
    """

    unit: tuple[str, ...] = ("customer_id", "visitor_id")
    slate: str = "request_id"
    position: str = "position"
    action: str = "item_id"
    propensity: str = "propensity"
    reward: str = "reward"
    policy: str = "policy"
    unsupported: str = "policy_unsupported"


@dataclass(frozen=True)
class Decisions:
    """Logged decisions as parallel arrays of length n, at least 1.

    units:        who received each; rows of one unit are never counted as independent
    slates:       rows with an equal number are one list; intp
    positions:    place in it; int64
    actions:      what was shown; str
    propensities: probability that the logging policy gave it, in (0, 1]; float64
    rewards:      what it earned, finite; float64
    policy:       probability that the evaluated policy gives it, in [0, 1]; float64
    unsupported:  the evaluated policy's probability of actions that the logging policy never takes, in [0, 1]; float64; NaN in
                  all rows = not known

    Raises:
        DataError: a value is out of its range, naming the row; there is no row; the arrays differ in length.
    """

    units: NDArray[np.str_]
    slates: NDArray[np.intp]
    positions: NDArray[np.int64]
    actions: NDArray[np.str_]
    propensities: Doubles
    rewards: Doubles
    policy: Doubles
    unsupported: Doubles

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1 or not len(self.units):
            raise DataError(f"a log needs columns of one length and at least one row, got {lengths}")
        p, policy, unsupported = self.propensities, self.policy, self.unsupported
        self._refuse("propensity", p, ~((p > 0) & (p <= 1)), "in (0, 1]: the probability with which the log's policy gave the action")
        self._refuse("the policy's probability", policy, ~((policy >= 0) & (policy <= 1)), "in [0, 1]")
        unknown = np.isnan(unsupported).all()
        wrong = ~((unsupported >= 0) & (unsupported <= 1)) & ~unknown
        self._refuse("the policy's unsupported probability", unsupported, wrong, "in [0, 1], or unknown in all rows")
        self._refuse("reward", self.rewards, ~np.isfinite(self.rewards), "a finite number; 0 where nothing was earned")

    def __len__(self) -> int:
        return len(self.units)

    @property
    def weights(self) -> Doubles:
        """Importance weight of each row: the evaluated policy's probability over the logging policy's."""
        return self.policy / self.propensities

    def _refuse(self, what: str, values: Doubles, wrong: NDArray[np.bool_], right: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            where = f"row {row + 1} (unit {self.units[row]}, action {self.actions[row]}, position {self.positions[row]})"
            raise DataError(f"{where}: {what} is {values[row]:g}; it must be {right}; {int(wrong.sum()):,} rows are wrong")


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet or CSV file (also gzipped) as a table; in a CSV file ids stay as written: "0012" is not 12.

    Raises:
        DataError: the name ends otherwise.
    """
    if path.name.endswith(".parquet"):
        return pd.read_parquet(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return pd.read_csv(path, dtype=dict.fromkeys(IDS, str))
    raise DataError(f"{path} is neither .parquet nor .csv nor .csv.gz; a log is one of these")


def numbers_of(table: pd.DataFrame, name: str) -> Doubles:
    """A column as numbers; empty cells are NaN.

    Raises:
        DataError: the column is missing, or holds something that is no number, naming the row.
    """
    if name not in table:
        raise DataError(f"the log lacks {name!r}; it has: {', '.join(map(str, table.columns))}")
    numbers = pd.to_numeric(table[name], errors="coerce")
    strange = numbers.isna() & table[name].notna()
    if strange.any():
        row = int(strange.argmax())
        raise DataError(f"row {row + 1}: {name!r} is {table[name].iloc[row]!r}, which is no number")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def decisions_of(table: pd.DataFrame, columns: Columns | None = None, policy: RowPolicy | ActionProbabilities | None = None) -> Decisions:
    """The decisions in a table.

    Args:
        policy: the evaluated policy, as a function of the rows or as all its probabilities; None = they are in a column of the table.

    Raises:
        DataError: a column is missing, empty in a row, or not what `Decisions` needs.
    """
    columns = columns or Columns()
    needed = [columns.action, columns.propensity, columns.reward, *([columns.policy] if policy is None else [])]
    missing = [name for name in needed if name not in table]
    if missing:
        raise DataError(f"the log lacks {', '.join(map(repr, missing))}; it has: {', '.join(map(str, table.columns))}")
    units, positions = _units(table, columns.unit), _positions(table, columns.position)
    actions = _names(table, columns.action)
    if isinstance(policy, ActionProbabilities):
        chosen, unsupported = policy.of(actions), policy.never_logged(actions, positions)
    else:
        chosen = numbers_of(table, columns.policy) if policy is None else np.asarray(policy(table), np.float64)
        unsupported = _unsupported(table, columns.unsupported)
    return Decisions(
        units=units,
        slates=pd.factorize(_names(table, columns.slate))[0] if columns.slate in table else np.arange(len(table)),
        positions=positions,
        actions=actions,
        propensities=numbers_of(table, columns.propensity),
        rewards=numbers_of(table, columns.reward),
        policy=chosen,
        unsupported=unsupported,
    )


def _units(table: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.str_]:
    present = [name for name in names if name in table]
    if not present:
        raise DataError(
            f"the log lacks {' and '.join(map(repr, names))}: who received what must be known; it has: {', '.join(table.columns)}"
        )
    units = table[present].bfill(axis=1).iloc[:, 0]
    if units.isna().any():
        raise DataError(
            f"row {int(units.isna().argmax()) + 1}: {' and '.join(map(repr, present))} are empty; who received it must be known"
        )
    return units.astype(str).to_numpy(np.str_)


def _unsupported(table: pd.DataFrame, name: str) -> Doubles:
    """The column where there is one; without it nothing is known. One empty cell would make the mean of all unknown."""
    if name not in table:
        return np.full(len(table), np.nan)
    unsupported = numbers_of(table, name)
    if np.isnan(unsupported).any():
        row = int(np.argmax(np.isnan(unsupported)))
        raise DataError(f"row {row + 1}: {name!r} is empty; fill it in every row (0 where the log shows all), or leave the column out")
    return unsupported


def _positions(table: pd.DataFrame, name: str) -> NDArray[np.int64]:
    if name not in table:
        return np.ones(len(table), np.int64)
    positions = numbers_of(table, name)
    whole = positions == np.round(positions)
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(f"row {row + 1}: {name!r} is {positions[row]:g}; a place is a whole number")
    return positions.astype(np.int64)


def _names(table: pd.DataFrame, name: str) -> NDArray[np.str_]:
    if table[name].isna().any():
        raise DataError(f"row {int(table[name].isna().argmax()) + 1}: {name!r} is empty")
    return table[name].astype(str).to_numpy(np.str_)

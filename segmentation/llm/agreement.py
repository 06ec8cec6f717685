"""How far labels agree with gold labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Agreement:
    """Over the texts that have a gold label and a label.

    choices:     names of the labels, in the order of the table
    n_gold:      texts with a gold label
    coverage:    share of these that have a label; NaN = no gold
    accuracy:    share of equal labels, in [0, 1]
    macro_f1:    mean F1 over the choices that occur in gold or labels, in [0, 1]
    kappa:       Cohen's, 0 = as by chance, 1 = always equal; NaN where both know one label only
    confusion:   texts by gold label (rows) and label (columns); int64, shape (n_choices, n_choices)

    accuracy, macro_f1 and kappa are NaN where no text has both. Read them beside the coverage: refusing the hard texts helps all three.
    """

    choices: tuple[str, ...]
    n_gold: int
    coverage: float
    accuracy: float
    macro_f1: float
    kappa: float
    confusion: NDArray[np.int64]


def agreement(labels: ArrayLike, gold: ArrayLike, choices: Sequence[str]) -> Agreement:
    """Compare labels with gold labels, both rows of `choices`, -1 = none.

    Raises:
        ValueError: different lengths, or a row that is not below the number of choices.
    """
    given, true = np.asarray(labels, np.int64), np.asarray(gold, np.int64)
    if given.shape != true.shape or given.ndim != 1:
        raise ValueError(f"labels and gold must be one-dimensional and of equal length, got {given.shape} and {true.shape}")
    if len(given) and not (min(given.min(), true.min()) >= -1 and max(given.max(), true.max()) < len(choices)):
        raise ValueError(f"labels and gold must be rows of the {len(choices)} choices, or -1")
    has_gold = true >= 0
    both = has_gold & (given >= 0)
    n_gold, n_both = int(has_gold.sum()), int(both.sum())
    coverage = n_both / n_gold if n_gold else math.nan
    measured = _measures(given[both], true[both], len(choices))
    return Agreement(tuple(choices), n_gold, coverage, *measured)


def _measures(given: NDArray[np.int64], true: NDArray[np.int64], n_choices: int) -> tuple[float, float, float, NDArray[np.int64]]:
    from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score

    if not len(given):
        return math.nan, math.nan, math.nan, np.zeros((n_choices, n_choices), np.int64)
    occurring = np.union1d(given, true)
    table = confusion_matrix(true, given, labels=np.arange(n_choices)).astype(np.int64)
    macro_f1 = float(f1_score(true, given, labels=occurring, average="macro", zero_division=0.0))
    kappa = float(cohen_kappa_score(true, given)) if len(occurring) > 1 else math.nan
    return float((given == true).mean()), macro_f1, kappa, table

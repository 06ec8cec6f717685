"""How likely a customer buys nothing in the horizon.

Boosted trees, taught by earlier periods, give the odds of a return within the period they were taught on. Where the horizon is longer than
that period, for want of history, the odds grow as those of the probabilistic standard (BG/NBD) do between the two. Where there is too
little to teach trees with, the standard answers alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmentation.bgnbd import chance
from segmentation.features import Examples, Features, Population
from segmentation.purchases import Reals
from segmentation.trees import Trees, fit_trees

RISING = frozenset({"standard_return", "standard_orders"})
SURE = 0.002
"""Odds are taken of probabilities no nearer than this to 0 and 1."""


@dataclass(frozen=True)
class ReturnTrees:
    """Predicts whether a customer returns within the period."""

    trees: Trees

    def in_period(self, features: Features) -> Reals:
        """Probability of a purchase within the period; shape (n,)."""
        return chance(self.trees.raw(features.columns))

    def within(self, horizon_days: float, features: Features, population: Population) -> Reals:
        """Probability of a purchase within any horizon; shape (n,)."""
        longer, period = (
            _log_odds(np.clip(population.orders.returns(features.repeats, days), SURE, 1 - SURE))
            for days in (horizon_days, population.period_days)
        )
        return chance(self.trees.raw(features.columns) + longer - period)


def fit_returns(examples: Examples, *, seed: int, n_threads: int) -> ReturnTrees:
    """Learn from who came back; a customer whom the standard thinks likelier is never thought less likely."""
    features = examples.features
    return ReturnTrees(fit_trees(features.columns, examples.returned, features.names, RISING, seed=seed, n_threads=n_threads))


def _log_odds(probability: Reals) -> Reals:
    return np.log(probability) - np.log1p(-probability)

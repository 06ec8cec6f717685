"""What a customer will spend, and the tiers cut from it.

Two ways, of which `segmentation.outlook` takes the first where the history suffices:

**Two parts**: the probability of a return (`segmentation.churn`) times the money given a return, both boosted trees on the columns of
`segmentation.features`, taught by earlier periods. Trees learn the logarithm of the money, where a few huge orders do no harm, and a
straight line turns its mean into the mean money.

**Faded rate**: the customer's own spend rate with old orders fading, drawn to the rate of all customers while little is known:

    rate = (sum of value * fade(age)  +  PRIOR_DAYS * population rate) / (integral of fade over the tenure  +  PRIOR_DAYS)
    expected value = scale * horizon * rate,  never below 0;  0 for a customer who never bought
    fade(age) = 2 ** (-age / half-life)

Half-life and scale are learned on the last horizon before the fit: predictions made at its start against what was spent in it. The scale
is the square root of spent over predicted, half of the correction that would have been right: the other half may have been the season.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.features import MONEY_NAMES, Examples, Features
from segmentation.purchases import Orders, Reals, duration
from segmentation.trees import Trees, fit_trees

HALF_LIVES_DAYS = (90.0, 60.0, 180.0, 30.0, 365.0)
"""Those tried; of equally good ones the first, which is also taken where none can be tried."""
PRIOR_DAYS = 14.0
MOST_TILT = 0.5
OUTLIER_QUANTILE = 0.999
"""Spend that beats the prediction by more than this share of customers did counts as if it had been of that quantile."""


@dataclass(frozen=True)
class MoneyTrees:
    """Predicts the money that a customer who returns spends in the period: exp(level + slope * what the trees say).

    trees: of the logarithm of the money, so they say its mean
    level, slope: turn that into the logarithm of the mean money; slope above 0
    most:  that any customer of usual size spent in a period; nobody of that size is expected to spend more
    """

    trees: Trees
    level: float
    slope: float
    most: float

    def given_return(self, features: Features) -> Reals:
        """Money per customer, above 0; shape (n,)."""
        money = np.exp(self.level + self.slope * self.trees.raw(features.columns))
        return np.minimum(money, self.most) * features.giant


def fit_money(examples: Examples, *, seed: int, n_threads: int) -> MoneyTrees:
    """Learn from the examples that returned and paid; who has spent more is never expected to spend less."""
    features, paid = examples.features, examples.returned & (examples.spent > 0)
    columns, spent = features.columns[paid], examples.spent[paid] / features.giant[paid]
    trees = fit_trees(columns, np.log(spent), features.names, MONEY_NAMES, seed=seed, n_threads=n_threads)
    return MoneyTrees(trees, *_mean_line(trees.raw(columns), spent), most=float(spent.max()))


def _mean_line(said: Reals, spent: Reals) -> tuple[float, float]:
    """Level and slope of the logarithm of mean spend, by gamma regression on mean logarithms.

    One factor for all would not do: who buys often spends evenly, who buys rarely does not, and the more uneven the farther is the mean
    above the exponential of the mean logarithm.
    """
    from scipy.optimize import minimize

    beaten_by = np.minimum(spent / np.exp(said), np.quantile(spent / np.exp(said), OUTLIER_QUANTILE))
    middle = said - said.mean()

    def deviance(line: Reals) -> tuple[float, Reals]:
        above = line[0] + line[1] * middle
        rest = beaten_by * np.exp(-above)
        return float((rest + above).mean()), np.array([(1 - rest).mean(), ((1 - rest) * middle).mean()])

    start = np.array([np.log(beaten_by.mean()), 0.0])
    found = minimize(deviance, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (-MOST_TILT, MOST_TILT)]).x
    return float(found[0] - found[1] * said.mean()), float(1 + found[1])


@dataclass(frozen=True)
class FadedRate:
    """Predicts spend over `horizon_days` from the own spend rate alone.

    half_life_days:  an order this old counts half
    population_rate: money per day of a customer of whom nothing is known but that they bought
    scale:           correction learned in the last horizon before the fit; 1 where it could not be measured
    """

    horizon_days: float
    half_life_days: float
    population_rate: float
    scale: float

    def expected(self, orders: Orders, n_customers: int, as_of: np.datetime64) -> Reals:
        """Money expected of each customer in the horizon after `as_of`; shape (n_customers,). Orders must be before `as_of`."""
        spend, exposure = _decayed(orders, n_customers, as_of, self.half_life_days)
        rates = (spend + PRIOR_DAYS * self.population_rate) / (exposure + PRIOR_DAYS)
        return np.where(exposure > 0, np.maximum(rates, 0.0), 0.0) * (self.scale * self.horizon_days)


def fit_faded_rate(orders: Orders, n_customers: int, as_of: np.datetime64, horizon_days: float) -> FadedRate:
    """Choose the half-life that ranks spenders best in [as_of - horizon, as_of), scale it to what they spent, refit at `as_of`."""
    start = as_of - duration(horizon_days)
    past, recent = orders.before(start), orders.since(start)
    known = np.unique(past.customers)
    spent = recent.sum_per_customer(recent.values, n_customers)[known]

    half_life, scale = HALF_LIVES_DAYS[0], 1.0
    if spent.sum() > 0:
        trials = {days: _unscaled(past, n_customers, start, horizon_days, days) for days in HALF_LIVES_DAYS}
        predictions = {days: trial.expected(past, n_customers, start)[known] for days, trial in trials.items()}
        half_life = max(predictions, key=lambda days: _captured(spent, predictions[days]))
        predicted = predictions[half_life].sum()
        scale = math.sqrt(spent.sum() / predicted) if predicted > 0 else 1.0
    refitted = _unscaled(orders, n_customers, as_of, horizon_days, half_life)
    return FadedRate(horizon_days, half_life, refitted.population_rate, scale)


@dataclass(frozen=True)
class TierCuts:
    """Expected values, in currency, that part the tiers; a value equal to a cut belongs to the lower tier."""

    medium_above: float
    high_above: float

    def assign(self, expected: Reals) -> NDArray[np.int8]:
        """Rows of `segmentation.profile.TIERS`: 0 low, 1 medium, 2 high; shape as `expected`."""
        return np.searchsorted([self.medium_above, self.high_above], expected, side="left").astype(np.int8)


def fit_tiers(expected: Reals, quantiles: tuple[float, float]) -> TierCuts:
    """Cut at two quantiles of the expected values, which should be those of customers who bought.

    Raises:
        ValueError: no values, a value that is not finite, or quantiles that are not 0 < first < second < 1.
    """
    if not 0 < quantiles[0] < quantiles[1] < 1:
        raise ValueError(f"tier quantiles must rise strictly within 0 and 1, got {quantiles}")
    if not len(expected) or not np.isfinite(expected).all():
        raise ValueError("tiers need at least one expected value, and finite ones")
    medium, high = np.quantile(expected, quantiles)
    return TierCuts(float(medium), float(high))


def _unscaled(orders: Orders, n_customers: int, as_of: np.datetime64, horizon_days: float, half_life_days: float) -> FadedRate:
    spend, exposure = _decayed(orders, n_customers, as_of, half_life_days)
    total = exposure.sum()
    return FadedRate(horizon_days, half_life_days, max(float(spend.sum() / total), 0.0) if total > 0 else 0.0, 1.0)


def _decayed(orders: Orders, n_customers: int, as_of: np.datetime64, half_life_days: float) -> tuple[Reals, Reals]:
    """Faded spend, and the days over which it was earned, faded alike; both of shape (n_customers,), 0 = never bought."""
    ages = orders.ages_days(as_of)
    fade = 0.5 ** (ages / half_life_days)
    oldest = np.zeros(n_customers)
    np.maximum.at(oldest, orders.customers, ages)
    mean_life = half_life_days / math.log(2)
    exposure = -np.expm1(-oldest / mean_life) * mean_life
    return orders.sum_per_customer(orders.values * fade, n_customers), exposure


def _captured(spent: Reals, predicted: Reals) -> float:
    """Share of the spend found among the best predicted, averaged over how many are taken; 1 would find all in the first customer."""
    best_first = np.argsort(-predicted, kind="stable")
    return float(np.cumsum(spent[best_first]).mean() / spent.sum())

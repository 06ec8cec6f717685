"""What is expected of each customer in the horizon after a time: money, and the probability of no purchase.

Trees are taught by the past's own outcomes: at each of N_CUTS earlier times the columns of all who had bought by then, with what they
did in the period after it, which ends before the fit. The period is the horizon, or a third of the history where that is shorter; what
is predicted for the period is then stretched to the horizon as the probabilistic standard stretches. Shops with too little history
for that are served by a faded spend rate, and by the standard's probabilities, and the model says so (`OutlookModel.method`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.bgnbd import BgNbd, GammaGamma
from segmentation.churn import ReturnTrees, fit_returns
from segmentation.errors import SegmentationError
from segmentation.features import Examples, Extra, Features, History, Population, features_of, fit_population, joined, repeats_of
from segmentation.purchases import Purchases, Reals, duration
from segmentation.rfm import purchases_among
from segmentation.trees import Trees
from segmentation.value import FadedRate, MoneyTrees, fit_faded_rate, fit_money

N_CUTS = 4
MIN_PERIOD_DAYS = 7.0
MIN_SEEN = 0.7
"""Periods of history that the earliest cut must have before it."""
MIN_EXAMPLES, MIN_OUTCOMES, MAX_EXAMPLES = 500, 100, 200_000
MIN_CUSTOMERS = 50
"""Fewer customers than these, or less history than one horizon, and the probability of a return is not estimated."""
MOST = float(np.finfo(np.float32).max)
FILE = "outlook.json"


@dataclass(frozen=True)
class Outlook:
    """Parallel float64 arrays of length n_customers.

    expected_value:    money over the horizon, from 0 to MOST; 0 = never bought
    churn_probability: of no purchase in the horizon, in [0, 1]; NaN = never bought, or not estimated
    """

    expected_value: Reals
    churn_probability: Reals


@dataclass(frozen=True)
class TwoParts:
    """The probability of a return within the period, and the money given one."""

    returns: ReturnTrees
    money: MoneyTrees


@dataclass(frozen=True)
class OutlookModel:
    """Everything that was fitted; only assigned afterwards.

    n_examples:  customers at earlier cuts that the trees learned from; 0 = there are no trees
    population:  None = nobody had come back, or too few to say how likely that is
    rate:        predicts where there are no trees
    trees:       None = the history is too short or too small
    extra_names: of the columns that the caller adds
    """

    horizon_days: float
    n_examples: int
    population: Population | None
    rate: FadedRate
    trees: TwoParts | None
    extra_names: tuple[str, ...]

    @property
    def method(self) -> str:
        """How predictions are made, in words."""
        if self.trees is not None:
            return f"two-part boosted trees on {self.n_examples:,} examples"
        churn = "not estimated" if self.population is None else "by BG/NBD"
        return f"faded spend rate, churn {churn}: too little history for trees"

    def of(self, purchases: Purchases, n_customers: int, as_of: np.datetime64, extra: Reals | None = None) -> Outlook:
        """The outlook of customers 0 .. n_customers - 1 from their purchases, all before `as_of`; nobody's depends on anybody else's.

        extra: the columns named `extra_names` as of then, shape (n_customers, len(extra_names)); None = all unknown
        """
        history = History.of(purchases, n_customers)
        if self.population is None or self.trees is None:
            return self._without_trees(history, as_of)
        features = features_of(history, as_of, self.population, extra, self.extra_names)
        in_period = self.trees.returns.in_period(features) * self.trees.money.given_return(features)
        spent = np.minimum(in_period * _growth(features, self.population, self.horizon_days), MOST)
        returns = self.trees.returns.within(self.horizon_days, features, self.population)
        return _of_those(features.customers, n_customers, spent, 1 - returns)

    def _without_trees(self, history: History, as_of: np.datetime64) -> Outlook:
        bought = np.unique(purchases_among(history.orders).customers).astype(np.intp)
        spent = np.minimum(self.rate.expected(history.orders, history.n_customers, as_of)[bought], MOST)
        if self.population is None:
            return _of_those(bought, history.n_customers, spent, np.full(len(bought), np.nan))
        repeats = repeats_of(history.orders, history.n_customers, as_of)
        return _of_those(bought, history.n_customers, spent, 1 - self.population.orders.returns(repeats, self.horizon_days))

    def save(self, folder: Path) -> None:
        """Write outlook.json into a folder that exists; `load` gives a model with identical answers."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> OutlookModel:
        """Read what `save` wrote. SegmentationError: the file is missing or damaged."""
        try:
            return _restored(json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegmentationError(f"{folder / FILE} is not an outlook as OutlookModel.save writes it: {error!r}") from error


def fit_outlook(
    purchases: Purchases,
    n_customers: int,
    as_of: np.datetime64,
    horizon_days: float,
    *,
    seed: int,
    n_threads: int,
    extra: Extra | None = None,
) -> OutlookModel:
    """Learn from purchases before `as_of` what follows in the horizon after it; the same for equal seed and threads.

    purchases: all of known value, strictly before `as_of`
    """
    history = History.of(purchases, n_customers)
    rate = fit_faded_rate(history.orders, n_customers, as_of, horizon_days)
    names = () if extra is None else extra.names
    span_days = history.span_days(as_of)
    period_days = min(horizon_days, span_days / 3)
    population = fit_population(history, as_of, period_days) if period_days > 0 else None
    n_bought = len(np.unique(purchases_among(history.orders).customers))
    if population is None or n_bought < MIN_CUSTOMERS or span_days < horizon_days:
        return OutlookModel(horizon_days, 0, None, rate, None, names)
    examples = earlier_examples(history, as_of, period_days, extra)
    if examples is None or not _suffices(examples):
        return OutlookModel(horizon_days, 0, population, rate, None, names)
    examples = _sampled(examples, seed)
    trees = TwoParts(
        fit_returns(examples, seed=seed, n_threads=n_threads),
        fit_money(examples, seed=seed, n_threads=n_threads),
    )
    return OutlookModel(horizon_days, len(examples.returned), population, rate, trees, names)


def earlier_examples(history: History, as_of: np.datetime64, period_days: float, extra: Extra | None = None) -> Examples | None:
    """Customers at up to N_CUTS earlier times, the latest first; None = there is no such time.

    Each cut knows only what was before it; what followed is that of one period, which ends by `as_of`.
    """
    step = min(period_days, (history.span_days(as_of) - period_days * (1 + MIN_SEEN)) / (N_CUTS - 1))
    if period_days < MIN_PERIOD_DAYS or step <= 0:
        return None
    cuts = [as_of - duration(period_days + number * step) for number in range(N_CUTS)]
    parts = [part for cut in cuts if (part := _examples(history, cut, period_days, extra)) is not None]
    return joined(parts) if parts else None


def _examples(history: History, cut: np.datetime64, period_days: float, extra: Extra | None) -> Examples | None:
    known = history.before(cut)
    population = fit_population(known, cut, period_days)
    if population is None:
        return None
    names, columns = ((), None) if extra is None else (extra.names, extra.as_of(cut))
    features = features_of(known, cut, population, columns, names)
    followed = history.orders.since(cut).before(cut + duration(period_days))
    spent = followed.sum_per_customer(followed.values, history.n_customers)[features.customers]
    return Examples(features, np.isin(features.customers, purchases_among(followed).customers), spent)


def _suffices(examples: Examples) -> bool:
    n, n_returned = len(examples.returned), int(examples.returned.sum())
    n_paid = int((examples.returned & (examples.spent > 0)).sum())
    return n >= MIN_EXAMPLES and min(n_paid, n - n_returned) >= MIN_OUTCOMES


def _sampled(examples: Examples, seed: int) -> Examples:
    n = len(examples.returned)
    return examples if n <= MAX_EXAMPLES else examples.take(np.sort(np.random.default_rng(seed).choice(n, MAX_EXAMPLES, replace=False)))


def _of_those(customers: NDArray[np.intp], n_customers: int, spent: Reals, churn: Reals) -> Outlook:
    """Outlook of all customers from that of those who have bought."""
    expected, unknown = np.zeros(n_customers), np.full(n_customers, np.nan)
    expected[customers], unknown[customers] = spent, churn
    return Outlook(expected, unknown)


def _growth(features: Features, population: Population, horizon_days: float) -> Reals:
    """How many times more the standard expects in the horizon than in the period; from 1 up to their ratio."""
    period_days = population.period_days
    if horizon_days == period_days:
        return np.ones(len(features.customers))
    longer, shorter = (population.orders.expected(features.repeats, days) for days in (horizon_days, period_days))
    ratio = np.divide(longer, shorter, out=np.ones(len(longer)), where=shorter > 0)
    return np.clip(ratio, 1.0, horizon_days / period_days)


def _restored(document: dict[str, Any]) -> OutlookModel:
    population, trees = document["population"], document["trees"]
    if population is not None:
        standard = {"orders": BgNbd(**population["orders"]), "money": GammaGamma(**population["money"])}
        population = Population(**(population | standard))
    if trees is not None:
        returns = ReturnTrees(Trees(**trees["returns"]["trees"]))
        money = MoneyTrees(**(trees["money"] | {"trees": Trees(**trees["money"]["trees"])}))
        trees = TwoParts(returns, money)
    return OutlookModel(
        horizon_days=document["horizon_days"],
        n_examples=document["n_examples"],
        population=population,
        rate=FadedRate(**document["rate"]),
        trees=trees,
        extra_names=tuple(document["extra_names"]),
    )

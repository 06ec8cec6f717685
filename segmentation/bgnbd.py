"""The probabilistic standard of repeat buying: how often a customer buys again (BG/NBD), and for how much (Gamma-Gamma).

While active a customer buys at random at an own rate, and after every purchase may leave for good with an own probability; rates are
gamma and probabilities beta distributed over customers. What an order is worth does not depend on how often orders come.

Time is in any one unit, money in any one currency. The first purchase makes a customer and is not counted: x counts the repeats.

Sources:
    Fader, Hardie & Lee (2005), Marketing Science 24(2): BG/NBD. Fader & Hardie (2013), "The Gamma-Gamma model of monetary value".
    The probability of a return follows from the same posterior: an active customer's rate is gamma(r + x, alpha + T).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segmentation.purchases import Reals

LOG_BOUND = 8.0
"""Parameters, in scaled units, stay within exp(-8) and exp(8): where nobody leaves, a has no finite best value."""


@dataclass(frozen=True)
class Repeats:
    """Each customer's history in four numbers, as parallel float64 arrays.

    x: repeat purchases; t_x: time from the first purchase to the last, 0 without repeats; age: time from the first purchase to now;
    money: mean value of the repeats, not negative, 0 = without repeats
    """

    x: Reals
    t_x: Reals
    age: Reals
    money: Reals


@dataclass(frozen=True)
class BgNbd:
    """r, alpha: of the gamma distributed rates; a, b: of the beta distributed probabilities of leaving. All above 0."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, repeats: Repeats) -> Reals:
        """Probability that each customer has not left, in [0, 1]; 1 without repeats, where this model has nobody leave."""
        x, silence = repeats.x, np.log((self.alpha + repeats.age) / (self.alpha + repeats.t_x))
        log_odds_of_leaving = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + (self.r + x) * silence
        return np.asarray(np.where(x > 0, chance(-log_odds_of_leaving), 1.0), np.float64)

    def returns(self, repeats: Repeats, horizon: float) -> Reals:
        """Probability of at least one purchase within the horizon, in [0, 1]."""
        age = self.alpha + repeats.age
        return np.asarray(self.alive(repeats) * -np.expm1((self.r + repeats.x) * np.log(age / (age + horizon))))

    def expected(self, repeats: Repeats, horizon: float) -> Reals:
        """Purchases expected of each customer within the horizon."""
        from scipy.special import hyp2f1

        x, age = repeats.x, self.alpha + repeats.age
        a = self.a + 1e-6 if abs(self.a - 1) < 1e-6 else self.a  # a = 1 is a removable singularity
        c = a + self.b + x - 1
        with np.errstate(over="ignore", invalid="ignore"):
            # the published 2F1(r + x, b + x; c; z) by Euler's transformation, which stays finite for thousands of repeats
            staying = (age / (age + horizon)) ** (a - 1) * hyp2f1(c - self.r - x, a - 1, c, horizon / (age + horizon))
            expected = np.maximum(c / (a - 1) * (1 - staying), 0.0)
        without_leaving = (self.r + x) / age * horizon
        return np.asarray(np.fmin(expected, without_leaving) * self.alive(repeats), np.float64)


@dataclass(frozen=True)
class GammaGamma:
    """Values of one customer's orders are gamma(p) distributed, their scale gamma(q) of scale v over customers. All above 0, q above 1."""

    p: float
    q: float
    v: float

    def expected(self, repeats: Repeats) -> Reals:
        """Mean value expected of each customer's next orders; the population's mean, p v / (q - 1), without repeats of any value."""
        x = np.where(repeats.money > 0, repeats.x, 0.0)
        return np.asarray(self.p * (self.v + repeats.money * x) / (self.p * x + self.q - 1), np.float64)


def chance(log_odds: Reals) -> Reals:
    """The probability with these log odds."""
    return np.asarray((1 + np.tanh(log_odds / 2)) / 2, np.float64)


def fit_bgnbd(repeats: Repeats) -> BgNbd:
    """The likeliest parameters; the same for the customers in any order.

    Raises:
        ValueError: no customers.
    """
    from scipy.special import betaln, gammaln

    if not len(repeats.x):
        raise ValueError("BG/NBD needs at least one customer")
    rows, counts = np.unique(np.stack([repeats.x, repeats.t_x, repeats.age]), axis=1, return_counts=True)
    scale = max(float(repeats.age.max()) / 10, 1e-9)
    x, t_x, age = rows[0], rows[1] / scale, rows[2] / scale

    def surprise(logs: Reals) -> float:
        r, alpha, a, b = np.exp(logs)
        gone = np.full(len(x), -np.inf)
        again = x > 0
        gone[again] = betaln(a + 1, b + x[again] - 1) - (r + x[again]) * np.log(alpha + t_x[again])
        left_or_not = np.logaddexp(betaln(a, b + x) - (r + x) * np.log(alpha + age), gone) - betaln(a, b)
        return -float(np.average(gammaln(r + x) - gammaln(r) + r * np.log(alpha) + left_or_not, weights=counts))

    r, alpha, a, b = np.exp(_least(surprise, 4))
    return BgNbd(float(r), float(alpha * scale), float(a), float(b))


def fit_gamma_gamma(repeats: Repeats) -> GammaGamma:
    """The likeliest parameters given those who repeated for money.

    Raises:
        ValueError: nobody did.
    """
    from scipy.special import gammaln

    paid = (repeats.x > 0) & (repeats.money > 0)
    if not paid.any():
        raise ValueError("Gamma-Gamma needs at least one customer with a repeat purchase of some value")
    scale = float(np.median(repeats.money[paid]))
    x, money = repeats.x[paid], repeats.money[paid] / scale

    def surprise(logs: Reals) -> float:
        p, v = np.exp(logs[[0, 2]])
        q = 1 + np.exp(logs[1])
        density = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v) + (p * x - 1) * np.log(money)
        return -float(np.mean(density + p * x * np.log(x) - (p * x + q) * np.log(x * money + v)))

    p, above_one, v = np.exp(_least(surprise, 3))
    return GammaGamma(float(p), 1 + float(above_one), float(v * scale))


def _least(surprise: Callable[[Reals], float], n_parameters: int) -> Reals:
    from scipy.optimize import minimize

    bounds = [(-LOG_BOUND, LOG_BOUND)] * n_parameters
    found = minimize(surprise, np.full(n_parameters, 0.1), method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, np.float64)

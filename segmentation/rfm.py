"""Recency, frequency and money of every customer as of a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Floats, Ints, Orders, Purchases, Reals, orders_of

WINDOWS_DAYS = (28.0, 91.0)

BEHAVIOURS = (("Frequent orders", "Rare orders"), ("Large orders", "Small orders"))
"""What a high and a low value of each column of `Rfm.behaviour` is called."""


@dataclass(frozen=True)
class Rfm:
    """Parallel arrays of length n_customers; float64 unless said; NaN where a customer who never bought has no value.

    n_orders:      distinct baskets; int64
    recency_days:  since the last order; NaN = never bought
    tenure_days:   since the first order; NaN = never bought
    interval_days: mean time between two orders; NaN with fewer than two
    spend:         money of all lines, unknown ones add nothing; 0 = never bought
    order_value:   mean money of an order; NaN = never bought
    spend_rates:   money per day in each of the last WINDOWS_DAYS, then since the first order but over at least the first of
                   these windows; shape (n_customers, 3); 0 = never bought
    """

    n_orders: NDArray[np.int64]
    recency_days: Reals
    tenure_days: Reals
    interval_days: Reals
    spend: Reals
    order_value: Reals
    spend_rates: Reals

    @property
    def has_bought(self) -> NDArray[np.bool_]:
        """One flag per customer."""
        return self.n_orders > 0

    def behaviour(self, customers: Ints) -> Floats:
        """How the given customers, who must have bought, buy; finite, shape (len(customers), 2).

        Logarithms of orders per day, with one more order in one more first window, and of the value of an order plus 1.
        """
        rate = (self.n_orders[customers] + 1) / (self.tenure_days[customers] + WINDOWS_DAYS[0])
        order_value = np.maximum(self.order_value[customers], 0.0)
        return np.stack([np.log(rate), np.log1p(order_value)], axis=1, dtype=np.float32, casting="same_kind")


def purchases_to_rfm(purchases: Purchases, n_customers: int, as_of: np.datetime64) -> Rfm:
    """Recency, frequency and money from purchase lines.

    Raises:
        ValueError: a line is not strictly earlier than `as_of`, or a customer number is not below `n_customers`.
    """
    purchases.check(n_customers, as_of)
    return orders_to_rfm(orders_of(purchases), n_customers, as_of)


def orders_to_rfm(orders: Orders, n_customers: int, as_of: np.datetime64) -> Rfm:
    """The same from orders, all of them before `as_of`."""
    ages = orders.ages_days(as_of)
    n_orders = np.bincount(orders.customers, minlength=n_customers)
    spend = orders.sum_per_customer(orders.values, n_customers)

    end = np.cumsum(n_orders)
    bought = n_orders > 0
    recency, tenure = np.full(n_customers, np.nan), np.full(n_customers, np.nan)
    recency[bought] = ages[end[bought] - 1]
    tenure[bought] = ages[(end - n_orders)[bought]]

    with np.errstate(divide="ignore", invalid="ignore"):
        interval = np.where(n_orders > 1, (tenure - recency) / (n_orders - 1), np.nan)
        order_value = spend / n_orders
    lifetime = spend / np.fmax(tenure, WINDOWS_DAYS[0])
    windows = [orders.sum_per_customer(orders.values * (ages <= days), n_customers) / days for days in WINDOWS_DAYS]
    return Rfm(n_orders, recency, tenure, interval, spend, order_value, np.stack([*windows, lifetime], axis=1))

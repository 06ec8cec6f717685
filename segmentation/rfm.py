"""Recency, frequency and money of every customer as of a time. An order of negative value is a refund: money, but no purchase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Orders, Purchases, Reals, orders_of

WINDOWS_DAYS = (28.0, 91.0)


@dataclass(frozen=True)
class Rfm:
    """Parallel arrays of length n_customers; float64 unless said; NaN where a customer who never bought has no value.

    n_orders:      distinct baskets that are not refunds; int64
    recency_days:  since the last order; NaN = never bought
    tenure_days:   since the first order; NaN = never bought
    interval_days: mean time between two orders; NaN with fewer than two
    spend:         money of all lines less what was refunded, unknown ones add nothing
    order_value:   mean of that per order; NaN = never bought
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


def purchases_to_rfm(purchases: Purchases, n_customers: int, as_of: np.datetime64) -> Rfm:
    """Recency, frequency and money from purchase lines.

    Raises:
        ValueError: a line is not strictly earlier than `as_of`, or a customer number is not below `n_customers`.
    """
    purchases.check(n_customers, as_of)
    return orders_to_rfm(orders_of(purchases), n_customers, as_of)


def orders_to_rfm(orders: Orders, n_customers: int, as_of: np.datetime64) -> Rfm:
    """The same from orders, all of them before `as_of`."""
    bought = purchases_among(orders)
    ages = bought.ages_days(as_of)
    n_orders = np.bincount(bought.customers, minlength=n_customers)
    spend = orders.sum_per_customer(orders.values, n_customers)

    end = np.cumsum(n_orders)
    bought_any = n_orders > 0
    recency, tenure = np.full(n_customers, np.nan), np.full(n_customers, np.nan)
    recency[bought_any] = ages[end[bought_any] - 1]
    tenure[bought_any] = ages[(end - n_orders)[bought_any]]

    with np.errstate(divide="ignore", invalid="ignore"):
        interval = np.where(n_orders > 1, (tenure - recency) / (n_orders - 1), np.nan)
        order_value = np.where(bought_any, spend / n_orders, np.nan)
    lifetime = spend / np.fmax(tenure, WINDOWS_DAYS[0])
    ages = orders.ages_days(as_of)
    windows = [orders.sum_per_customer(orders.values * (ages <= days), n_customers) / days for days in WINDOWS_DAYS]
    return Rfm(n_orders, recency, tenure, interval, spend, order_value, np.stack([*windows, lifetime], axis=1))


def purchases_among(orders: Orders) -> Orders:
    """The orders that are not refunds."""
    rows = ~(orders.values < 0)
    return Orders(orders.customers[rows], orders.times[rows], orders.values[rows])

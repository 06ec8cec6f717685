"""Where a customer stands, and how likely no purchase follows.

Everything is measured against the customer's **own interval** between orders, drawn to the typical customer's while orders are few:

    own interval = (days from first to last order + PRIOR_GAPS * typical interval) / (number of gaps + PRIOR_GAPS)
    overdue      = days since the last order / own interval

The typical interval is the median over customers who bought twice. Stages, the first rule that holds:

    lapsed    overdue more than LAPSED_AFTER of the own interval
    at_risk   overdue more than AT_RISK_AFTER of it
    new       at most NEW_ORDERS orders
    loyal     at least LOYAL_ORDERS orders, and an own interval no longer than the typical one
    active    everybody else

The churn probability is the share of customers in the same situation, one horizon before the fit, who bought nothing in that horizon.
A situation is a cell of two things: how overdue, and how many orders the own interval would fit into the horizon. Cells with few customers
are drawn to all customers as overdue, and those to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.profile import STAGES
from segmentation.purchases import Orders, Reals, duration
from segmentation.rfm import Rfm, orders_to_rfm

AT_RISK_AFTER, LAPSED_AFTER = 3.0, 6.0
NEW_ORDERS, LOYAL_ORDERS = 2, 8
PRIOR_GAPS = 2.0

OVERDUE_EDGES = (0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0)
EXPECTED_ORDERS_EDGES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
CHURN_SHAPE = (len(OVERDUE_EDGES) + 1, len(EXPECTED_ORDERS_EDGES) + 1)
PRIOR_CUSTOMERS = 10.0
MIN_CUSTOMERS = 50


@dataclass(frozen=True)
class LifecycleModel:
    """Assigns stages and churn probabilities.

    typical_interval_days: median over customers of the mean time between two orders; the horizon where nobody bought twice
    churn:                 probability of no purchase in the horizon by situation; shape CHURN_SHAPE; NaN = there was too little
                           history to measure it
    """

    horizon_days: float
    typical_interval_days: float
    churn: Reals

    def stages(self, rfm: Rfm) -> NDArray[np.int8]:
        """Rows of `segmentation.profile.STAGES`, -1 = never bought; shape (n_customers,)."""
        interval, overdue = self._rhythm(rfm)
        rules = {
            "lapsed": overdue > LAPSED_AFTER,
            "at_risk": overdue > AT_RISK_AFTER,
            "new": rfm.n_orders <= NEW_ORDERS,
            "loyal": (rfm.n_orders >= LOYAL_ORDERS) & (interval <= self.typical_interval_days),
        }
        codes = [STAGES.index(stage) for stage in rules]
        stages = np.select(list(rules.values()), codes, default=STAGES.index("active"))
        return np.where(rfm.has_bought, stages, -1).astype(np.int8)

    def churn_probabilities(self, rfm: Rfm) -> Reals:
        """Probability of no purchase in the horizon, in [0, 1]; NaN = never bought, or not measurable; shape (n_customers,)."""
        cells = self._cells(rfm)
        return np.where(rfm.has_bought, self.churn.ravel()[cells], np.nan)

    def _rhythm(self, rfm: Rfm) -> tuple[Reals, Reals]:
        gaps = np.maximum(rfm.n_orders - 1, 0)
        span = np.where(rfm.has_bought, rfm.tenure_days - rfm.recency_days, 0.0)
        interval = (span + PRIOR_GAPS * self.typical_interval_days) / (gaps + PRIOR_GAPS)
        return interval, rfm.recency_days / interval

    def _cells(self, rfm: Rfm) -> NDArray[np.intp]:
        interval, overdue = self._rhythm(rfm)
        row = np.searchsorted(OVERDUE_EDGES, overdue)
        column = np.searchsorted(EXPECTED_ORDERS_EDGES, self.horizon_days / interval)
        return np.where(rfm.has_bought, row * CHURN_SHAPE[1] + column, 0)


def fit_lifecycle(orders: Orders, n_customers: int, as_of: np.datetime64, horizon_days: float) -> LifecycleModel:
    """Measure the typical interval on all orders, and churn on what followed in [as_of - horizon, as_of) for those who bought before it.

    Churn stays NaN with fewer than MIN_CUSTOMERS such customers, or less than one horizon of history before it.
    """
    intervals = orders_to_rfm(orders, n_customers, as_of).interval_days
    typical = float(np.nanmedian(intervals)) if np.isfinite(intervals).any() else horizon_days
    model = LifecycleModel(horizon_days, max(typical, 1.0), np.full(CHURN_SHAPE, np.nan))

    start = as_of - duration(horizon_days)
    past = orders.before(start)
    before = orders_to_rfm(past, n_customers, start)
    known = np.flatnonzero(before.has_bought)
    if len(known) < MIN_CUSTOMERS or before.tenure_days[known].max() < horizon_days:
        return model
    stayed_away = ~np.isin(known, orders.since(start).customers)
    churn = _shrunk_shares(model._cells(before)[known], stayed_away)
    return LifecycleModel(horizon_days, model.typical_interval_days, churn)


def _shrunk_shares(cells: NDArray[np.intp], happened: NDArray[np.bool_]) -> Reals:
    """Share of `happened` per cell, drawn to the share of its row, and that to the share of all; shape CHURN_SHAPE."""
    n_cells = CHURN_SHAPE[0] * CHURN_SHAPE[1]
    hits = np.bincount(cells, happened, n_cells).reshape(CHURN_SHAPE)
    counts = np.bincount(cells, minlength=n_cells).reshape(CHURN_SHAPE)
    row = (hits.sum(axis=1) + PRIOR_CUSTOMERS * happened.mean()) / (counts.sum(axis=1) + PRIOR_CUSTOMERS)
    return np.asarray((hits + PRIOR_CUSTOMERS * row[:, None]) / (counts + PRIOR_CUSTOMERS), np.float64)

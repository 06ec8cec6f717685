"""Where a customer stands, by rules that whoever runs the shop can read and change.

Everything is measured against the customer's **own interval** between orders, drawn to the typical customer's while orders are few:

    own interval = (days from first to last order + 2 * typical interval) / (number of gaps + 2)
    overdue      = days since the last order / own interval

The typical interval is the median over customers who bought twice. Stages, the first rule that holds:

    lapsed    overdue more than `lapsed_overdue` own intervals, and a churn probability of at least `lapsed_churn`
    at_risk   overdue more than `at_risk_overdue` own intervals, and a churn probability of at least `at_risk_churn`
    new       at most `new_orders` orders
    loyal     at least `loyal_orders` orders, and an own interval no longer than the typical one
    active    everybody else

Where the churn probability is unknown, how long somebody is overdue decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.features import own_intervals
from segmentation.profile import STAGES
from segmentation.purchases import Reals
from segmentation.rfm import Rfm


@dataclass(frozen=True)
class StageRules:
    """The thresholds of the rules above.

    Raises:
        ValueError: lapsed asks for less than at risk does, a probability is outside [0, 1], or loyal begins where new still holds.
    """

    at_risk_overdue: float = 3.0
    lapsed_overdue: float = 6.0
    at_risk_churn: float = 0.5
    lapsed_churn: float = 0.8
    new_orders: int = 2
    loyal_orders: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.at_risk_overdue <= self.lapsed_overdue:
            raise ValueError(f"need 0 < at_risk_overdue <= lapsed_overdue, got {self.at_risk_overdue} and {self.lapsed_overdue}")
        if not 0 <= self.at_risk_churn <= self.lapsed_churn <= 1:
            raise ValueError(f"need 0 <= at_risk_churn <= lapsed_churn <= 1, got {self.at_risk_churn} and {self.lapsed_churn}")
        if not 0 <= self.new_orders < self.loyal_orders:
            raise ValueError(f"need 0 <= new_orders < loyal_orders, got {self.new_orders} and {self.loyal_orders}")


@dataclass(frozen=True)
class LifecycleModel:
    """Assigns stages. typical_interval_days: median over customers of the mean time between two orders."""

    typical_interval_days: float
    rules: StageRules

    def stages(self, rfm: Rfm, churn: Reals) -> NDArray[np.int8]:
        """Rows of `segmentation.profile.STAGES`, -1 = never bought; shape (n_customers,).

        churn: probability of no purchase in the horizon, NaN = unknown; shape (n_customers,)
        """
        interval = own_intervals(rfm, self.typical_interval_days)
        overdue, rules = rfm.recency_days / interval, self.rules
        holds = {
            "lapsed": (overdue > rules.lapsed_overdue) & ~(churn < rules.lapsed_churn),
            "at_risk": (overdue > rules.at_risk_overdue) & ~(churn < rules.at_risk_churn),
            "new": rfm.n_orders <= rules.new_orders,
            "loyal": (rfm.n_orders >= rules.loyal_orders) & (interval <= self.typical_interval_days),
        }
        codes = [STAGES.index(stage) for stage in holds]
        stages = np.select(list(holds.values()), codes, default=STAGES.index("active"))
        return np.where(rfm.has_bought, stages, -1).astype(np.int8)


def fit_lifecycle(rfm: Rfm, horizon_days: float, rules: StageRules) -> LifecycleModel:
    """Measure the typical interval; the horizon where nobody bought twice, and at least one day."""
    known = rfm.interval_days[np.isfinite(rfm.interval_days)]
    return LifecycleModel(max(float(np.median(known)) if len(known) else horizon_days, 1.0), rules)

from __future__ import annotations

import numpy as np
import pytest

from segmentation.lifecycle import CHURN_SHAPE, LifecycleModel, fit_lifecycle
from segmentation.profile import STAGES
from segmentation.purchases import Orders
from segmentation.rfm import orders_to_rfm

AS_OF = np.datetime64("2024-05-01", "us")


def orders(ages: dict[int, list[float]]) -> Orders:
    """Orders of value 1 from the ages in days, oldest first, of each customer."""
    rows = [(customer, age) for customer, of_customer in sorted(ages.items()) for age in of_customer]
    customers, days = (np.array(column) for column in zip(*rows, strict=True))
    times = AS_OF - (days * 86_400_000_000).astype("timedelta64[us]")
    return Orders(customers.astype(np.int32), times, np.ones(len(rows)))


def model(typical_interval_days: float = 10.0) -> LifecycleModel:
    return LifecycleModel(28.0, typical_interval_days, np.full(CHURN_SHAPE, np.nan))


@pytest.mark.parametrize(
    ("ages", "stage"),
    [
        ([5], "new"),
        ([15, 5], "new"),
        ([31], "at_risk"),
        ([61], "lapsed"),
        ([35, 25, 15, 5], "active"),
        (list(range(85, 0, -10)), "loyal"),
        (list(range(305, 0, -30)), "active"),
        (list(range(300, 50, -30)), "active"),
        (list(range(180, 30, -10)), "at_risk"),
        (list(range(180, 60, -10)), "lapsed"),
    ],
)
def test_stages_follow_the_rules(ages: list[float], stage: str) -> None:
    stages = model().stages(orders_to_rfm(orders({1: ages}), 3, AS_OF))
    assert STAGES[stages[1]] == stage
    assert stages[[0, 2]].tolist() == [-1, -1]


def test_the_same_silence_is_a_risk_only_against_the_own_interval() -> None:
    rfm = orders_to_rfm(orders({0: list(np.arange(100, 19, -4)), 1: list(np.arange(340, 19, -40))}), 2, AS_OF)
    assert rfm.recency_days.tolist() == [20, 20]
    assert [STAGES[stage] for stage in model().stages(rfm)] == ["at_risk", "active"]


def test_the_typical_interval_is_the_median_of_those_who_came_back() -> None:
    fitted = fit_lifecycle(orders({0: [30, 20], 1: [60, 40], 2: [90, 20], 3: [5]}), 4, AS_OF, 28)
    assert fitted.typical_interval_days == 20.0
    assert fit_lifecycle(orders({0: [30], 1: [60]}), 2, AS_OF, 28).typical_interval_days == 28


def test_churn_is_the_share_of_those_in_the_same_situation_who_stayed_away() -> None:
    weekly = {c: list(np.arange(203, 0, -7)) for c in range(600)}  # all were in the shop 28 days ago
    stopped = {c: list(np.arange(203, 28, -7)) for c in range(600, 800)}
    gone = {c: list(np.arange(203, 100, -7)) for c in range(800, 1000)}
    history = orders(weekly | stopped | gone)
    fitted = fit_lifecycle(history, 1001, AS_OF, 28)
    before = history.before(AS_OF - np.timedelta64(28, "D"))
    churn = fitted.churn_probabilities(orders_to_rfm(before, 1001, AS_OF - np.timedelta64(28, "D")))
    np.testing.assert_allclose(churn[:800], 200 / 800, atol=0.01)
    np.testing.assert_allclose(churn[800:1000], 1.0, atol=0.05)
    assert np.isnan(churn[1000])


def test_churn_stays_unknown_without_enough_history() -> None:
    few = orders({c: [200, 40, 5] for c in range(49)})
    assert np.isnan(fit_lifecycle(few, 49, AS_OF, 28).churn).all()
    short = orders({c: [50, 40, 5] for c in range(200)})
    rfm = orders_to_rfm(short, 200, AS_OF)
    assert np.isnan(fit_lifecycle(short, 200, AS_OF, 28).churn_probabilities(rfm)).all()


def test_churn_probabilities_come_true_among_customers_of_many_rhythms() -> None:
    rng = np.random.default_rng(1)
    rates = np.repeat([0.01, 0.03, 0.1, 0.3], 500)
    ages = {c: 400 - np.cumsum(rng.exponential(1 / rate, 200)) for c, rate in enumerate(rates)}
    history = orders({c: list(of_customer[of_customer > 0]) for c, of_customer in ages.items()})
    cut = AS_OF - np.timedelta64(28, "D")
    rfm = orders_to_rfm(history.before(cut), len(rates), cut)
    churn = fit_lifecycle(history.before(cut), len(rates), cut, 28).churn_probabilities(rfm)
    stayed_away = ~np.isin(np.arange(len(rates)), history.since(cut).customers)
    for low in (0.0, 0.25, 0.5, 0.75):
        alike = (churn >= low) & (churn < low + 0.25)
        assert alike.sum() < 30 or churn[alike].mean() == pytest.approx(stayed_away[alike].mean(), abs=0.06)
    assert np.nanmean(churn[rates == 0.3]) < 0.1 < 0.5 < np.nanmean(churn[rates == 0.01])

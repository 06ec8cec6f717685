from __future__ import annotations

import numpy as np
import pytest

from segmentation.lifecycle import LifecycleModel, StageRules, fit_lifecycle
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


def stage_of(ages: list[float], churn: float = np.nan, rules: StageRules = StageRules(), typical: float = 10.0) -> str:  # noqa: B008
    rfm = orders_to_rfm(orders({1: ages}), 3, AS_OF)
    stages = LifecycleModel(typical, rules).stages(rfm, np.array([np.nan, churn, np.nan]))
    assert stages[[0, 2]].tolist() == [-1, -1]
    return STAGES[stages[1]]


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
    assert stage_of(ages) == stage
    assert stage_of(ages, churn=0.99) == stage


def test_who_will_probably_return_is_neither_at_risk_nor_lapsed() -> None:
    overdue, long_gone = list(range(180, 30, -10)), list(range(180, 60, -10))
    assert [stage_of(overdue, churn) for churn in (0.49, 0.5)] == ["loyal", "at_risk"]
    assert [stage_of(long_gone, churn) for churn in (0.49, 0.79, 0.8)] == ["loyal", "at_risk", "lapsed"]


def test_each_threshold_can_be_changed() -> None:
    assert stage_of([31], rules=StageRules(at_risk_overdue=4)) == "new"
    assert stage_of([61], rules=StageRules(lapsed_overdue=9)) == "at_risk"
    assert stage_of([61], 0.6, StageRules(lapsed_churn=0.6)) == "lapsed"
    assert stage_of([31], 0.4, StageRules(at_risk_churn=0.4)) == "at_risk"
    assert stage_of([15, 5], rules=StageRules(new_orders=1)) == "active"
    assert stage_of([35, 25, 15, 5], rules=StageRules(loyal_orders=4)) == "loyal"


@pytest.mark.parametrize(
    "changed",
    [
        {"at_risk_overdue": 7.0},
        {"at_risk_overdue": 0.0},
        {"at_risk_churn": 0.9},
        {"lapsed_churn": 1.1},
        {"new_orders": 8},
        {"new_orders": -1},
        {"lapsed_churn": float("nan")},
    ],
)
def test_rules_that_contradict_each_other_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need 0 <"):
        StageRules(**changed)


def test_the_same_silence_is_a_risk_only_against_the_own_interval() -> None:
    assert stage_of(list(np.arange(100, 19, -4))) == "at_risk"
    assert stage_of(list(np.arange(340, 19, -40))) == "active"


def test_the_typical_interval_is_the_median_of_those_who_came_back() -> None:
    def typical(ages: dict[int, list[float]]) -> float:
        return fit_lifecycle(orders_to_rfm(orders(ages), 4, AS_OF), 28, StageRules()).typical_interval_days

    assert typical({0: [30, 20], 1: [60, 40], 2: [90, 20], 3: [5]}) == 20.0
    assert typical({0: [30], 1: [60]}) == 28
    assert typical({0: [30, 29.9]}) == 1

"""Estimators per decision: by hand, over everything that could have been logged, and by what must hold of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged import logged

from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.estimators import Terms, default_threshold, dr, estimators, ips, snips
from offline_eval.off_policy.rewards import PredictedRewards
from offline_eval.off_policy.weights import facts_of, kish

LOG = logged(propensities=[0.5, 0.5, 0.25, 0.75], policy=[0.25, 0.75, 0.5, 0.5], rewards=[1, 0, 1, 2])
"""Weights 1/2, 3/2, 2, 2/3."""
PREDICTED = PredictedRewards(logged=np.array([0.5, 0.5, 1, 1]), expected=np.array([0.4, 0.6, 0.8, 1.2]))


def value(terms: Terms) -> float:
    return float(terms.value(terms.columns.mean(axis=0)))


def test_every_estimator_by_hand() -> None:
    found = {terms.name: value(terms) for terms in estimators(LOG, PREDICTED, threshold=1)}
    assert found == pytest.approx(
        {
            "IPS": 23 / 24,
            "SNIPS": 23 / 28,
            "clipped IPS": 17 / 24,
            "DM": 3 / 4,
            "DR": 19 / 24,
            "SNDR": 3 / 4 + 1 / 28,
            "switch-DR": 47 / 48,
        }
    )


def test_facts_of_weights_by_hand() -> None:
    by_name = {terms.name: facts_of(terms, np.arange(4)) for terms in estimators(LOG, PREDICTED, threshold=1)}
    plain, clipped = by_name["IPS"], by_name["clipped IPS"]
    assert plain is not None
    assert clipped is not None
    assert plain.effective_size == pytest.approx((14 / 3) ** 2 / (1 / 4 + 9 / 4 + 4 + 4 / 9))
    assert plain.effective_rewards == pytest.approx((1 / 2 + 2 + 4 / 3) ** 2 / (1 / 4 + 4 + 16 / 9))
    assert plain.largest_share == pytest.approx(2 / (14 / 3))
    assert (plain.largest, plain.clipped_share, plain.removed) == (2, 0, 0)
    assert plain.mean == pytest.approx(14 / 12)
    assert (clipped.clipped_share, clipped.removed) == pytest.approx((1 / 2, 9 / 28))
    assert clipped.mean == plain.mean
    assert by_name["DM"] is None


def test_rows_of_one_unit_are_summed_before_units_are_counted() -> None:
    facts = facts_of(ips(LOG), np.array([0, 0, 1, 2]))
    assert facts is not None
    assert facts.effective_size == pytest.approx((14 / 3) ** 2 / (1 / 4 + 9 / 4 + 4 + 4 / 9))
    assert facts.effective_units == pytest.approx((14 / 3) ** 2 / (4 + 4 + 4 / 9))
    assert facts.effective_rewards == pytest.approx((1 / 2 + 2 + 4 / 3) ** 2 / (1 / 4 + 4 + 16 / 9))
    assert facts.largest_share == pytest.approx(2 / (14 / 3))
    alone = facts_of(ips(LOG), np.zeros(4, np.intp))
    assert alone is not None
    assert (alone.effective_units, alone.effective_rewards, alone.largest_share) == pytest.approx((1, 1, 1))


def test_without_predictions_there_are_only_weighted_estimates() -> None:
    assert [terms.name for terms in estimators(LOG)] == ["IPS", "SNIPS", "clipped IPS"]
    assert default_threshold(400) == 20


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_a_threshold_is_positive(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be above 0"):
        estimators(LOG, threshold=threshold)


def test_predictions_of_another_log_are_refused() -> None:
    with pytest.raises(ValueError, match="4 rows and 2 of them"):
        estimators(LOG, PredictedRewards(np.zeros(2), np.zeros(2)))


def test_over_all_that_could_be_logged_the_mean_is_what_the_policy_earns() -> None:
    logging, policy, rewards = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6]), np.array([1.0, -2.0, 4.0])
    truth = float(policy @ rewards)
    wrong_model = PredictedRewards(np.array([0.3, 5.0, -1.0]), np.full(3, float(policy @ np.array([0.3, 5.0, -1.0]))))
    log = logged(logging.tolist(), policy.tolist(), rewards.tolist())
    for terms in (ips(log), dr(log, wrong_model)):
        assert logging @ terms.columns[:, 0] == pytest.approx(truth)
    wrong_propensities = replace(log, propensities=np.array([0.2, 0.5, 0.9]))
    perfect = PredictedRewards(rewards, np.full(3, truth))
    assert logging @ dr(wrong_propensities, perfect).columns[:, 0] == pytest.approx(truth)


chances = st.floats(0.01, 1)
rows = st.lists(st.tuples(chances, chances, st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=20)


def drawn(values: list[tuple[float, float, float, float]]) -> tuple[Decisions, np.ndarray]:
    propensities, policy, rewards, other = (list(column) for column in zip(*values, strict=True))
    return logged(propensities, policy, rewards), np.array(other)


@given(rows)
def test_the_logs_own_policy_is_worth_what_the_log_earned(values: list[tuple[float, float, float, float]]) -> None:
    log, predicted = drawn(values)
    log = replace(log, policy=log.propensities)
    same = PredictedRewards(predicted, predicted)  # an action drawn from the same policy is, on average, the one that was
    by_name = {terms.name: value(terms) for terms in estimators(log, same)}
    assert [by_name[name] for name in ("IPS", "SNIPS", "clipped IPS", "DR", "SNDR")] == pytest.approx([log.rewards.mean()] * 5, abs=1e-9)


@given(rows, st.floats(0.1, 1), st.floats(-3, 3))
def test_snips_does_not_mind_scaled_propensities_and_moves_with_shifted_rewards(
    values: list[tuple[float, float, float, float]], scale: float, shift: float
) -> None:
    log, _ = drawn(values)
    plain = value(snips(log))
    assert value(snips(replace(log, propensities=scale * log.propensities))) == pytest.approx(plain, abs=1e-9)
    assert value(snips(replace(log, rewards=log.rewards + shift))) == pytest.approx(plain + shift, abs=1e-9)
    assert log.rewards.min() - 1e-9 <= plain <= log.rewards.max() + 1e-9


@given(rows)
def test_a_perfect_model_leaves_weights_nothing_to_multiply(values: list[tuple[float, float, float, float]]) -> None:
    log, expected = drawn(values)
    terms = {terms.name: terms for terms in estimators(log, PredictedRewards(log.rewards, expected), threshold=1)}
    for name in ("DR", "switch-DR"):
        assert terms[name].columns[:, 0].tolist() == expected.tolist()
    assert value(terms["SNDR"]) == pytest.approx(value(terms["DM"]), abs=1e-9)


@given(rows)
def test_thresholds_lead_from_no_weight_to_all_of_it(values: list[tuple[float, float, float, float]]) -> None:
    log, other = drawn(values)
    predicted = PredictedRewards(other, other[::-1].copy())
    high = {terms.name: value(terms) for terms in estimators(log, predicted, threshold=1e6)}
    low = {terms.name: value(terms) for terms in estimators(log, predicted, threshold=1e-9)}
    assert (high["clipped IPS"], high["switch-DR"]) == pytest.approx((high["IPS"], high["DR"]))
    assert (low["clipped IPS"], low["switch-DR"]) == pytest.approx((0, low["DM"]), abs=1e-6)


@given(st.lists(st.floats(1e-3, 100), min_size=1, max_size=30))
def test_effective_size_is_between_one_and_the_number_of_rows(weights: list[float]) -> None:
    size = kish(np.array(weights))
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert kish(np.full(len(weights), weights[0])) == pytest.approx(len(weights))


def test_no_weight_at_all_has_no_size() -> None:
    assert kish(np.zeros(3)) == 0

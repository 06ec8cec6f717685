"""The reward model: it learns what is there, and no row is predicted by a model that saw its unit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from logged import logged

from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.rewards import PredictedRewards, features_of, fit_rewards
from recsys.errors import DataError

N = 3_000


def policy(n: int, chances: tuple[float, float] = (0.25, 0.75)) -> ActionProbabilities:
    return ActionProbabilities(np.array(["x", "y"]), np.array([chances]), np.zeros(n, np.intp))


def even_log(rewards: np.ndarray, actions: np.ndarray, units: list[str] | None = None) -> Decisions:
    n = len(rewards)
    return logged([0.5] * n, [0.5] * n, rewards.tolist(), actions=actions.tolist(), units=units)


def test_it_learns_chances_of_actions_and_features() -> None:
    rng = np.random.default_rng(0)
    actions, feature = rng.choice(["x", "y"], N), rng.integers(0, 2, N)
    chances = np.where(actions == "x", 0.2, 0.4) + 0.3 * feature
    log = even_log((rng.random(N) < chances).astype(float), actions)
    found = fit_rewards(log, policy(N), rng, feature[:, None].astype(float))
    for action, level in (("x", 0.2), ("y", 0.4)):
        for number in (0, 1):
            rows = (actions == action) & (feature == number)
            assert found.logged[rows].mean() == pytest.approx(level + 0.3 * number, abs=0.04)
    assert found.expected[feature == 0].mean() == pytest.approx(0.25 * 0.2 + 0.75 * 0.4, abs=0.03)


def test_it_learns_money_too() -> None:
    rng = np.random.default_rng(1)
    actions = rng.choice(["x", "y"], N)
    log = even_log(np.where(actions == "x", 5.0, 20.0) + rng.normal(0, 1, N), actions)
    found = fit_rewards(log, policy(N), rng)
    assert found.logged[actions == "y"].mean() == pytest.approx(20, abs=0.2)
    assert found.expected.mean() == pytest.approx(0.25 * 5 + 0.75 * 20, abs=0.2)


def test_a_policy_of_the_logged_action_alone_expects_what_is_predicted_of_it() -> None:
    rng = np.random.default_rng(2)
    actions = np.repeat("y", 40)
    log = even_log(rng.integers(0, 2, 40).astype(float), actions)
    found = fit_rewards(log, policy(40, (0.0, 1.0)), rng)
    assert found.expected == pytest.approx(found.logged)


def test_no_unit_is_predicted_by_a_model_that_saw_it() -> None:
    rng = np.random.default_rng(3)
    units = [f"u{row // 10}" for row in range(300)]
    own = np.repeat(np.eye(30), 10, axis=0)  # a feature per unit: by heart it would predict every reward
    rewards = np.repeat(rng.integers(0, 2, 30), 10).astype(float)
    found = fit_rewards(even_log(rewards, np.repeat("x", 300), units), policy(300), rng, own, strength=100)
    assert abs(found.logged[rewards == 1].mean() - found.logged[rewards == 0].mean()) < 0.3


def test_rewards_that_are_all_alike_are_predicted_as_they_are() -> None:
    found = fit_rewards(even_log(np.zeros(12), np.repeat("x", 12)), policy(12), np.random.default_rng(0))
    assert not found.logged.any()
    assert not found.expected.any()


def test_equal_seeds_give_equal_predictions() -> None:
    rng = np.random.default_rng(4)
    log = even_log(rng.integers(0, 2, 60).astype(float), rng.choice(["x", "y"], 60))
    first, second = (fit_rewards(log, policy(60), np.random.default_rng(9)) for _ in range(2))
    assert first.expected.tolist() == second.expected.tolist()


def test_folds_need_units() -> None:
    log = even_log(np.zeros(4), np.repeat("x", 4), units=["a", "a", "b", "b"])
    with pytest.raises(DataError, match="the log has 2 units"):
        fit_rewards(log, policy(4), np.random.default_rng(0))
    with pytest.raises(ValueError, match="n_folds must be at least 2"):
        fit_rewards(log, policy(4), np.random.default_rng(0), n_folds=1)


def test_features_are_numbers_and_indicators() -> None:
    table = pd.DataFrame({"age": [20, 30], "tier": ["low", "high"], "other": [1, 2]})
    assert features_of(table, ["age", "tier"]).tolist() == [[20, 0, 1], [30, 1, 0]]
    with pytest.raises(DataError, match="the log lacks 'colour'"):
        features_of(table, ["colour"])
    with pytest.raises(DataError, match="row 2: one of 'age' is no finite number"):
        features_of(table.assign(age=[20.0, None]), ["age"])


def test_predictions_are_finite_and_of_one_length() -> None:
    with pytest.raises(DataError, match="row 2: the predicted rewards are nan"):
        PredictedRewards(np.array([0, np.nan]), np.zeros(2))
    with pytest.raises(DataError, match="2 rows have a prediction of the logged action and 1"):
        PredictedRewards(np.zeros(2), np.zeros(1))


def test_what_memory_held_before_is_not_taken_for_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    log = even_log(np.tile([0.0, 1.0], 15), np.repeat("x", 30))
    dirty = SimpleNamespace(**{**vars(np), "empty": lambda n: np.full(n, np.nan)})
    monkeypatch.setattr("offline_eval.off_policy.rewards.np", dirty)
    assert np.isfinite(fit_rewards(log, policy(30), np.random.default_rng(0)).logged).all()


def test_what_a_model_predicts_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    log = even_log(np.tile([0.0, 1.0], 15), np.repeat("x", 30))
    monkeypatch.setattr("offline_eval.off_policy.rewards._Model.predict", lambda *given: (np.full(len(given[-1]), np.nan),) * 2)
    with pytest.raises(DataError, match="row 1: the predicted rewards are nan"):
        fit_rewards(log, policy(30), np.random.default_rng(0))

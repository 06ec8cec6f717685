"""When something may be concluded, when not and why; what is printed then; and whether intervals keep their promise."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from logged import logged
from rich.console import Console

from benchmarks.off_policy_worlds import World
from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.evaluation import Estimate, Limits, OffPolicyResult, evaluate_policy, evaluate_slates
from offline_eval.off_policy.report import refusal_lines, result_table, to_json, verdict
from offline_eval.off_policy.rewards import PredictedRewards

N = 2_000
GOOD, BAD = 0.6, 0.2


def two_actions(policy_good: float, n: int = N, seed: int = 0) -> Decisions:
    """A log that shows both actions as often; the policy takes the good one with the given probability."""
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.5
    rewards = (rng.random(n) < np.where(good, GOOD, BAD)).astype(float)
    chances = np.where(good, policy_good, 1 - policy_good)
    return logged([0.5] * n, chances.tolist(), rewards.tolist(), actions=np.where(good, "good", "bad").tolist())


def evaluated(log: Decisions, predicted: PredictedRewards | None = None, **options: object) -> OffPolicyResult:
    return evaluate_policy(log, np.random.default_rng(1), predicted, n_resamples=400, **options)


def by_name(result: OffPolicyResult, name: str) -> Estimate:
    return next(estimate for estimate in result.estimates if estimate.estimator == name)


@pytest.mark.parametrize(("policy_good", "word"), [(0.9, "better"), (0.1, "worse"), (0.5, "undecided")])
def test_the_verdict_is_about_the_difference_to_the_log(policy_good: float, word: str) -> None:
    result = evaluated(two_actions(policy_good))
    assert result.chosen.estimator == "SNIPS"
    assert result.chosen.word == word
    assert verdict(result).startswith(word)
    truth = policy_good * GOOD + (1 - policy_good) * BAD
    for estimate in result.estimates:
        assert estimate.value.low < truth < estimate.value.high
        assert estimate.refusals == ()


def test_with_a_model_the_verdict_is_of_the_doubly_robust_estimate_and_never_of_the_model_alone() -> None:
    log = two_actions(0.9)
    predicted = PredictedRewards(np.where(log.actions == "good", GOOD, BAD), np.full(N, 0.9 * GOOD + 0.1 * BAD))
    result = evaluated(log, predicted)
    assert result.chosen.estimator == "DR"
    assert result.chosen.word == "better"
    assert by_name(result, "DM").refusals == ("it rests on the reward model alone, and no log says how wrong that is",)


def test_a_perfect_model_has_no_noise_from_weights() -> None:
    log = two_actions(0.9)
    sure = replace(log, rewards=np.where(log.actions == "good", 1.0, 0.0))
    predicted = PredictedRewards(sure.rewards, np.full(N, 0.9))
    doubly_robust = by_name(evaluated(sure, predicted), "DR")
    assert doubly_robust.value.estimate == pytest.approx(0.9, abs=1e-12)
    assert doubly_robust.normal.high - doubly_robust.normal.low == pytest.approx(0, abs=1e-9)
    assert by_name(evaluated(sure, predicted), "IPS").normal.high > 0.91


def test_the_logs_own_policy_is_neither_better_nor_worse_and_has_the_interval_of_a_mean() -> None:
    log = two_actions(0.5)
    result = evaluated(log)
    assert by_name(result, "IPS").value == result.logged
    assert (by_name(result, "IPS").against_log.low, by_name(result, "IPS").against_log.high) == (0, 0)


def test_rows_of_one_unit_are_not_counted_as_independent() -> None:
    log = two_actions(0.9, n=400)
    doubled = Decisions(**{name: np.repeat(column, 10) for name, column in vars(log).items()})
    single, repeated = evaluated(log).chosen, evaluated(doubled).chosen
    assert repeated.value.n == single.value.n == 400
    assert repeated.normal.high - repeated.normal.low == pytest.approx(single.normal.high - single.normal.low)


def reasons(log: Decisions, **limits: float) -> str:
    return "; ".join(by_name(evaluated(log, limits=Limits(**limits)), "SNIPS").refusals)


def test_missing_support_is_refused_where_it_is_known() -> None:
    log = two_actions(0.9)
    assert "gives 5.0% of its probability to actions that the log never shows" in reasons(replace(log, unsupported=np.full(N, 0.05)))
    assert reasons(replace(log, unsupported=np.full(N, 0.005))) == ""


def test_missing_support_shows_in_the_mean_weight_where_it_is_not_known() -> None:
    log = two_actions(0.9)
    elsewhere = replace(log, policy=0.8 * log.policy, unsupported=np.full(N, np.nan))
    assert "the mean weight is 0.80" in reasons(elsewhere)
    result = evaluated(replace(log, unsupported=np.full(N, np.nan)))
    assert "judged by the mean weight" in verdict(result)


def test_wrong_propensities_show_in_the_mean_weight() -> None:
    log = two_actions(0.9)
    assert "and not 1 (p < 0.0001)" in reasons(replace(log, propensities=np.where(log.actions == "good", 0.3, 0.7)))


def test_too_little_is_refused() -> None:
    assert "40 units, fewer than 50" in reasons(two_actions(0.9, n=40))
    assert "the effective sample size is 68, below 100" in reasons(two_actions(0.9, n=120))
    few = two_actions(0.9)
    assert "effective rewards, fewer than 30" in reasons(replace(few, rewards=few.rewards * (np.arange(N) < 30)))
    heavy = replace(few, propensities=np.where(np.arange(N) == 0, 0.0005, few.propensities))
    assert "one unit has" in reasons(heavy)


def test_rows_written_ten_times_are_no_more_customers() -> None:
    log = two_actions(0.9, n=60)
    repeated = Decisions(**{name: np.repeat(column, 10) for name, column in vars(log).items()})
    assert "the effective sample size is" in reasons(log)
    assert "effective units, fewer than 50" in reasons(repeated)


def test_one_customer_with_very_many_rows_is_refused() -> None:
    log = two_actions(0.9)
    assert reasons(replace(log, units=np.where(np.arange(N) < 60, "crowd", log.units))) == ""
    assert "one unit has 9.0%" in reasons(replace(log, units=np.where(np.arange(N) < 200, "crowd", log.units)))


def test_unequal_customers_are_concluded_from_only_where_intervals_keep_their_promise() -> None:
    shape = {"n_units": 60, "visits": 20, "n_actions": 10, "level": -1, "logging": 0.3, "evaluated": 1.2}
    rng = np.random.default_rng(3)
    refused = {}
    for name, sizes in {"equal": {}, "one large": {"largest": 600}, "very unequal": {"tail": 1.0}}.items():
        logs = [World(**shape, **sizes).draw(rng)[0] for _ in range(20)]
        refused[name] = np.mean([by_name(evaluate_policy(log, rng, n_resamples=100), "SNIPS").word == "refused" for log in logs])
    assert refused == {"equal": pytest.approx(0, abs=0.1), "one large": 1, "very unequal": 1}


def test_an_estimate_whose_weight_was_cut_away_is_refused() -> None:
    result = evaluated(two_actions(0.9), threshold=1)
    assert "of the weight was cut away" in by_name(result, "clipped IPS").refusals[0]
    assert by_name(result, "SNIPS").refusals == ()


def test_a_policy_that_the_log_contradicts_wholly_has_no_interval() -> None:
    result = evaluated(replace(two_actions(0.9), policy=np.zeros(N)))
    assert "the data do not determine an interval" in by_name(result, "SNIPS").refusals
    assert by_name(result, "SNIPS").word == "refused"


def test_whole_lists_are_evaluated_and_the_verdict_is_of_what_reads_down() -> None:
    world = World(n_units=300, visits=2, n_actions=5, level=-1, logging=0.2, evaluated=1.5, n_places=2)
    log, _, _ = world.draw(np.random.default_rng(0))
    result = evaluate_slates(log, "independent", np.random.default_rng(1), n_resamples=400)
    assert (result.per, result.n, result.logged.n) == ("list", 600, 300)
    assert result.chosen.estimator == "SN-RIPS"
    assert result.chosen.word == "better"
    assert evaluate_slates(log, "marginal", np.random.default_rng(1), n_resamples=400).chosen.estimator == "SN-IIPS"


def printed(result: OffPolicyResult, *, insist: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(result_table(result, insist=insist))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_no_number_is_printed_of_what_is_refused() -> None:
    result = evaluated(replace(two_actions(0.9), unsupported=np.full(N, 0.05)))
    number = f"{result.chosen.value.estimate:.4g}"
    assert number not in printed(result) + verdict(result) + json.dumps(to_json(result))
    assert verdict(result).startswith("no conclusion (SNIPS): the policy gives 5.0%")
    assert number in printed(result, insist=True)
    assert to_json(result, insist=True)["estimates"][1]["value"]["estimate"] == result.chosen.value.estimate
    (line,) = refusal_lines(result)
    assert line.startswith("IPS, SNIPS, clipped IPS: the policy gives")


def test_numbers_are_printed_of_what_is_not() -> None:
    result = evaluated(two_actions(0.9))
    assert f"{result.chosen.value.estimate:.4g}" in printed(result)
    found = to_json(result)
    assert found["verdict"] == "better"
    assert found["estimates"][1]["against_log"]["low"] > 0
    assert refusal_lines(result) == []


def test_equal_seeds_give_equal_results() -> None:
    assert evaluated(two_actions(0.9)) == evaluated(two_actions(0.9))


def test_intervals_cover_the_truth_as_often_as_promised() -> None:
    world = World(n_units=150, visits=3, n_actions=6, level=-1, logging=0.2, evaluated=1.2)
    truth, gain = world.value(world.policy), world.value(world.policy) - world.value(world.log_policy)
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        result = evaluate_policy(world.draw(rng)[0], rng, n_resamples=400)
        estimates = [by_name(result, name) for name in ("IPS", "SNIPS")]
        intervals = (
            [(e.value, truth) for e in estimates] + [(e.normal, truth) for e in estimates] + [(e.against_log, gain) for e in estimates]
        )
        covered.append([interval.low <= known <= interval.high for interval, known in intervals])
    shares = np.mean(covered, axis=0)
    assert (shares >= 0.93).all(), shares
    assert (shares <= 0.98).all(), shares


def test_the_truth_of_a_world_is_what_its_logs_earn() -> None:
    for world in (
        World(n_units=3_000, visits=1, n_actions=5, level=-1, logging=0.5, evaluated=1),
        World(n_units=3_000, visits=1, n_actions=5, level=-1, logging=0.5, evaluated=1, n_places=3, cascade=0.7),
    ):
        log, _, _ = world.draw(np.random.default_rng(0))
        earned = np.bincount(log.slates, log.rewards)
        assert world.value(world.log_policy) == pytest.approx(earned.mean(), abs=4 * earned.std() / np.sqrt(len(earned)))

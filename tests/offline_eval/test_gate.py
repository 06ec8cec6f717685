from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_eval.evaluate import Exposures, Measurements
from offline_eval.gate import HOLDS, UNDECIDED, WORSE, GatePolicy, gate, load_policy
from recsys.errors import ConfigError

N = 600


def measured(values: np.ndarray, slices: dict[str, tuple[str, ...]] | None = None, metrics: tuple[str, ...] = ("NDCG@10",)) -> Measurements:
    n = values.shape[-1]
    customers = tuple(f"c{row:05}" for row in range(n))
    return Measurements("all purchases", ("engine",), metrics, customers, ("t",) * n, slices or {}, values.reshape(1, len(metrics), n))


def policy(**more: object) -> GatePolicy:
    promise = {"metric": "NDCG@10", "margin": 0.0, **more}
    outer = {name: promise.pop(name) for name in ("rule", "correction", "alpha") if name in promise}
    return GatePolicy.model_validate({"protect": [promise], **outer})


def shop(fall: float = 0.0, n_slices: int = 5, seed: int = 0) -> tuple[Measurements, Measurements]:
    """New and old on slices of 600; the differences have a standard deviation of 0.1, and in the last slice a fall of so many of them."""
    rng = np.random.default_rng(seed)
    old = rng.uniform(0.2, 0.8, N * n_slices)
    labels = np.repeat(np.arange(n_slices), N)
    new = old + 0.1 * (rng.standard_normal(len(old)) - fall * (labels == n_slices - 1))
    slices = {"tier": tuple(f"s{label}" for label in labels)}
    return measured(new, slices), measured(old, slices)


@pytest.mark.parametrize("correction", ["max-t", "holm"])
def test_a_fall_in_one_slice_is_named_and_nothing_else(correction: str) -> None:
    new, old = shop(fall=0.3)
    result = gate([new], [old], policy(slices=["tier"], correction=correction))
    assert [verdict.slice for verdict in result.failed] == ["tier=s4"]
    (failed,) = result.failed
    assert failed.state == WORSE
    assert failed.difference == pytest.approx(-0.03, abs=0.01)
    assert failed.high < 0
    assert failed.p <= 0.05
    assert failed.detectable == pytest.approx((2.33 + 0.84) * 0.1 / np.sqrt(N), rel=0.05)  # one-sided 1 % and a power of 80 %


def test_no_fall_no_alarm() -> None:
    new, old = shop()
    result = gate([new], [old], policy(slices=["overall", "tier"]))
    assert len(result.verdicts) == 6
    assert not result.failed


def test_alarms_and_bounds_say_the_same() -> None:
    for fall in (0.08, 0.1, 0.12, 0.14):
        new, old = shop(fall=fall, seed=3)
        for verdict in gate([new], [old], policy(slices=["tier"])).verdicts:
            assert (verdict.state == WORSE) == (verdict.high < -verdict.margin)
            assert (verdict.state == HOLDS) == (verdict.low > -verdict.margin)


def test_a_fall_within_the_margin_is_accepted() -> None:
    new, old = shop(fall=0.3)
    assert gate([new], [old], policy(slices=["tier"], margin=0.03)).failed == ()
    assert gate([new], [old], policy(slices=["tier"], margin=None, relative_margin=0.06)).failed == ()  # 0.06 of about 0.5
    assert len(gate([new], [old], policy(slices=["tier"], margin=None, relative_margin=0.01)).failed) == 1


def test_safety_lets_pass_only_what_is_shown_to_hold() -> None:
    new, old = shop()
    assert gate([new], [old], policy(slices=["tier"], margin=0.02, rule="safety")).failed == ()
    undecided = gate([new], [old], policy(slices=["tier"], margin=0.001, rule="safety")).failed
    assert undecided
    assert {verdict.state for verdict in undecided} == {UNDECIDED}
    assert gate([new], [old], policy(slices=["tier"], margin=0.001)).failed == ()  # nothing is shown to be worse either


def test_the_same_lists_hold_within_any_margin_and_are_undecided_at_none() -> None:
    _, old = shop()
    assert {verdict.state for verdict in gate([old], [old], policy(margin=0.001)).verdicts} == {HOLDS}
    (verdict,) = gate([old], [old], policy()).verdicts
    assert (verdict.state, verdict.p) == (UNDECIDED, 1.0)


def test_where_lower_is_better_a_rise_is_worse() -> None:
    new, old = (replace(side, metrics=("Popularity@10",)) for side in shop(fall=0.3))
    risen, before = gate([old], [new], policy(metric="Popularity@10", slices=["tier"])), policy(metric="Popularity@10", slices=["tier"])
    assert [verdict.slice for verdict in risen.failed] == ["tier=s4"]
    assert gate([new], [old], before).failed == ()


def test_rows_are_paired_by_query_and_slices_are_those_of_the_old() -> None:
    new, old = shop(fall=0.3)
    order = np.random.default_rng(1).permutation(len(new.customers))
    turned = replace(new, customers=tuple(new.customers[row] for row in order), slices={}, values=new.values[:, :, order])
    assert gate([turned], [old], policy(slices=["tier"])).verdicts == gate([new], [old], policy(slices=["tier"])).verdicts


def test_the_two_sides_may_have_other_metrics_beside_the_protected_one() -> None:
    new, old = shop(fall=0.3)
    wider = replace(new, metrics=("Recall@10", "NDCG@10"), values=np.concatenate([np.zeros_like(new.values), new.values], axis=1))
    assert gate([wider], [old], policy(slices=["tier"])).verdicts == gate([new], [old], policy(slices=["tier"])).verdicts


def test_what_the_old_has_no_value_for_is_left_out_in_pairs() -> None:
    new, old = shop(n_slices=1)
    old.values[0, 0, :10], new.values[0, 0, 5:10] = np.nan, np.nan
    (verdict,) = gate([new], [old], policy()).verdicts
    assert (verdict.n, verdict.n_dropped) == (N - 10, 0)
    assert verdict.difference == pytest.approx(np.nanmean(new.values[0, 0] - old.values[0, 0]))


@pytest.mark.parametrize("metric", ["NDCG@10", "Revenue@10"])
def test_the_new_cannot_hide_whom_it_harms_behind_missing_values(metric: str) -> None:
    new, old = (replace(side, metrics=(metric,)) for side in shop(fall=0.3, n_slices=1))
    new.values[0, 0, new.values[0, 0] < old.values[0, 0]] = np.nan
    hidden = int(np.isnan(new.values).sum())
    with pytest.raises(
        ValueError, match=f"{metric} of 'overall' in 'all purchases': {hidden} queries have a value on the old side and none"
    ):
        gate([new], [old], policy(metric=metric))


def test_values_that_a_list_may_lack_by_nature_are_counted_when_only_the_new_lacks_them() -> None:
    new, old = (replace(side, metrics=("Diversity@10",)) for side in shop(n_slices=1))
    old.values[0, 0, :10], new.values[0, 0, 5:20] = np.nan, np.nan
    (verdict,) = gate([new], [old], policy(metric="Diversity@10")).verdicts
    assert (verdict.n, verdict.n_dropped) == (N - 20, 10)


def test_infinite_values_are_refused() -> None:
    new, old = (replace(side, metrics=("Novelty@10",)) for side in shop(n_slices=1))
    new.values[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        gate([new], [old], policy(metric="Novelty@10"))


@pytest.mark.parametrize("rule", ["harm", "safety"])
@pytest.mark.parametrize("correction", ["max-t", "holm"])
def test_a_slice_of_a_kind_without_any_value_is_undecided_and_stops_nothing(rule: str, correction: str) -> None:
    new, old = (replace(side, metrics=("Miscalibration@10",)) for side in shop(n_slices=3))
    old.values[0, 0, :N], new.values[0, 0, :N] = np.nan, np.nan  # customers of no history have none
    asked = {"metric": "Miscalibration@10", "margin": 0.05, "rule": rule, "correction": correction}
    result = gate([new], [old], policy(slices=["tier"], **asked))
    assert [(verdict.slice, verdict.n, verdict.state) for verdict in result.verdicts] == [
        ("tier=s0", 0, UNDECIDED),
        ("tier=s1", N, HOLDS),
        ("tier=s2", N, HOLDS),
    ]
    assert not result.failed
    with pytest.raises(ValueError, match="no customer has a value of Miscalibration@10 of 'tier=s0'"):
        gate([new], [old], policy(slices=["tier", "tier=s0"], **asked))
    only = replace(old, slices={"tier": ("s0",) * len(old.customers)}, values=np.full_like(old.values, np.nan))
    with pytest.raises(ValueError, match="nobody has a value"):
        gate([only], [only], policy(slices=["tier"], **asked))


def test_a_slice_that_only_the_new_has_no_value_for_stops_the_safe() -> None:
    new, old = (replace(side, metrics=("Diversity@10",)) for side in shop(n_slices=2))
    new.values[0, 0, :N] = np.nan
    (verdict,) = gate([new], [old], policy(metric="Diversity@10", margin=0.05, slices=["tier"], rule="safety")).failed
    assert (verdict.slice, verdict.n, verdict.n_dropped) == ("tier=s0", 0, N)


def test_a_slice_that_is_named_twice_is_asked_once() -> None:
    new, old = shop(fall=0.3)
    once = gate([new], [old], policy(slices=["tier"], correction="holm"))
    assert gate([new], [old], policy(slices=["tier", "tier=s4"], correction="holm")).verdicts == once.verdicts


def test_where_lower_is_better_difference_and_bounds_look_one_way() -> None:
    new, old = (replace(side, metrics=("Popularity@10",)) for side in shop(fall=0.3))
    fallen, risen = (
        {v.slice: v for v in gate([a], [b], policy(metric="Popularity@10", slices=["tier"])).verdicts} for a, b in ((new, old), (old, new))
    )
    for verdict in (fallen["tier=s4"], risen["tier=s4"]):
        assert verdict.lower_is_better
        assert verdict.low < verdict.difference < verdict.high
    assert fallen["tier=s4"].state == HOLDS
    assert fallen["tier=s4"].high < 0
    assert risen["tier=s4"].state == WORSE
    assert risen["tier=s4"].low > 0


@pytest.mark.parametrize("margin", [{"margin": 0.0}, {"margin": 0.01}, {"margin": None, "relative_margin": 0.01}])
def test_where_nobody_differs_nothing_is_said_of_what_could_be_seen(margin: dict[str, object]) -> None:
    _, old = shop()
    (verdict,) = gate([old], [old], policy(**margin)).verdicts
    assert np.isnan(verdict.detectable)


def test_whole_set_metrics_are_protected_too() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = (np.array([rng.permutation(n)[:5] for _ in range(300)], np.int32) for n in (400, 40))
    sides = []
    for shown in (narrow, wide):
        exposures = Exposures(("Coverage@5",), shown[None], np.ones(400, np.bool_))
        sides.append(replace(measured(rng.random(300)), exposures=exposures))
    (verdict,) = gate([sides[0]], [sides[1]], policy(metric="Coverage@5", margin=0.05)).failed
    assert verdict.new == pytest.approx(0.1)
    assert gate([sides[1]], [sides[0]], policy(metric="Coverage@5", margin=0.05)).failed == ()


def test_one_customer_decides_nothing() -> None:
    (verdict,) = gate([measured(np.array([0.1]))], [measured(np.array([0.9]))], policy()).verdicts
    assert verdict.state == UNDECIDED
    assert np.isnan([verdict.low, verdict.high]).all()


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("metric", ["NDCG@10", "Popularity@10"])
def test_few_customers_decide_only_when_flips_of_their_signs_can(n: int, metric: str) -> None:
    old = measured(np.linspace(0.2, 0.6, n), metrics=(metric,))
    worse = replace(old, values=old.values + (0.1 if metric == "Popularity@10" else -0.1))
    for new, state in ((old, HOLDS), (worse, WORSE)):
        (verdict,) = gate([new], [old], policy(metric=metric, margin=0.01)).verdicts
        assert verdict.state == (state if n == 5 else UNDECIDED)  # of 2**4 ways to flip none is as rare as 1 in 20


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metric": "Recall@10"}, "Recall@10 of 'all purchases' was not measured; measured were: NDCG@10"),
        ({"table": "discovery"}, "no table 'discovery'; there are: all purchases"),
        ({"slices": ["teir"]}, "no slice 'teir' in 'all purchases';"),
    ],
)
def test_a_promise_about_what_was_not_measured_is_refused(change: dict[str, object], reason: str) -> None:
    new, old = shop(n_slices=2)
    with pytest.raises(ValueError, match=reason):
        gate([new], [old], policy(**change))


def test_a_policy_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('alpha = 0.1\n[[protect]]\nmetric = "NDCG@10"\nslices = ["overall", "tier"]\nrelative_margin = 0.01\n')
    read = load_policy(file)
    assert (read.alpha, read.correction, read.rule) == (0.1, "max-t", "harm")
    assert read.metrics == "NDCG@10"
    for text, reason in (
        ('[[protect]]\nmetric = "NDCG@10"\nmargn = 0.1\n', "unknown key 'protect.0.margn'; did you mean 'margin'"),
        ('alhpa = 0.1\n[[protect]]\nmetric = "NDCG@10"\nmargin = 0.1\n', "unknown key 'alhpa'; did you mean 'alpha'"),
        ('[[protect]]\nmetric = "NDGC@10"\nmargin = 0.1\n', "did you mean 'NDCG'"),
        ('[[protect]]\nmetric = "NDCG@10,MRR"\nmargin = 0.1\n', "one metric for each promise"),
        ('[[protect]]\nmetric = "NDCG@10"\n', "either margin or relative_margin"),
        ('[[protect]]\nmetric = "NDCG@10"\nmargin = 0\nrelative_margin = 0\n', "either margin or relative_margin"),
        ("alpha = 0.05\n", "protect: Field required"),
        ("alpha = ", "not valid TOML"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=reason):
            load_policy(file)

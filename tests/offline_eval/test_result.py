from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline_eval.evaluate import Exposures, Measurements
from offline_eval.hypotheses import minimum_detectable
from offline_eval.result import EvaluationResult, compare, summarise


def measurements(n: int = 40, systems: tuple[str, ...] = ("good", "base"), seed: int = 0) -> Measurements:
    """NDCG of the good system is 10 % above that of the base for "low", equal for "high"; one customer alone is "none"."""
    base = np.random.default_rng(seed).uniform(0.2, 0.6, n)
    tiers = tuple(["low"] * (n // 2) + ["high"] * (n - n // 2 - 1) + ["none"])
    values = {"base": base, "good": base * np.where(np.array(tiers) == "low", 1.1, 1.0)}
    return Measurements(
        title="all purchases",
        systems=systems,
        metrics=("NDCG@10",),
        customers=tuple(f"c{row:03}" for row in range(n)),
        times=("2020-01-10T00:00:00+00:00",) * n,
        slices={"tier": tiers},
        values=np.array([[values[system]] for system in systems]),
    )


def summary() -> EvaluationResult:
    return summarise(measurements(), np.random.default_rng(0), n_resamples=300, about={"seed": 0})


def test_every_system_and_slice_has_a_mean_an_interval_and_a_count() -> None:
    result = summary()
    assert result.slices == ("overall", "tier=low", "tier=high", "tier=none")
    assert len(result.figures) == 2 * 4
    overall = result.figure("base", "NDCG@10")
    assert overall.mean == pytest.approx(measurements().values[1].mean())
    assert overall.low < overall.mean < overall.high
    assert [result.figure("good", "NDCG@10", name).n for name in result.slices] == [40, 20, 19, 1]


def test_a_slice_of_one_customer_is_shown_without_an_interval() -> None:
    alone = summary().figure("good", "NDCG@10", "tier=none")
    assert alone.mean > 0
    assert np.isnan([alone.low, alone.high]).all()


def test_an_unknown_figure_is_named() -> None:
    with pytest.raises(KeyError, match="no figure of 'best'"):
        summary().figure("best", "NDCG@10")


def test_json_brings_everything_back() -> None:
    result = summary()
    again = EvaluationResult.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    assert np.array_equal(again.measurements.values, result.measurements.values)
    assert again.measurements.queries == result.measurements.queries
    assert again.about == {"seed": 0}


def test_equal_seeds_give_equal_figures() -> None:
    assert summary().to_json() == summary().to_json()


def test_comparisons_are_paired_and_by_slice() -> None:
    found = {item.slice: item for item in compare(measurements(), "good", "base", np.random.default_rng(0), n_resamples=300)}
    assert found["tier=low"].relative.estimate == pytest.approx(0.1)
    assert found["tier=low"].relative.low == pytest.approx(0.1)  # every customer is exactly 10 % better: no doubt is left
    assert found["tier=high"].difference.high == pytest.approx(0.0)
    assert 0 < found["overall"].relative.low < found["overall"].relative.high < 0.1


def test_two_evaluations_are_paired_by_query_not_by_row() -> None:
    turned = measurements(systems=("base",))
    order = np.arange(40)[::-1]
    turned = Measurements(
        turned.title,
        turned.systems,
        turned.metrics,
        tuple(turned.customers[row] for row in order),
        turned.times,
        {},
        turned.values[:, :, order],
    )
    apart = compare(measurements(systems=("good",)), "good", "base", np.random.default_rng(0), turned, n_resamples=300)
    together = compare(measurements(), "good", "base", np.random.default_rng(0), n_resamples=300)
    assert apart == pytest.approx(together)


def test_evaluations_of_different_customers_are_not_compared() -> None:
    with pytest.raises(ValueError, match="2 queries were asked of one side only, for example"):
        compare(measurements(40), "good", "base", np.random.default_rng(0), measurements(38))


def test_a_system_that_was_not_measured_is_named() -> None:
    with pytest.raises(ValueError, match="'best' was not measured; measured were: good, base"):
        compare(measurements(), "best", "base", np.random.default_rng(0))


def test_comparisons_say_how_likely_luck_is_and_what_could_not_be_seen() -> None:
    found = {item.slice: item for item in compare(measurements(), "good", "base", np.random.default_rng(0), n_resamples=300)}
    low, high, alone = (found[f"tier={label}"] for label in ("low", "high", "none"))
    assert low.p == pytest.approx(1 / 10_001, rel=3)  # all twenty gained
    assert (low.p_holm, low.p_bh) == pytest.approx((3 * low.p, 3 * low.p))  # of the three tiers
    assert (high.p, high.p_holm) == (1, 1)
    assert found["overall"].p_holm == found["overall"].p  # stands alone
    gains = 0.1 * measurements().values[1, 0, :20]
    assert low.detectable == pytest.approx(minimum_detectable(gains.std(ddof=1) / np.sqrt(20)))
    assert low.detectable_relative == pytest.approx(low.detectable / measurements().values[1, 0, :20].mean())
    assert alone.p == 1
    assert np.isnan(alone.detectable)


def test_a_comparison_is_of_the_queries_for_which_both_have_a_value() -> None:
    measured = measurements()
    measured.values[1, 0, :15] = np.nan  # the base has none for three in four of those whom the good one serves better
    both = [name for name in range(40) if name >= 15]
    shared = replace(
        measured,
        customers=tuple(measured.customers[row] for row in both),
        times=measured.times[15:],
        slices={"tier": measured.slices["tier"][15:]},
        values=measured.values[:, :, 15:],
    )
    holed, whole = ({c.slice: c for c in compare(side, "good", "base", np.random.default_rng(0))} for side in (measured, shared))
    difference = holed["overall"].difference
    assert difference.estimate == pytest.approx(whole["overall"].difference.estimate)
    assert difference.low == pytest.approx(whole["overall"].difference.low, abs=0.001)
    assert difference.n == holed["overall"].relative.n == 25
    assert holed["tier=low"].relative.estimate == pytest.approx(0.1)


def test_a_shared_customer_is_one_with_a_query_that_both_answer() -> None:
    measured = measurements()
    measured.values[1, 0, :15], measured.values[0, 0, 30:] = np.nan, np.nan
    overall = compare(measured, "good", "base", np.random.default_rng(0), n_resamples=50)[0]
    assert overall.difference.n == 15


def test_where_nobody_differs_no_least_difference_is_told() -> None:
    found = {item.slice: item for item in compare(measurements(), "good", "base", np.random.default_rng(0), n_resamples=50)}
    assert np.isnan([found["tier=high"].detectable, found["tier=high"].detectable_relative]).all()


def test_a_side_without_times_has_the_one_time_of_the_other() -> None:
    timed, untimed = measurements(systems=("good",)), replace(measurements(systems=("base",)), times=("",) * 40)
    expected = compare(measurements(), "good", "base", np.random.default_rng(0), n_resamples=50)
    assert compare(timed, "good", "base", np.random.default_rng(0), untimed, n_resamples=50) == pytest.approx(expected)
    swapped = compare(replace(timed, times=("",) * 40), "good", "base", np.random.default_rng(0), measurements(), n_resamples=50)
    assert swapped == pytest.approx(expected)
    several = replace(timed, times=("2020-01-10T00:00:00+00:00",) * 39 + ("2020-01-11T00:00:00+00:00",))
    with pytest.raises(ValueError, match="80 queries were asked of one side only"):
        compare(several, "good", "base", np.random.default_rng(0), untimed, n_resamples=50)


def test_queries_of_one_customer_flip_together() -> None:
    one = measurements(20)
    values = np.concatenate([one.values, one.values], axis=2)
    both = Measurements(
        one.title, one.systems, one.metrics, one.customers * 2, ("a",) * 20 + ("b",) * 20, {"tier": one.slices["tier"] * 2}, values
    )
    alone, twice = (compare(part, "good", "base", np.random.default_rng(0), n_resamples=50)[0] for part in (one, both))
    assert twice.p == alone.p
    assert twice.detectable == pytest.approx(alone.detectable)


def test_figures_of_whole_sets_have_intervals_slices_and_come_back_from_json() -> None:
    rng = np.random.default_rng(0)
    shown = np.array([[rng.permutation(n)[:3] for _ in range(40)] for n in (60, 30)], np.int32)
    measured = replace(measurements(), exposures=Exposures(("Coverage@3",), shown, np.ones(60, np.bool_)))
    result = summarise(measured, np.random.default_rng(0), n_resamples=300)
    figure = result.figure("good", "Coverage@3")
    assert figure.mean == pytest.approx(len(np.unique(shown[0])) / 60)
    assert figure.low < figure.mean < figure.high
    assert result.figure("good", "Coverage@3", "tier=low").mean == pytest.approx(len(np.unique(shown[0, :20])) / 60)
    again = EvaluationResult.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    compared = compare(again.measurements, "good", "base", np.random.default_rng(0), n_resamples=300)
    (overall,) = (item for item in compared if (item.metric, item.slice) == ("Coverage@3", "overall"))
    assert overall.difference.low > 0
    assert overall.p < 0.05

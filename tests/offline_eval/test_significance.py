from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offline_eval import significance
from offline_eval.significance import Bootstrap, bootstrap


def one_query_each(values: np.ndarray, seed: int = 0, n_resamples: int = 400) -> Bootstrap:
    return bootstrap([f"c{row}" for row in range(len(values))], values, np.random.default_rng(seed), n_resamples)


def test_estimates_are_the_plain_means_and_their_difference_and_ratio() -> None:
    resampled = one_query_each(np.array([[0.2, 0.1], [0.6, 0.4], [0.7, 0.25]]))
    assert resampled.mean(0).estimate == pytest.approx(0.5)
    assert resampled.difference(0, 1).estimate == pytest.approx(0.25)
    assert resampled.relative(0, 1).estimate == pytest.approx(1.0)
    assert resampled.mean(0).n == 3


def test_intervals_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    values = np.column_stack([rng.beta(0.2, 2, 25), rng.beta(0.6, 3, 25)])  # few and skewed: bias and acceleration matter
    ours = one_query_each(values, n_resamples=20_000)
    theirs = stats.bootstrap((values[:, 0],), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)).confidence_interval
    ratio = stats.bootstrap(
        (values[:, 0], values[:, 1]),
        lambda first, second, axis: np.mean(first, axis) / np.mean(second, axis) - 1,
        n_resamples=20_000,
        method="BCa",
        paired=True,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (ours.mean(0).low, ours.mean(0).high) == pytest.approx(tuple(theirs), abs=0.006)
    assert (ours.relative(0, 1).low, ours.relative(0, 1).high) == pytest.approx(tuple(ratio), abs=0.06)


def test_interval_of_given_draws_is_the_textbook_one() -> None:
    """Efron & Tibshirani (1993), An Introduction to the Bootstrap, equations 14.10 to 14.15."""
    values = np.random.default_rng(1).beta(0.2, 2, 25)
    resampled = one_query_each(values[:, None], n_resamples=2000)
    draws = resampled.draws[:, 0]
    bias = stats.norm.ppf(np.mean(draws < values.mean()))
    left_out = np.array([np.delete(values, row).mean() for row in range(25)])
    acceleration = stats.skew(left_out.mean() - left_out) / 6 / np.sqrt(25)
    ends = [bias + (bias + z) / (1 - acceleration * (bias + z)) for z in stats.norm.ppf([0.025, 0.975])]
    low, high = np.quantile(draws, stats.norm.cdf(ends))
    assert (resampled.mean(0).low, resampled.mean(0).high) == pytest.approx((low, high), abs=1e-9)


def test_intervals_cover_the_truth_as_often_as_promised() -> None:
    rng = np.random.default_rng(3)
    covered = np.zeros(3)
    for _ in range(400):
        base = rng.beta(1, 3, 60)
        better = base * 1.2 + rng.normal(0, 0.05, 60)
        resampled = bootstrap(range_ids(60), np.column_stack([better, base]), rng, 500)
        intervals = resampled.mean(0), resampled.difference(0, 1), resampled.relative(0, 1)
        truths = 0.25 * 1.2, 0.25 * 0.2, 0.2
        covered += [interval.low <= truth <= interval.high for interval, truth in zip(intervals, truths, strict=True)]
    assert (covered / 400 > 0.92).all()
    assert (covered / 400 < 0.98).all()


def test_queries_of_one_customer_are_drawn_together() -> None:
    rng = np.random.default_rng(4)
    together = apart = 0
    for _ in range(200):
        taste = np.repeat(rng.normal(0, 1, 40), 4)
        values = (taste + rng.normal(0, 0.3, 160))[:, None]
        clustered = bootstrap(np.repeat(range_ids(40), 4).tolist(), values, rng, 300).mean(0)
        naive = bootstrap(range_ids(160), values, rng, 300).mean(0)
        together += clustered.low <= 0 <= clustered.high
        apart += naive.low <= 0 <= naive.high
    assert together / 200 > 0.9
    assert apart / 200 < 0.8


def test_pooled_means_are_means_over_queries() -> None:
    resampled = bootstrap(["a", "a", "a", "b"], np.array([[1.0], [1.0], [1.0], [0.0]]), np.random.default_rng(0), 100)
    assert resampled.mean(0).estimate == pytest.approx(0.75)
    assert resampled.mean(0).n == 2


def test_a_sure_difference_is_found_though_both_means_are_uncertain() -> None:
    base = np.random.default_rng(5).random(50)
    resampled = one_query_each(np.column_stack([base + 0.01, base]))
    assert resampled.difference(0, 1).low == pytest.approx(0.01)
    assert resampled.mean(0).low < base.mean()


def test_order_of_queries_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    values, shuffled = rng.random((30, 2)), rng.permutation(30)
    customers = np.array(range_ids(30))
    first = bootstrap(customers.tolist(), values, np.random.default_rng(0), 200)
    second = bootstrap(customers[shuffled].tolist(), values[shuffled], np.random.default_rng(0), 200)
    assert first.relative(0, 1).low == pytest.approx(second.relative(0, 1).low, abs=1e-12)


def test_missing_values_leave_the_mean() -> None:
    resampled = one_query_each(np.array([[0.5, np.nan], [0.7, 1.0], [0.9, 1.0]]))
    assert resampled.mean(1).estimate == pytest.approx(1.0)
    assert resampled.mean(1).n == 2


def test_what_the_data_cannot_tell_is_nan() -> None:
    alone = one_query_each(np.array([[0.5]])).mean(0)
    assert alone.estimate == 0.5
    assert np.isnan([alone.low, alone.high]).all()
    against_nothing = one_query_each(np.array([[0.5, 0.0], [0.4, 0.0]])).relative(0, 1)
    assert np.isnan([against_nothing.estimate, against_nothing.low, against_nothing.high]).all()


@pytest.mark.parametrize(
    ("customers", "values", "n_resamples"),
    [([], np.empty((0, 1)), 10), (["a"], np.ones((2, 1)), 10), (["a"], np.ones(1), 10), (["a"], np.ones((1, 1)), 0)],
)
def test_bad_arguments_are_refused(customers: list[str], values: np.ndarray, n_resamples: int) -> None:
    with pytest.raises(ValueError, match=r"values must|n_resamples"):
        bootstrap(customers, values, np.random.default_rng(0), n_resamples)


def range_ids(n: int) -> list[str]:
    return [f"c{number}" for number in range(n)]


def test_random_groups_of_many_customers_give_the_interval_of_the_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skewed values and a few customers without one; Monte Carlo and grouping move the ends by a few percent of the width."""
    rng = np.random.default_rng(4)
    values = np.column_stack([rng.beta(0.2, 2, 3000), rng.beta(0.6, 3, 3000)])
    values[:100, 1] = np.nan
    whole = one_query_each(values, n_resamples=4000)
    monkeypatch.setattr(significance, "MAX_GROUPS", 1000)
    grouped = one_query_each(values, n_resamples=4000)
    assert grouped.left_out.shape == (1000, 2)
    for ours, theirs in (
        (grouped.mean(0), whole.mean(0)),
        (grouped.mean(1), whole.mean(1)),
        (grouped.relative(0, 1), whole.relative(0, 1)),
    ):
        assert (ours.estimate, ours.n) == (pytest.approx(theirs.estimate), theirs.n)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * (theirs.high - theirs.low))

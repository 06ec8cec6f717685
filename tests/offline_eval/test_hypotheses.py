from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offline_eval import significance
from offline_eval.hypotheses import benjamini_hochberg, flipped, holm, minimum_detectable, sign_flip

DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], np.float64)
"""Darwin's maize: crossed less self-fertilised plants, eighths of an inch; Fisher (1935), section 21."""


def column(values: np.ndarray) -> np.ndarray:
    return values[:, None]


def test_the_exact_p_of_darwins_maize_is_fishers() -> None:
    (p,) = sign_flip(column(DARWIN), np.random.default_rng(0))
    assert p == pytest.approx(1726 / 32768)  # 863 of the 32,768 sums are at least 314


def test_p_agrees_with_scipy_exactly_and_by_chance() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.normal(0.4, 1, 10), rng.normal(0.15, 1, 80)
    exact = stats.permutation_test((few,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip(column(few), rng)[0] == pytest.approx(exact)
    drawn = stats.permutation_test((many,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(2)).pvalue
    assert sign_flip(column(many), rng, 20_000)[0] == pytest.approx(drawn, abs=0.012)


def test_columns_are_tested_one_by_one_and_zeros_have_no_say() -> None:
    both = np.zeros((20, 3))
    both[:15, 0], both[5:, 1] = DARWIN, -DARWIN
    assert sign_flip(both, np.random.default_rng(0)) == pytest.approx([1726 / 32768, 1726 / 32768, 1])


def test_p_is_never_0_and_the_same_for_equal_seeds() -> None:
    sure = column(np.full(200, 1.0))
    assert sign_flip(sure, np.random.default_rng(0), 99)[0] == pytest.approx(1 / 100)
    noisy = column(np.random.default_rng(3).normal(size=50))
    assert sign_flip(noisy, np.random.default_rng(4), 500)[0] == sign_flip(noisy, np.random.default_rng(4), 500)[0]


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(5)
    values = rng.standard_t(3, (40, 2000)) * (rng.random((40, 2000)) < 0.5)  # heavy tails, half the customers unmoved
    assert np.mean(sign_flip(values, rng, 999) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_flips_are_symmetric_sums_of_the_given_lengths() -> None:
    sums = np.concatenate(list(flipped(np.array([[1.0, 0], [2.0, 1.0]]), np.random.default_rng(0), 4000)))
    assert set(map(tuple, sums)) == {(3, 1), (1, 1), (-1, -1), (-3, -1)}
    assert abs(sums.mean()) < 0.1


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, then 0.03 * 2 keeps 0.04 * 1 from falling below it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_is_that_of_scipy() -> None:
    p = np.random.default_rng(6).random(30) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_what_was_not_tested_is_not_counted(correct) -> None:
    with_gap = correct(np.array([0.02, np.nan, 0.5]))
    assert np.isnan(with_gap[1])
    assert with_gap[[0, 2]] == pytest.approx(correct(np.array([0.02, 0.5])))
    assert not len(correct(np.empty(0)))


def test_least_detectable_difference_of_a_published_sample_size() -> None:
    # 39,906 people in two halves, variance 100, alpha 5 %, power 85 % were planned to see 0.3
    assert minimum_detectable(np.sqrt(4 * 100 / 39_906), power=0.85) == pytest.approx(0.3, rel=0.005)
    assert minimum_detectable(1.0) == pytest.approx(2.8016, abs=1e-4)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="finite differences"):
        sign_flip(np.array([[np.nan]]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="alpha and power"):
        minimum_detectable(1.0, alpha=0)


def test_flipping_random_groups_of_many_keeps_p_and_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    moved = column(rng.normal(0.06, 1, 2000))
    (alone,) = sign_flip(moved, np.random.default_rng(0))
    monkeypatch.setattr(significance, "MAX_GROUPS", 400)
    (together,) = sign_flip(moved, np.random.default_rng(0))
    assert together == pytest.approx(alone, abs=0.02)
    none = rng.normal(0, 1, (500, 600)) * rng.uniform(0.1, 3, (500, 1))
    assert np.mean(sign_flip(none, rng, 999) <= 0.05) == pytest.approx(0.05, abs=0.03)

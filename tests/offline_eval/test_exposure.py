from __future__ import annotations

import numpy as np
import pytest

from offline_eval.exposure import KERNELS, coverage, gini

OFFERED = np.array([True, True, True, True, False])


def brute_gini(shown: np.ndarray, offered: np.ndarray) -> float:
    counts = np.bincount(shown[shown >= 0], minlength=len(offered))[offered].astype(float)
    return np.abs(counts[:, None] - counts).sum() / 2 / ((len(counts) - 1) * counts.sum())


def brute_coverage(shown: np.ndarray, offered: np.ndarray) -> float:
    return len(np.intersect1d(shown[shown >= 0], np.flatnonzero(offered))) / offered.sum()


def random_lists(seed: int, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shown = np.array([rng.permutation(9)[:4] for _ in range(n)], np.int32)
    shown[rng.random(shown.shape) < 0.2] = -1
    return shown, np.append(np.ones(8, np.bool_), False)


def test_coverage_counts_offered_items_shown_to_anybody() -> None:
    shown = np.array([[0, 1], [0, 4], [0, -1]], np.int32)
    assert coverage(shown, OFFERED).mean() == pytest.approx(2 / 4)


def test_gini_is_0_when_all_are_shown_alike_and_1_when_one_has_all() -> None:
    assert gini(np.array([[0, 1], [2, 3]], np.int32), OFFERED).mean() == pytest.approx(0)
    assert gini(np.array([[0, -1]] * 3, np.int32), OFFERED).mean() == pytest.approx(1)
    assert np.isnan(gini(np.full((2, 2), -1, np.int32), OFFERED)).all()


@pytest.mark.parametrize("seed", range(5))
def test_values_are_the_jackknife_of_leaving_out_each_list(seed: int) -> None:
    shown, offered = random_lists(seed)
    offered[-1] = seed % 2 == 0
    counted = np.where((shown >= 0) & offered[shown], shown, -1).astype(np.int32)
    for name, brute in (("Gini", brute_gini), ("Coverage", brute_coverage)):
        figure = brute(counted, offered)
        without = np.array([brute(np.delete(counted, row, axis=0), offered) for row in range(len(shown))])
        values = KERNELS[name](shown, offered)
        assert values.mean() == pytest.approx(figure)
        assert values == pytest.approx(figure + (len(shown) - 1) * (without.mean() - without))


def test_intervals_of_coverage_hold_the_truth() -> None:
    """Of shops drawn anew, expected coverage lies within 1.96 jackknife errors about as often as promised; rather more."""
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, 201)
    offered = np.ones(200, np.bool_)
    found = []
    for _ in range(200):
        shown = np.argsort(rng.exponential(size=(150, 200)) / weights, axis=1)[:, :5].astype(np.int32)  # 5 of 200 items, the first likelier
        values = coverage(shown, offered)
        found.append((values.mean(), values.std(ddof=1) / np.sqrt(len(values))))
    estimates, errors = np.array(found).T
    inside = np.abs(estimates - estimates.mean()) < 1.96 * errors
    assert inside.mean() > 0.93


def test_one_list_has_a_figure_and_no_spread() -> None:
    assert coverage(np.array([[0, 1]], np.int32), OFFERED).tolist() == [0.5]

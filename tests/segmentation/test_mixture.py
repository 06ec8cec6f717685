from __future__ import annotations

import numpy as np
import pytest

from segmentation.mixture import Mixture, fit, fit_path, joined, nearest_to

CENTRES = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 5.0]])


def planted(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows around three centres with own noise, its variance, and their group."""
    rng = np.random.default_rng(seed)
    groups, noise = rng.integers(3, size=n), rng.choice([0.05, 1.0], n)
    return CENTRES[groups] + rng.normal(size=(n, 2)) * np.sqrt(0.2 + noise)[:, None], noise, groups


def test_the_way_down_finds_planted_groups() -> None:
    rows, noise, groups = planted()
    path = fit_path(rows, noise, 9, 2, seed=3, n_threads=1)
    assert sorted(path) == list(range(2, 10))
    mixture = fit(rows, noise, path[3])
    found = mixture.posterior(rows, noise).argmax(axis=1)
    for group, centre in enumerate(CENTRES):
        nearest = int(np.linalg.norm(mixture.means - centre, axis=1).argmin())
        assert np.linalg.norm(mixture.means[nearest] - centre) < 0.3
        assert (found[groups == group] == nearest).mean() > 0.95
    assert np.diag(mixture.covariance) == pytest.approx([0.2, 0.2], abs=0.1)  # without the rows' own noise


def test_a_row_known_badly_belongs_to_no_group_for_sure() -> None:
    mixture = Mixture(np.array([[1.0], [-1.0]]), np.array([[0.1]]), np.array([0.5, 0.5]))
    sure, unsure = mixture.posterior(np.array([[1.0], [1.0]]), np.array([0.0, 10.0]))[:, 0]
    assert sure == pytest.approx(1.0)
    assert unsure == pytest.approx(1 / (1 + np.exp(-4 / 10.1 / 2)))


def test_joining_two_groups_keeps_their_mean_and_share() -> None:
    mixture = Mixture(np.array([[0.0], [3.0], [9.0]]), np.eye(1), np.array([0.5, 0.25, 0.25]))
    assert nearest_to(mixture, 1) == 0
    both = joined(mixture, 0, 1)
    assert both.means.ravel().tolist() == [1.0, 9.0]
    assert both.shares.tolist() == [0.75, 0.25]


def test_rows_that_do_not_differ_are_one_group() -> None:
    path = fit_path(np.ones((20, 2)), np.full(20, 0.1), 8, 1, seed=0, n_threads=1)
    assert list(path) == [1]

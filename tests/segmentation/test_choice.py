from __future__ import annotations

import numpy as np

from segmentation.choice import Candidate, choose, measure


def test_what_comes_out_again_is_chosen_and_of_equal_ones_the_best_parted() -> None:
    found = (Candidate(2, 0.3, 0.1, 0.9), Candidate(3, 0.80, 0.1, 0.3), Candidate(4, 0.79, 0.1, 0.4), Candidate(5, 0.7, 0.1, 0.5))
    assert choose(found) == 4


def test_what_is_found_again_by_luck_alone_is_not_chosen() -> None:
    lottery, dependable = Candidate(2, 0.60, 0.35, 0.9), Candidate(6, 0.50, 0.04, 0.2)
    assert choose((lottery, dependable)) == 6


def test_what_never_comes_out_again_is_one_segment() -> None:
    assert choose((Candidate(2, 0.1, 0.1, 0.4), Candidate(3, 0.15, 0.0, 0.4))) == 1
    assert choose(()) == 1


def test_stability_is_one_for_equal_groups_and_none_for_drawn_ones() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat([0, 1], 50)
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])[groups] + rng.normal(scale=0.05, size=(100, 2))
    fixed, drawn = measure({2: groups, 3: groups}, lambda _: {2: 1 - groups, 3: rng.integers(3, size=100)}, rows, rng)
    assert (fixed.stability, fixed.deviation) == (1.0, 0.0)
    assert fixed.silhouette > 0.9
    assert abs(drawn.stability) < 0.1

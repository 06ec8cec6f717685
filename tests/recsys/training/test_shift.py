"""The population stability index of a feature between two samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsys.training.shift import SMOOTH, population_stability
from recsys.types import Floats

DECILES = np.arange(100, dtype=np.float32)
"""Ten values in every bin, whose edges are the deciles of these."""


def test_equal_samples_have_not_shifted() -> None:
    assert population_stability(DECILES, DECILES) == 0
    assert population_stability(DECILES, DECILES[::-1].copy()) == 0


def test_a_sample_that_moved_from_one_decile_to_another() -> None:
    moved = DECILES.copy()
    moved[:10] = 95  # the lowest decile is empty, the highest twice as full
    by_hand = (SMOOTH - 0.1) * math.log(SMOOTH / 0.1) + (0.2 - 0.1) * math.log(0.2 / 0.1)
    assert population_stability(DECILES, moved) == pytest.approx(by_hand, rel=1e-6)


def test_missing_values_are_a_bin_of_their_own() -> None:
    before: Floats = np.array([1, 1, 1, np.nan], np.float32)
    after: Floats = np.array([1, 1, np.nan, np.nan], np.float32)
    by_hand = (0.5 - 0.75) * math.log(0.5 / 0.75) + (0.5 - 0.25) * math.log(0.5 / 0.25)
    assert population_stability(before, after) == pytest.approx(by_hand)


def test_it_is_the_same_in_both_directions_when_the_bins_are() -> None:
    before, after = np.repeat(DECILES, 2), np.repeat(DECILES, [3] * 50 + [1] * 50)
    assert population_stability(before, after) == pytest.approx(population_stability(after, before), rel=0.3)
    assert population_stability(before, after) > 0.25


@pytest.mark.parametrize("constant", [0.0, -3.5, np.nan])
def test_a_constant_feature_has_not_shifted_until_it_changes(constant: float) -> None:
    sample = np.full(20, constant, np.float32)
    assert population_stability(sample, sample) == 0
    assert population_stability(sample, np.full(20, 7, np.float32)) > 1


def test_without_rows_nothing_is_known() -> None:
    assert math.isnan(population_stability(DECILES, DECILES[:0]))
    assert math.isnan(population_stability(DECILES[:0], DECILES))

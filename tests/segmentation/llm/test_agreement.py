from __future__ import annotations

import math

import numpy as np
import pytest

from segmentation.llm.agreement import agreement
from segmentation.llm.usage import Usage

CHOICES = ("no", "yes")


def test_known_values_of_a_small_table() -> None:
    """20 yes-yes, 5 gold yes said no, 10 gold no said yes, 15 no-no: accuracy .7; chance .5, so kappa .4."""
    gold = np.array([1] * 25 + [0] * 25)
    labels = np.array([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    found = agreement(labels, gold, CHOICES)
    assert found.confusion.tolist() == [[15, 10], [5, 20]]
    assert (found.accuracy, found.kappa) == (pytest.approx(0.7), pytest.approx(0.4))
    f1_yes, f1_no = 2 * 20 / (30 + 25), 2 * 15 / (20 + 25)
    assert found.macro_f1 == pytest.approx((f1_yes + f1_no) / 2)
    assert (found.n_gold, found.coverage) == (50, 1.0)


def test_texts_without_a_label_lower_the_coverage_only_and_those_without_gold_count_nowhere() -> None:
    found = agreement([1, -1, 0, 1], [1, 1, -1, 1], CHOICES)
    assert (found.n_gold, found.coverage, found.accuracy) == (3, pytest.approx(2 / 3), 1.0)
    assert math.isnan(found.kappa)


def test_a_choice_that_occurs_nowhere_does_not_lower_the_mean() -> None:
    assert agreement([0, 1], [0, 1], ("a", "b", "c")).macro_f1 == 1.0


@pytest.mark.parametrize(("labels", "gold"), [([], []), ([-1], [0])])
def test_nothing_to_compare_is_not_a_number(labels: list[int], gold: list[int]) -> None:
    found = agreement(labels, gold, CHOICES)
    assert all(math.isnan(value) for value in (found.accuracy, found.macro_f1, found.kappa))


@pytest.mark.parametrize(("labels", "gold"), [([0], [0, 1]), ([2], [0]), ([0], [-2])])
def test_rows_that_are_no_choices_are_refused(labels: list[int], gold: list[int]) -> None:
    with pytest.raises(ValueError, match="labels and gold"):
        agreement(labels, gold, CHOICES)


def test_usage_adds_up() -> None:
    total = Usage(calls=2, cost=0.5, masked=1) + Usage(calls=1, seconds=3.0)
    assert total == Usage(calls=3, cost=0.5, seconds=3.0, masked=1)

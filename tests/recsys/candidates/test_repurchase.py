from __future__ import annotations

import numpy as np
import pytest
from handmade import asked, history

from recsys.candidates.repurchase import RepurchaseSource

SOURCE = RepurchaseSource(half_life_days=30)


def test_scores_are_decayed_counts_worked_by_hand() -> None:
    past = history((0, 4), (30, 4), (30, 7), (60, 7), (90, 7), (60, 1))
    found = SOURCE.retrieve(asked(past), 10, np.ones(9, np.bool_))
    assert found.items.tolist() == [4, 7, 1]
    assert found.scores.tolist() == pytest.approx([1.5, 0.5 + 0.25 + 0.125, 0.25])


def test_only_eligible_items_and_at_most_n() -> None:
    past = history((1, 0), (2, 1), (3, 2), (4, 3))
    eligible = np.array([True, False, True, True])
    assert SOURCE.retrieve(asked(past), 2, eligible).items.tolist() == [0, 2]


def test_what_is_only_looked_at_was_not_bought() -> None:
    assert len(SOURCE.retrieve(asked(context=[1, 2]), 5, np.ones(4, np.bool_))) == 0

from __future__ import annotations

import numpy as np
import pytest
from handmade import scored

from recsys.candidates.merge import merge
from recsys.types import Scored


def test_each_item_comes_once_with_what_every_source_said() -> None:
    merged = merge({"als": scored((7, 3.0), (2, 1.0)), "popular": scored((2, 40.0), (5, 30.0))})
    assert merged.items.tolist() == [7, 2, 5]
    assert merged.sources == ("als", "popular")
    np.testing.assert_array_equal(merged.source_scores, np.array([[3, np.nan], [1, 40], [np.nan, 30]], np.float32))
    np.testing.assert_array_equal(merged.source_ranks, np.array([[1, np.nan], [2, 1], [np.nan, 2]], np.float32))


def test_scores_are_summed_reciprocal_ranks() -> None:
    merged = merge({"als": scored((7, 3.0), (2, 1.0)), "popular": scored((2, 40.0), (5, 30.0))})
    assert merged.scores.tolist() == pytest.approx([1 / 61, 1 / 62 + 1 / 61, 1 / 62])
    assert merged.items[merged.best_first()].tolist() == [2, 7, 5]


def test_a_source_without_a_proposal_keeps_its_column() -> None:
    merged = merge({"als": Scored.empty(), "popular": scored((1, 2.0))})
    assert np.isnan(merged.source_ranks[:, 0]).all()
    assert merged.source_ranks[:, 1].tolist() == [1]


@pytest.mark.parametrize("proposals", [{}, {"als": Scored.empty(), "popular": Scored.empty()}])
def test_nothing_proposed_is_no_candidate(proposals: dict[str, Scored]) -> None:
    assert len(merge(proposals)) == 0

"""Pooled embeddings on vectors that can be worked by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.text.pooling import ENOUGH, distinct_rows, pool_reviews, review_weights, weighted_means
from recsys.types import Floats

EAST, NORTH, WEST = (np.array(row, np.float32) for row in ([1, 0], [0, 1], [-1, 0]))


def pooled(documents: list[Floats], reviews: list[Floats], about: list[int], weights: list[float], review_weight: float = 0.5) -> Floats:
    written = np.array(reviews, np.float32).reshape(-1, 2)
    return pool_reviews(np.array(documents), written, np.array(about, np.int32), np.array(weights, np.float32), review_weight)


def test_a_review_counts_by_its_votes_and_its_age() -> None:
    weights = review_weights(np.array([0, np.e - 1, 0], np.float32), np.array([0, 0, 730], np.float32), 730)
    np.testing.assert_allclose(weights, [1, 2, 0.5], rtol=1e-6)


def test_an_item_without_reviews_keeps_what_the_shop_says() -> None:
    np.testing.assert_array_equal(pooled([EAST, NORTH], [NORTH], [0], [1.0])[1], NORTH)
    np.testing.assert_array_equal(pooled([EAST], [], [], []), [EAST])


def test_reviews_of_enough_weight_have_half_of_the_most_they_may_weigh() -> None:
    (found,) = pooled([EAST], [NORTH], [0], [ENOUGH], 0.5)
    np.testing.assert_allclose(found, np.array([0.75, 0.25]) / np.hypot(0.75, 0.25), rtol=1e-6)


def test_ten_thousand_reviews_weigh_no_more_than_they_may() -> None:
    (found,) = pooled([EAST], [NORTH] * 10_000, [0] * 10_000, [3.0] * 10_000, 0.5)
    np.testing.assert_allclose(found, np.sqrt([0.5, 0.5]), atol=1e-3)
    assert found[0] > found[1]


def test_a_heavier_review_has_more_to_say() -> None:
    (found,) = pooled([EAST], [NORTH, WEST], [0, 0], [3.0, 1.0], 1.0)
    assert found[1] > 0
    assert abs(found[1]) > abs(found[0])


def test_reviews_that_cancel_out_leave_the_document() -> None:
    np.testing.assert_allclose(pooled([NORTH], [EAST, WEST], [0, 0], [1.0, 1.0], 1.0), [NORTH], atol=1e-6)
    np.testing.assert_allclose(pooled([EAST], [WEST] * 100, [0] * 100, [1000.0] * 100, 0.5), [EAST], atol=1e-3)


def test_weighted_means_are_directions_and_empty_groups_are_nothing() -> None:
    means, total = weighted_means(np.array([EAST, EAST, NORTH]), np.array([2, 2, 0], np.int32), np.array([1, 2, 5], np.float32), 3)
    np.testing.assert_allclose(means, [NORTH, [0, 0], EAST], atol=1e-6)
    np.testing.assert_allclose(total, [5, 0, 3])


def test_items_of_one_text_share_a_row_unless_somebody_wrote_about_one() -> None:
    items, row_of_item = distinct_rows(np.array([0, 0, 1, 0], np.int32), np.array([False, False, False, True]))
    assert row_of_item[0] == row_of_item[1]
    assert len({row_of_item[item] for item in (0, 2, 3)}) == len(items) == 3
    assert row_of_item[items].tolist() == [0, 1, 2]


@given(st.integers(1, 6), st.integers(0, 30), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_embeddings_have_unit_norm_and_do_not_depend_on_other_items(n_items: int, n: int, weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    documents, written = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (rng.normal(size=(m, 4)) for m in (n_items, n)))
    about, weights = rng.integers(0, n_items, n).astype(np.int32), rng.random(n).astype(np.float32)
    documents, written = documents.astype(np.float32), written.astype(np.float32)
    found = pool_reviews(documents, written, about, weights, weight)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    own = about == 0
    alone = pool_reviews(documents[:1], written[own], about[own], weights[own], weight)
    np.testing.assert_allclose(found[0], alone[0], atol=1e-5)

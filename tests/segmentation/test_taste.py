from __future__ import annotations

import numpy as np
import pytest

from segmentation.taste import Bought, fit_factors, noise_of, rows_of


def test_a_thing_bought_often_counts_little_more_than_once() -> None:
    bought = Bought.of(np.array([4, 4, 2, 4, 2], np.int32), np.array([1, 1, 0, 1, -1], np.int32), 2)
    assert bought.customers.tolist() == [2, 4]
    assert bought.things.tolist() == [0, 1]
    assert bought.counts.tolist() == [1.0, 2.0]  # log2(1 + 3)


def test_rows_have_unit_length_and_do_not_depend_on_their_neighbours() -> None:
    bought = Bought.of(np.array([0, 0, 3, 5], np.int32), np.array([0, 1, 1, 2], np.int32), 3)
    factors = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], np.float32)
    rows, totals = bought.rows(np.array([0, 1, 3, 5], np.int32), factors)
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 1], [0, 0]])
    assert totals.tolist() == [2, 0, 1, 1]
    np.testing.assert_array_equal(bought.rows(np.array([3], np.int32), factors)[0], rows[[2]])


def test_popularity_is_no_taste() -> None:
    everything = np.arange(12)
    customers = np.repeat(np.arange(40), [12] * 40).astype(np.int32)
    bought = Bought.of(customers, np.tile(everything, 40).astype(np.int32), 12)
    assert fit_factors(bought.table(np.arange(40, dtype=np.int32), 12), np.random.default_rng(0)).shape == (12, 0)


def test_first_direction_parts_two_tastes_and_tables_agree_with_rows() -> None:
    rng = np.random.default_rng(1)
    customers = np.repeat(np.arange(60), 12).astype(np.int32)
    things = (customers % 2 * 10 + rng.integers(0, 12, len(customers))).astype(np.int32)  # 10 and 11 are bought by both
    bought, everyone = Bought.of(customers, things, 22), np.arange(60, dtype=np.int32)
    table = bought.table(everyone, 22)
    factors = fit_factors(table, rng)
    rows, totals = rows_of(table, factors)
    for own, other in zip(bought.rows(everyone, factors), (rows, totals), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-9)
    assert (np.sign(rows[:, 0]) == np.sign(rows[0, 0])).tolist() == (everyone % 2 == 0).tolist()


def test_who_bought_little_is_known_with_noise() -> None:
    assert noise_of(np.array([0.0, 1.0, 4.0])) == pytest.approx([1.0, 1.0, 0.25])

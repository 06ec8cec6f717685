"""Fitting co-visitation and ALS; what they then propose is in tests/recsys/candidates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from handmade import NOW, interactions

from recsys.candidates.covisit import CovisitSource
from recsys.candidates.factors import FactorSource
from recsys.source_config import AlsConfig, CovisitConfig, IndexConfig
from recsys.training.als import fit_als
from recsys.training.covisit import fit_covisit
from recsys.types import Interactions

NAN = float("nan")


def covisit(lines: Interactions, n_items: int = 3, **settings: Any) -> CovisitSource:
    return fit_covisit(lines, n_items, NOW, CovisitConfig(kind="covisit", **settings))


def links(source: CovisitSource, item: int) -> dict[int, float]:
    rows = slice(source.offsets[item], source.offsets[item + 1])
    return dict(zip(source.neighbours[rows].tolist(), source.weights[rows].tolist(), strict=True))


@pytest.mark.parametrize("exponent", [0.0, 0.35, 0.5, 1.0])
def test_age_and_popularity_together(exponent: float) -> None:
    """Baskets {0, 1} now and {0, 2} a half-life ago: item 0 weighs 1.5, item 1 weighs 1 and item 2 a half."""
    lines = interactions((0, 0, 0, NAN, 1), (0, 0, 1, NAN, 1), (8, 1, 0, NAN, 2), (8, 1, 2, NAN, 2))
    found = links(covisit(lines, half_life_days=8, popularity_exponent=exponent), 0)
    assert found == pytest.approx({1: 1 / 1.5**exponent, 2: 0.5 / (1.5 * 0.5) ** exponent})


def test_items_of_one_customer_weigh_the_geometric_mean_of_their_ages() -> None:
    lines = interactions((0, 0, 0), (16, 0, 1))
    assert links(covisit(lines, unit="customer", half_life_days=8, popularity_exponent=0), 0) == pytest.approx({1: math.sqrt(0.25)})


def test_baskets_older_than_any_float_of_their_weight_leave_no_broken_links() -> None:
    old = [(days, 0, item, NAN, days) for days in (100, 900, 3000) for item in (0, 1, 2)]
    lines = interactions(*old, (0, 0, 0, NAN, 1), (0, 0, 1, NAN, 1))
    source = covisit(lines, half_life_days=1, popularity_exponent=1)
    assert links(source, 0) == {1: 1}
    assert links(source, 2) == {}


def test_an_item_twice_in_one_basket_counts_once() -> None:
    once, twice = (interactions(*[(8, 0, 0, NAN, 1)] * times, (8, 0, 1, NAN, 1)) for times in (1, 2))
    assert links(covisit(twice, half_life_days=8), 0) == links(covisit(once, half_life_days=8), 0)


PARITY = interactions(*((10, c, i) for c in range(12) for i in range(12) if c % 2 == i % 2))
"""Customers and items 0 to 11; everybody bought all items of their own parity."""


def als(lines: Interactions = PARITY, seed: int = 3, **settings: Any) -> FactorSource:
    plain = {"factors": 4, "iterations": 8, "regularization": 0.1, "alpha": 3.0, "half_life_days": None}
    config = AlsConfig(kind="als", **{**plain, **settings})
    return fit_als(lines, 12, 12, NOW, config, IndexConfig(), seed=seed, n_threads=1)


def test_als_puts_items_of_one_parity_together() -> None:
    factors = als().factors
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    alike = unit @ unit.T
    same = np.equal.outer(np.arange(12) % 2, np.arange(12) % 2)
    assert alike[same].min() > 0.9
    assert alike[~same].max() < 0.1


def test_als_is_the_same_for_equal_seeds() -> None:
    np.testing.assert_array_equal(als().factors, als().factors)
    assert not np.array_equal(als().factors, als(seed=4).factors)


def test_als_forgets_with_age_and_never_uses_guests() -> None:
    faded = interactions(*((10 if i < 6 else 5000, c, i) for c in range(12) for i in range(12) if c % 2 == i % 2), (1, -1, 11))
    norms = np.linalg.norm(als(faded, half_life_days=30).factors, axis=1)
    assert norms[:6].min() > 0.5
    assert norms[6:].max() < 1e-3

"""Shrunk shares and places of prices, by hand and against drawn worlds whose concentration is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from handmade import asked, candidates, catalogue, history, interactions, profile, store_of

from recsys.feature_config import FeatureConfig
from recsys.features.affinity import LEAST_LINES, MOST_LINES, concentration, price_places, shrunk, usual_places
from recsys.features.store import FeatureStore
from recsys.types import History, Interactions
from segmentation.profile import CustomerProfile

N_CODES, N_CUSTOMERS = 4, 60
BY_CATEGORY: dict[str, Any] = {"statistic": "affinity", "by": "category"}
GOODS = catalogue(N_CODES, categories=[[9, code] for code in range(N_CODES)])
"""One item per category."""


def drawn_counts(strength: float, expected: Sequence[float], sizes: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(strength * np.array(expected), len(sizes))
    return np.array([rng.multinomial(n, share) for n, share in zip(sizes, shares, strict=True)], np.float64)


@pytest.mark.parametrize("strength", [2.0, 10.0, 60.0])
def test_the_concentration_of_drawn_customers_is_found_again(strength: float) -> None:
    expected = [0.5, 0.3, 0.15, 0.05]
    counts = drawn_counts(strength, expected, [30] * 4000)
    alike = np.full(len(counts), np.square(expected).sum())
    assert concentration(counts, counts.sum(axis=1), alike) == pytest.approx(strength, rel=0.15)


def test_units_that_do_not_differ_are_shrunk_wholly() -> None:
    even = np.full((3, 2), 5.0)
    assert concentration(even, even.sum(axis=1), np.full(3, 0.5)) == MOST_LINES
    assert concentration(np.ones((3, 1)), np.ones(3), np.full(3, 0.5)) == MOST_LINES  # no two lines of one unit


def test_units_of_one_code_each_are_shrunk_least() -> None:
    apart = np.diag([8.0, 8.0])
    assert concentration(apart, apart.sum(axis=1), np.full(2, 0.5)) == LEAST_LINES


def test_a_shrunk_share_adds_lines_of_the_wider_share() -> None:
    shares = shrunk(np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([0.5, 0.5]), strength=4.0)
    assert shares.tolist() == [[5 / 8, 3 / 8], [0.5, 0.5]]


def test_places_of_prices_within_a_code() -> None:
    prices = np.array([10, 30, 20, 7, 5, 5, math.nan, 1], np.float32)
    codes = np.array([0, 0, 0, 1, 2, 2, 2, -1], np.int32)
    expected = [1 / 6, 5 / 6, 3 / 6, 0.5, 0.5, 0.5, math.nan, math.nan]
    assert price_places(prices, codes) == pytest.approx(expected, nan_ok=True)


def test_the_usual_place_leans_on_the_whole_shop() -> None:
    places = np.array([0.2, 0.4, 0.9, math.nan], np.float32)
    usual = usual_places(places, np.array([0, 0, 1, 1]), 3)
    mean = 0.5
    assert usual == pytest.approx([(0.6 + 5 * mean) / 7, (0.9 + 5 * mean) / 6, mean])
    assert np.isnan(usual_places(places[3:], np.array([0]), 2)).all()


def segmented(n_each: int = 30) -> Interactions:
    """Customers of segment 0 buy categories 0 and 1, those of segment 1 buy 2 and 3; each mostly the one that is its own."""
    rng = np.random.default_rng(1)
    lines = []
    for customer in range(N_CUSTOMERS):
        first = 2 * (customer % 2)
        own = first + customer // 2 % 2
        lines += [(10.0, customer, own if rng.random() < 0.8 else 2 * first + 1 - own) for _ in range(n_each)]
    return interactions(*lines)


def store(scope: str, lines: Interactions | None = None) -> FeatureStore:
    groups = [customer % 2 for customer in range(N_CUSTOMERS)]
    return store_of(
        {"x": {"scope": scope, **BY_CATEGORY}}, GOODS, segmented() if lines is None else lines, segments=groups, tiers=groups, needs=groups
    )


def affinities(of: FeatureStore, past: History | None = None, who: CustomerProfile | None = None) -> list[float]:
    return [float(value) for value in of.rows(asked(past, who=who), candidates(range(N_CODES)), {})[:, of.names.index("x")]]


def test_a_customer_of_whom_nothing_is_known_has_the_affinities_of_the_segment() -> None:
    values = affinities(store("segment"), who=profile("s0"))
    assert min(values[:2]) > 0.3
    assert max(values[2:]) < -1


def test_a_customer_of_whom_much_is_known_has_its_own() -> None:
    past = history(*[(2, 3)] * 200)
    values = affinities(store("segment"), past, profile("s0"))
    assert values[3] > 1 > 0 > max(values[:3])
    assert values[3] == pytest.approx(affinities(store("segment"), past, profile("s1"))[3], abs=0.1)


def test_one_line_moves_a_little_known_customer_towards_it() -> None:
    nothing, one = affinities(store("segment"), None, profile("s0")), affinities(store("segment"), history((2, 1)), profile("s0"))
    assert one[1] > nothing[1]
    assert one[0] < nothing[0]


def test_without_groups_a_customer_is_shrunk_to_all() -> None:
    values = affinities(store("pair"), history((2, 3)), profile("s0"))
    assert values[3] > 0 > max(values[:3])
    assert values[:3] == pytest.approx([values[0]] * 3, abs=0.2)  # the segment does not speak


def test_who_speaks_of_a_need_is_shrunk_to_those_who_do_and_who_speaks_of_none_to_all() -> None:
    assert min(affinities(store("need"), who=profile(needs=["fit"]))[:2]) > 0.3
    silent = affinities(store("need"), history((2, 3)), profile())
    assert silent[3] > 0 > max(silent[:3])
    assert silent[:3] == pytest.approx([silent[0]] * 3, abs=0.2)


@pytest.mark.parametrize("scope", ["pair", "segment", "tier", "need"])
def test_of_a_stranger_no_affinity_is_known(scope: str) -> None:
    assert np.isnan(affinities(store(scope))).all()


def test_a_guest_with_a_past_is_shrunk_to_all() -> None:
    past = history((2, 3))
    assert affinities(store("segment"), past)[3] > 0


def test_an_affinity_does_not_grow_with_the_shop() -> None:
    """The same customers with twice the lines: shares, not counts."""
    few, many = (affinities(store("segment", segmented(n)), who=profile("s0")) for n in (40, 80))
    assert few[:2] == pytest.approx(many[:2], abs=0.1)


PRICED = catalogue(4, categories=[[0, 1]] * 3 + [[-1, -1]], prices=np.array([1, 2, 3, 4], np.float32))


def test_prices_are_compared_with_what_the_customer_pays() -> None:
    of = store_of({"x": {"scope": "pair", "statistic": "price", "by": "category"}}, PRICED, interactions((1, 0, 0)))
    assert affinities(of, history((2, 2), (3, 2))) == pytest.approx([1 / 6 - 5 / 6, 3 / 6 - 5 / 6, 0, math.nan], nan_ok=True)
    assert np.isnan(affinities(of)).all()


def test_prices_are_compared_with_what_the_tier_pays() -> None:
    lines = interactions((3, 0, 0), (2, 0, 0), (2, 1, 2), (3, 2, 2))
    features = {"x": {"scope": "tier", "statistic": "price", "by": "category"}}
    of = store_of(features, PRICED, lines, segments=[0, 0, 0], tiers=[0, 2, 2])
    assert affinities(of, who=profile(tier="low")) == pytest.approx([0, 2 / 6, 4 / 6, math.nan], nan_ok=True)
    assert affinities(of, who=profile(tier="high")) == pytest.approx([-4 / 6, -2 / 6, 0, math.nan], nan_ok=True)
    assert np.isnan(affinities(of, who=profile(tier="medium"))).all()  # nobody to compare with


def test_prices_of_single_items_have_no_place() -> None:
    with pytest.raises(ValueError, match="set 'by', for example to 'category'"):
        FeatureConfig(scope="item", statistic="price")

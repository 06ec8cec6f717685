"""Every statistic of the table in recsys/features/spec.py, worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from handmade import NOW, asked, candidates, catalogue, days_ago, history, interactions, profile, store_of

from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.feature_config import FeatureConfig
from recsys.features.spec import ages_in_days, feature_names, half_life_weights
from recsys.types import History, Interactions
from segmentation.profile import CustomerProfile

NAN = math.nan
SHOP = interactions(
    (100, 0, 0, 2.0), (50, 1, 0, 4.0), (10, 0, 0, NAN), (10, -1, 0, 6.0), (7, 1, 1, 8.0), (7.5, 0, 1, 1.0), (40, -1, 2, NAN)
)
"""Item 0: customer 0 twice, customer 1 and a guest. Item 1: one line seven days ago, one just before. Item 2: a guest. Item 3: never."""
ITEMS = catalogue(4)
PAST = history((2, 0, 5.0), (2, 1, NAN), (12, 0, 7.0), (32, 0, 3.0), (32, 2, 9.0))
"""Occasions 2, 12 and 32 days ago: item 0 at each, item 1 at the last, item 2 at the first, item 3 never."""


def column(
    items: Catalogue,
    lines: Interactions,
    past: History | None = None,
    who: CustomerProfile | None = None,
    segments: Sequence[int] = (),
    tiers: Sequence[int] = (),
    needs: Sequence[int] = (),
    **feature: Any,
) -> list[float]:
    """The values of one feature for all items."""
    store = store_of({"x": feature}, items, lines, segments, tiers, needs)
    rows = store.rows(asked(past, who=who), candidates(range(len(items))), {})
    return [float(value) for value in rows[:, store.names.index("x")]]


@pytest.mark.parametrize(
    ("statistic", "settings", "expected"),
    [
        ("rate", {}, [4 / 100, 2 / 100, 1 / 100, 0]),
        ("rate", {"window_days": 20}, [2 / 20, 2 / 20, 0, 0]),
        ("rate", {"window_days": 7}, [0, 1 / 7, 0, 0]),
        ("rate", {"window_days": 400}, [4 / 100, 2 / 100, 1 / 100, 0]),
        ("decayed", {"half_life_days": 10}, [2**-10 + 2**-5 + 0.5 + 0.5, 2**-0.7 + 2**-0.75, 2**-4, 0]),
        ("decayed", {"half_life_days": 10, "window_days": 10}, [1.0, 2**-0.7 + 2**-0.75, 0, 0]),
        ("recency", {}, [10, 7, 40, NAN]),
        ("customers", {}, [2 / 100, 2 / 100, 0, 0]),
        ("customers", {"window_days": 7}, [0, 1 / 7, 0, 0]),
        ("value", {}, [4, 4.5, NAN, NAN]),
        ("value", {"window_days": 20}, [6, 4.5, NAN, NAN]),
        ("interval", {}, [90, NAN, NAN, NAN]),
        ("repeat", {}, [1 / 3, 0, NAN, NAN]),
    ],
)
def test_of_an_item(statistic: str, settings: dict[str, Any], expected: list[float]) -> None:
    assert column(ITEMS, SHOP, scope="item", statistic=statistic, **settings) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("statistic", "settings", "expected"),
    [
        ("rate", {}, 3 / 32),
        ("rate", {"window_days": 28}, 2 / 28),
        ("rate", {"window_days": 1}, 0),
        ("recency", {}, 2),
        ("value", {}, 6),
        ("value", {"window_days": 28}, 6),
        ("value", {"window_days": 1}, NAN),
        ("repeat", {}, 2 / 5),
        ("repeat", {"window_days": 28}, 1 / 3),
        ("repeat", {"window_days": 1}, NAN),
    ],
)
def test_of_a_customer(statistic: str, settings: dict[str, Any], expected: float) -> None:
    values = column(ITEMS, SHOP, PAST, scope="customer", statistic=statistic, **settings)
    assert values == pytest.approx([expected] * 4, nan_ok=True)


@pytest.mark.parametrize(
    ("statistic", "settings", "expected"),
    [
        ("rate", {}, [3 / 32, 1 / 32, 1 / 32, 0]),
        ("rate", {"window_days": 12}, [2 / 12, 1 / 12, 0, 0]),
        ("decayed", {"half_life_days": 10}, [2**-0.2 + 2**-1.2 + 2**-3.2, 2**-0.2, 2**-3.2, 0]),
        ("decayed", {"half_life_days": 10, "window_days": 12}, [2**-0.2 + 2**-1.2, 2**-0.2, 0, 0]),
        ("recency", {}, [2, 2, 32, NAN]),
        ("value", {}, [5, NAN, 9, NAN]),
        ("value", {"window_days": 12}, [6, NAN, NAN, NAN]),
        ("interval", {}, [15, NAN, NAN, NAN]),
        ("due", {}, [2 / 15, NAN, NAN, NAN]),
        ("passed", {}, [0, 0, 2, NAN]),
        ("frequency", {}, [1, 1 / 3, 1 / 3, 0]),
        ("frequency", {"window_days": 12}, [1, 1 / 2, 0, 0]),
        ("frequency", {"window_days": 1}, [0, 0, 0, 0]),
        ("share", {}, [3 / 5, 1 / 5, 1 / 5, 0]),
        ("share", {"window_days": 12}, [2 / 3, 1 / 3, 0, 0]),
        ("share", {"window_days": 1}, [0, 0, 0, 0]),
    ],
)
def test_of_a_pair(statistic: str, settings: dict[str, Any], expected: list[float]) -> None:
    assert column(ITEMS, SHOP, PAST, scope="pair", statistic=statistic, **settings) == pytest.approx(expected, nan_ok=True)


def test_two_lines_of_one_time_are_one_occasion() -> None:
    past = history((5, 0), (5, 0), (15, 0))
    assert column(ITEMS, SHOP, past, scope="pair", statistic="interval")[0] == pytest.approx(10)
    assert column(ITEMS, SHOP, past, scope="customer", statistic="rate", window_days=20)[0] == pytest.approx(2 / 20)


def test_old_occasions_a_second_apart_are_two() -> None:
    past = history((400, 0), (400 + 1 / 86_400, 0))
    assert column(ITEMS, SHOP, past, scope="pair", statistic="interval")[0] == pytest.approx(1 / 86_400)
    assert column(ITEMS, SHOP, past, scope="pair", statistic="due")[0] == pytest.approx(400 * 86_400, rel=1e-6)


@pytest.mark.parametrize("statistic", ["rate", "frequency", "share"])
def test_what_a_guest_never_bought_is_nothing(statistic: str) -> None:
    assert column(ITEMS, SHOP, scope="pair", statistic=statistic) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("scope", "statistic"),
    [(scope, statistic) for scope in ("pair", "customer") for statistic in ("recency", "value")]
    + [("pair", "interval"), ("pair", "due"), ("pair", "passed"), ("customer", "rate"), ("customer", "repeat")],
)
def test_what_is_not_known_of_a_guest_is_nan(scope: str, statistic: str) -> None:
    assert np.isnan(column(ITEMS, SHOP, scope=scope, statistic=statistic)).all()


def test_attributes_widen_the_item() -> None:
    items = catalogue(4, brands=[7, 7, 3, -1], groups=[5, 5, 5, -1], categories=[[0, 1, 2], [0, 1, 3], [0, -1, -1], [-1, -1, -1]])
    expected = {
        "item": [3 / 5, 1 / 5, 1 / 5, 0],
        "brand": [4 / 5, 4 / 5, 1 / 5, 0],
        "group": [1, 1, 1, 0],
        "product_type": [3 / 5, 1 / 5, 1 / 5, 0],
        "category": [4 / 5, 4 / 5, 1 / 5, 0],
        "department": [1, 1, 1, 0],
    }
    for attribute, shares in expected.items():
        assert column(items, SHOP, PAST, scope="pair", statistic="share", by=attribute) == pytest.approx(shares), attribute


def test_an_item_without_the_attribute_has_no_statistic_of_it() -> None:
    items = catalogue(4, brands=[7, 7, -1, -1])
    rates = column(items, SHOP, scope="item", statistic="rate", by="brand", window_days=50)
    assert rates == pytest.approx([5 / 50, 5 / 50, NAN, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ("s0", [math.log((4 + 5) / (3 + 5)), math.log((1 + 5) / (2 + 5)), 0]),
        ("s1", [math.log((2 + 5) / (3 + 5)), math.log((3 + 5) / (2 + 5)), 0]),
    ],
)
def test_lift_compares_a_segment_with_its_share_of_all_lines(segment: str, expected: list[float]) -> None:
    """Segment s0 has 5 of 10 lines and 4 of the 6 of item 0, of which 3 are expected; guests and customers of no segment count nowhere."""
    lines = interactions(*[(9, 0, 0)] * 4, (9, 1, 1), *[(9, 2, 0)] * 2, *[(9, 2, 1)] * 3, (9, 3, 0), (9, -1, 0))
    values = column(catalogue(3), lines, who=profile(segment), segments=[0, 0, 1, -1], scope="segment", statistic="lift")
    assert values == pytest.approx(expected, abs=1e-6)


def test_the_rate_of_a_tier_is_per_day_and_customer() -> None:
    lines = interactions((30, 0, 0), (2, 0, 0), (2, 1, 0), (3, 2, 1))
    of_low = column(catalogue(2), lines, who=profile(tier="low"), tiers=[0, 0, 2], scope="tier", statistic="rate", window_days=10)
    of_medium = column(catalogue(2), lines, who=profile(tier="medium"), tiers=[0, 0, 2], scope="tier", statistic="rate", window_days=10)
    assert of_low == pytest.approx([2 / (10 * 2), 0])
    assert of_medium == [0, 0]


@pytest.mark.parametrize(("scope", "statistic"), [("segment", "lift"), ("segment", "rate"), ("tier", "lift"), ("tier", "rate")])
def test_a_guest_has_no_segment_and_no_tier(scope: str, statistic: str) -> None:
    assert np.isnan(column(ITEMS, SHOP, segments=[0, 1], tiers=[0, 1], scope=scope, statistic=statistic)).all()


def test_a_need_is_a_group_of_those_who_speak_most_of_it() -> None:
    lines = interactions((30, 0, 0), (2, 0, 0), (2, 1, 0), (3, 2, 1))
    rate: dict[str, Any] = {"scope": "need", "statistic": "rate", "window_days": 10, "needs": [0, 0, 1]}
    assert column(catalogue(2), lines, who=profile(needs=["fit", "price"]), **rate) == pytest.approx([2 / (10 * 2), 0])
    assert column(catalogue(2), lines, who=profile(needs=["price"]), **rate) == pytest.approx([0, 1 / 10])


@pytest.mark.parametrize("statistic", ["lift", "rate"])
@pytest.mark.parametrize("who", [None, profile()])
def test_who_speaks_of_nothing_has_no_need(who: CustomerProfile | None, statistic: str) -> None:
    assert np.isnan(column(ITEMS, SHOP, who=who, needs=[0, 1], scope="need", statistic=statistic)).all()


def test_names_are_features_then_profile_then_sources() -> None:
    config = Config(features={"x": FeatureConfig(scope="item", statistic="rate")})
    names = feature_names(config)
    assert names[:5] == ("x", "profile_tier", "profile_expected_value", "profile_churn_probability", "n_sources")
    assert names[5:7] == ("repurchase_score", "repurchase_rank")
    assert len(names) == len(set(names)) == 5 + 2 * len(config.sources)


def test_ages_are_days_and_never_negative() -> None:
    times = np.array([days_ago(1.5), NOW, days_ago(-3)])
    assert ages_in_days(times, NOW).tolist() == [1.5, 0, 0]


def test_weights_halve_every_half_life() -> None:
    ages = np.array([0, 10, 20], np.float32)
    assert half_life_weights(ages, 10).tolist() == [1, 0.5, 0.25]
    assert half_life_weights(ages, None).tolist() == [1, 1, 1]

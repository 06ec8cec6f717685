from __future__ import annotations

import numpy as np
import pytest

from offline_eval.relevance import new_items, relevant_items

LINES = [
    ("ann", "milk", "purchase", 2),
    ("bob", "eggs", "view", 3),
    ("ann", "milk", "purchase", 10),  # the first moment of the test period
    ("ann", "milk", "purchase", 11),
    ("ann", "bread", "purchase", 12),
    ("ann", "fuel", "purchase", 12),
    ("bob", "eggs", "purchase", 13),
    ("bob", "milk", "view", 13),
    (None, "eggs", "purchase", 13),
    ("eve", "fuel", "purchase", 14),
    ("bob", "bread", "purchase", 20),  # the first moment after it
]


def test_relevant_are_distinct_recommendable_items_bought_in_the_period(make_shop, day, recommendable) -> None:
    truth = relevant_items(make_shop(LINES), day(10), day(20), ["purchase"], recommendable)
    assert truth == {"ann": {"milk": 1.0, "bread": 1.0}, "bob": {"eggs": 1.0}}


def test_discovery_leaves_out_what_was_bought_before_but_not_what_was_seen(make_shop, day, recommendable) -> None:
    truth = new_items(make_shop(LINES), day(10), day(20), ["purchase"], recommendable)
    assert truth == {"ann": {"bread": 1.0}, "bob": {"eggs": 1.0}}


def test_customers_who_bought_only_known_items_are_not_in_discovery(make_shop, day, recommendable) -> None:
    truth = new_items(make_shop(LINES), day(11), day(14), ["purchase"], np.array([True, False, True, False]))
    assert truth == {"bob": {"eggs": 1.0}}


def test_several_events_may_be_positive(make_shop, day, recommendable) -> None:
    truth = relevant_items(make_shop(LINES), day(10), day(20), ["purchase", "view"], recommendable)
    assert truth["bob"] == {"milk": 1.0, "eggs": 1.0}


def test_a_period_without_purchases_is_refused(make_shop, day, recommendable) -> None:
    with pytest.raises(ValueError, match="no customer has a relevant item"):
        relevant_items(make_shop(LINES), day(25), day(28), ["purchase"], recommendable)


def test_a_period_that_ends_before_it_starts_is_refused(make_shop, day, recommendable) -> None:
    with pytest.raises(ValueError, match="end after it starts"):
        new_items(make_shop(LINES), day(20), day(10), ["purchase"], recommendable)


def test_flags_of_another_catalogue_are_refused(make_shop, day) -> None:
    with pytest.raises(ValueError, match="2 flags of recommendable items for 4 items"):
        relevant_items(make_shop(LINES), day(10), day(20), ["purchase"], np.array([True, True]))

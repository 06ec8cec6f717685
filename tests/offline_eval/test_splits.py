"""What each split knows, whom it asks for what, and what it says that it may leak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from offline_eval.relevance import NothingRelevant, relevant_items
from offline_eval.splits import BUNDLE_SPLITS, customer_folds, global_time, leave_last_out, narrowed, rolling_cuts, sampled
from recsys.types import Query

LINES = [
    ("ann", "milk", "purchase", 2),
    ("ann", "bread", "purchase", 3),
    ("bob", "milk", "view", 4),
    ("ann", "milk", "purchase", 10),  # at the cut
    ("ann", "bread", "purchase", 12),
    ("bob", "milk", "purchase", 11),
    ("bob", "eggs", "purchase", 11),
    ("bob", "bread", "purchase", 13),
    ("eve", "eggs", "purchase", 14),
    ("eve", "eggs", "purchase", 21),  # after the period
]
BUYING = ["purchase"]


@pytest.fixture
def shop(make_shop):
    return make_shop(LINES)


@pytest.fixture
def period(shop, day):
    truth = relevant_items(shop, day(10), day(20), BUYING, np.ones(4, np.bool_))
    return truth, shop, day(10), day(20), BUYING


def wanted(split) -> dict[str, set[str]]:
    return {customer: set(gains) for customer, gains in split.truth.items()}


def test_a_cut_in_time_knows_nothing_at_or_after_it(shop, day) -> None:
    split = global_time(shop, day(10), day(20), BUYING)
    assert split.known.interactions.times[-1] < day(10) == split.time
    assert wanted(split) == {"ann": {"milk", "bread"}, "bob": {"milk", "eggs", "bread"}, "eve": {"eggs"}}
    assert all(query.time == day(10) for query in split.queries)


def test_rolling_cuts_are_cuts_oldest_first(shop, day) -> None:
    first, second = rolling_cuts(shop, [day(12), day(10)], 2, BUYING)
    assert (first.time, second.time) == (day(10), day(12))
    assert wanted(first) == {"ann": {"milk"}, "bob": {"milk", "eggs"}}
    assert wanted(second) == {"ann": {"bread"}, "bob": {"bread"}}
    assert any("settings" in sentence for sentence in first.may_leak)


def test_the_last_item_of_each_customer_is_left_out_and_others_stay_known(shop, day) -> None:
    split = leave_last_out(shop, BUYING, least=2)
    assert wanted(split) == {"ann": {"bread"}, "bob": {"bread"}}
    assert {query.customer: query.time for query in split.queries} == {"ann": day(3), "bob": day(13)}
    assert split.time is None
    lines = split.known.interactions
    assert day(21) in lines.times  # what eve bought later than any query: this split leaks, and says so
    assert "made after a query stay" in split.may_leak[0]
    with pytest.raises(NothingRelevant, match="9 distinct items"):
        leave_last_out(shop, BUYING, least=9)


def test_folds_of_customers_part_them_and_hide_their_lines(shop, day) -> None:
    folds = list(customer_folds(shop, day(10), day(20), BUYING, 3, seed=1))
    asked = [query.customer for fold in folds for query in fold.queries]
    assert sorted(asked) == ["ann", "bob", "eve"]
    for fold in folds:
        names = {shop.customers.ids[customer] for customer in fold.known.interactions.customers}
        assert names.isdisjoint(fold.truth)
        assert fold.known.interactions.times[-1:] < day(10) if len(fold.known.interactions) else True
    again = [fold.truth for fold in customer_folds(shop, day(10), day(20), BUYING, 3, seed=1)]
    assert again == [fold.truth for fold in folds]


# of a bundle


def test_all_of_the_period_is_asked_unless_said_otherwise(period) -> None:
    split = narrowed("time", *period)
    assert (split.truth, split.time) == (period[0], period[2])
    assert split.may_leak


def test_cold_customers_had_bought_nothing(period) -> None:
    assert set(narrowed("cold-customers", *period).truth) == {"bob", "eve"}  # bob had only looked


def test_cold_items_had_been_bought_by_nobody(period) -> None:
    assert wanted(narrowed("cold-items", *period)) == {"bob": {"eggs"}, "eve": {"eggs"}}


def test_of_sessions_only_the_first_occasion_counts(make_shop, day) -> None:
    shop = make_shop(LINES)
    baskets = shop.interactions.baskets
    baskets[[line.astype(int) for line in np.flatnonzero(shop.interactions.times == day(11))]] = 99  # bob's milk and eggs are one order
    truth = relevant_items(shop, day(10), day(20), BUYING, np.ones(4, np.bool_))
    assert wanted(narrowed("sessions", truth, shop, day(10), day(20), BUYING)) == {
        "ann": {"milk"},
        "bob": {"milk", "eggs"},
        "eve": {"eggs"},
    }


def test_groups_of_customers_part_them(period) -> None:
    groups = []
    for number in (1, 2, 3):
        try:
            groups += list(narrowed(f"customers:{number}/3", *period).truth)
        except NothingRelevant:
            continue
    assert sorted(groups) == ["ann", "bob", "eve"]


@pytest.mark.parametrize(
    ("split", "why"),
    [
        ("leave-last-out", "knows all before one time"),
        ("rolling", "one cut only"),
        ("cold-custmers", "there are: time, customers:I/K, cold-customers"),
        ("customers:4/3", "I from 1 to K"),
        ("customers:0/3", "I from 1 to K"),
    ],
)
def test_what_cannot_be_asked_of_a_bundle_is_refused_with_the_reason(split: str, why: str, period) -> None:
    with pytest.raises(ValueError, match=why):
        narrowed(split, *period)


def test_every_split_says_what_it_may_leak(period) -> None:
    plain = narrowed("time", *period).may_leak
    for name in BUNDLE_SPLITS:
        may_leak = narrowed(name.replace("I/K", "1/1"), *period).may_leak
        assert set(may_leak) >= set(plain)
        assert len(may_leak) > len(plain) or name == "time"


def test_an_empty_split_is_an_error(period) -> None:
    _, shop, start, end, events = period
    with pytest.raises(NothingRelevant, match=r"nothing of the period .* 'cold-items'"):
        narrowed("cold-items", {"ann": {"milk": 1.0}}, shop, start, end, events)


# sampled metrics

ITEMS = [f"i{number}" for number in range(50)]


def in_order(queries: Sequence[Query]) -> list[list[str]]:
    return [ITEMS[: query.k] for query in queries]


def test_sampled_metrics_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"about 10 / 50 of that among all.*Krichene & Rendle 2020"):
        sampled(in_order, {"ann": {"i40": 1.0}}, ITEMS, 10, seed=1)


def test_who_insists_gets_the_order_of_the_system_among_those_drawn(noon) -> None:
    truth = {"ann": {"i40": 1.0}, "bob": {"i45": 1.0, "i49": 1.0}}
    system = sampled(in_order, truth, ITEMS, 10, seed=1, insist=True)
    queries = [Query(k=20, time=noon, customer_id=customer) for customer in truth]
    ann, bob = system(queries)
    assert (len(ann), len(bob)) == (11, 12)
    assert "i40" in ann
    assert {"i45", "i49"} <= set(bob)
    assert ann == sorted(ann, key=ITEMS.index)
    assert system(queries) == [ann, bob]
    assert [len(ranked) for ranked in system([Query(k=3, time=noon, customer_id="ann")])] == [3]


def test_more_negatives_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="49 negatives cannot be drawn from 50 items"):
        sampled(in_order, {"ann": {"i40": 1.0, "i41": 1.0}}, ITEMS, 49, seed=1, insist=True)

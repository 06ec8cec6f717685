"""The request path on the small shop: who asks, what for, when, and what every answer keeps."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from asking import (
    AS_OF,
    HOUR,
    NOW,
    SHOWN,
    Fake,
    ask,
    assert_sound,
    bought,
    live,
    reasons,
    with_sources,
    with_strategy,
)
from handmade import scored
from world import END, ITEM_IDS, N_ITEMS, NUMBER, OUT_OF_STOCK, THINGS

from recsys.bundle import Bundle
from recsys.config import parse_config
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import ConfigError
from recsys.strategy import StrategySet
from recsys.types import VIEW, Filters, History, ReasonCode, aware

# Who asks


def test_a_known_customer_gets_what_their_parity_buys(engine: Engine, plain: Snapshot) -> None:
    for customer in (4, 7):
        answer = engine.recommend(ask(customer=f"c{customer}"), plain)
        assert_sound(answer)
        assert len(answer.items) == 10
        assert sum(int(id_[1:]) % 2 == customer % 2 for id_ in answer.item_ids) >= 9
        assert answer.trace.is_known_customer
        assert answer.trace.degraded == ()
        assert answer.trace.tier in ("low", "medium", "high")
        assert answer.trace.segment is not None
        assert answer.trace.bundle_version == engine.bundle.version


def test_the_favourite_item_comes_near_the_top(engine: Engine, plain: Snapshot) -> None:
    favourites = [customer % 2 + 2 * (4 + customer // 2 % 20) for customer in range(20)]
    ranks = [
        engine.recommend(ask(customer=f"c{customer}"), plain).item_ids.index(f"i{favourite}")
        for customer, favourite in enumerate(favourites)
    ]
    assert np.mean(ranks) < 2


@pytest.mark.parametrize("customer", [None, "a stranger", ""])
def test_guests_and_strangers_get_a_full_list(engine: Engine, plain: Snapshot, customer: str | None) -> None:
    answer = engine.recommend(ask(customer=customer), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    assert not answer.trace.is_known_customer
    assert (answer.trace.segment, answer.trace.tier, answer.trace.stage) == (None, None, None)
    assert answer.trace.degraded == ()
    assert ReasonCode.POPULAR in reasons(answer)


def test_a_guest_with_context_gets_similar_and_bought_with(engine: Engine, plain: Snapshot) -> None:
    answer = engine.recommend(ask(customer=None, context_item_ids=("i2", "i6")), plain)
    assert_sound(answer)
    assert {ReasonCode.SIMILAR_TEXT, ReasonCode.BOUGHT_TOGETHER} <= reasons(answer)
    named = [reason for item in answer.items for reason in item.reasons if reason.because_item_id is not None]
    assert {reason.because_item_id for reason in named} <= {"i2", "i6"}
    assert {ReasonCode.SIMILAR_TEXT, ReasonCode.BOUGHT_TOGETHER} <= {reason.code for reason in named}
    assert not {"i2", "i6"} & set(answer.item_ids)
    assert sum(int(id_[1:]) % 2 == 0 for id_ in answer.item_ids) >= 7


def test_what_is_in_the_cart_or_excluded_is_never_recommended(engine: Engine, plain: Snapshot) -> None:
    first = engine.recommend(ask(), plain).item_ids
    again = engine.recommend(ask(cart_item_ids=first[:3], excluded_item_ids=first[3:6], context_item_ids=first[6:8]), plain)
    assert_sound(again)
    assert not set(first[:8]) & set(again.item_ids)
    assert len(again.items) == 10


def test_unknown_ids_are_reported_once_and_change_nothing(engine: Engine, plain: Snapshot) -> None:
    odd = ask(context_item_ids=("gone", "i2"), cart_item_ids=("gone", "lost"), excluded_item_ids=("never",))
    answer = engine.recommend(odd, plain)
    assert answer.trace.missing_item_ids == ("gone", "lost", "never")
    assert answer.item_ids == engine.recommend(ask(context_item_ids=("i2",)), plain).item_ids


def test_k_may_exceed_the_catalogue(engine: Engine, plain: Snapshot) -> None:
    for customer in ("c4", None):
        answer = engine.recommend(ask(k=500, customer=customer), plain)
        assert_sound(answer)
        assert set(answer.item_ids) == set(SHOWN)


def test_a_customer_who_bought_all_but_one_is_offered_that_one(engine: Engine, plain: Snapshot) -> None:
    for left in ("i60", "i7"):  # nobody ever bought i60
        snapshot = live(plain, c4=bought([item for item in SHOWN if item != left], AS_OF))
        answer = engine.recommend(ask(time=NOW + dt.timedelta(hours=1), strategy="discovery"), snapshot)
        assert_sound(answer)
        assert answer.item_ids == (left,)


def test_a_customer_who_bought_everything_discovers_nothing_but_still_has_a_home_page(engine: Engine, plain: Snapshot) -> None:
    snapshot = live(plain, c4=bought(SHOWN, AS_OF))
    later = NOW + dt.timedelta(hours=1)
    assert engine.recommend(ask(time=later, strategy="discovery"), snapshot).items == ()
    assert len(engine.recommend(ask(time=later), snapshot).items) == 10


def test_discovery_shows_only_what_is_new(engine: Engine, plain: Snapshot) -> None:
    for customer in ("c4", "c7"):
        known = {ITEM_IDS[item] for item in engine.bundle.history(customer).items}
        answer = engine.recommend(ask(customer=customer, strategy="discovery"), plain)
        assert_sound(answer)
        assert len(answer.items) == 10
        assert not known & set(answer.item_ids)


def test_where_no_source_knows_anything_the_most_bought_items_answer(engine: Engine, plain: Snapshot) -> None:
    snapshot = with_strategy(plain, sources={"repurchase": 10}, ranker="home")
    answer = engine.recommend(ask(k=5, customer=None), snapshot)
    counts = np.bincount(engine.bundle.histories.lines.items, minlength=N_ITEMS)
    assert_sound(answer)
    assert answer.item_ids == tuple(ITEM_IDS[item] for item in np.argsort(-counts, kind="stable")[:5])
    assert reasons(answer) == {ReasonCode.LAST_RESORT}
    assert answer.trace.degraded == ()


def test_a_short_proposal_is_followed_by_the_most_bought_of_the_rest(engine: Engine, plain: Snapshot) -> None:
    snapshot = with_strategy(plain, sources={"covisit": 2}, ranker="home")
    answer = engine.recommend(ask(k=6, customer=None, context_item_ids=("i2",)), snapshot)
    assert_sound(answer)
    assert [item.sources for item in answer.items] == [("covisit",)] * 2 + [("last_resort",)] * 4
    assert np.isnan(answer.features[2:]).all()
    assert np.isfinite(answer.features[:2]).any()


def test_with_one_eligible_item_the_answer_is_that_item(engine: Engine, plain: Snapshot) -> None:
    for left in [NUMBER[item] for item in SHOWN[::7]]:
        others = np.delete(np.arange(N_ITEMS, dtype=np.int32), left)
        for strategy in ("home", "discovery"):
            answer = engine.recommend(ask(customer="new here", strategy=strategy), plain.without(others))
            assert answer.item_ids == (ITEM_IDS[left],)
    assert engine.recommend(ask(), plain.without(np.arange(N_ITEMS, dtype=np.int32))).items == ()


# What is asked for


@pytest.mark.parametrize(
    ("filters", "allowed"),
    [
        (Filters(brands=("brand 00",)), lambda n: n % 2 == 0 and n % 6 // 2 == 0),
        (Filters(categories=("Drinks",)), lambda n: n < 16),
        (Filters(categories=("Mug", "Tea")), lambda n: n // 8 in (0, 6)),
        (Filters(brands=("brand 10",), categories=("Home",)), lambda n: n >= 16 and n % 6 == 1),
    ],
)
def test_filters_are_obeyed_and_the_list_is_as_full_as_it_can_be(
    engine: Engine, plain: Snapshot, filters: Filters, allowed: Callable[[int], bool]
) -> None:
    answer = engine.recommend(ask(k=30, filters=filters), plain)
    assert_sound(answer)
    assert set(answer.item_ids) == {item for item in SHOWN if allowed(int(item[1:]))}


def test_price_bounds_read_the_last_price_before_the_bundle(engine: Engine, plain: Snapshot) -> None:
    prices = engine.bundle.catalogue.prices
    answer = engine.recommend(ask(k=50, filters=Filters(min_price=4.0, max_price=6.0)), plain)
    assert_sound(answer)
    assert set(answer.item_ids) == {item for item in SHOWN if 4.0 <= prices[NUMBER[item]] <= 6.0}


def test_filters_that_nothing_matches_give_an_empty_list(engine: Engine, plain: Snapshot) -> None:
    assert engine.recommend(ask(filters=Filters(brands=("unheard of",))), plain).items == ()


@pytest.mark.parametrize(
    ("attribute", "limit", "distinct"), [("brand", 1, 6), ("brand", 2, 6), ("product_type", 1, 8), ("department", 3, 2), ("group", 1, 2)]
)
def test_no_more_than_so_many_of_one_kind(engine: Engine, plain: Snapshot, attribute: Any, limit: int, distinct: int) -> None:
    snapshot = with_strategy(plain, sources={"popular": 100, "content": 60}, max_per={attribute: limit})
    answer = engine.recommend(ask(k=60), snapshot)
    codes = engine.bundle.catalogue.codes(attribute)
    counts = Counter(int(codes[NUMBER[id_]]) for id_ in answer.item_ids)
    assert_sound(answer)
    assert max(count for code, count in counts.items() if code >= 0) <= limit
    assert sum(code >= 0 for code in counts) == distinct


def test_pins_stand_at_their_ranks_unless_they_may_not_be_shown(engine: Engine, plain: Snapshot) -> None:
    pins = {"1": "i60", "3": "i1", "4": OUT_OF_STOCK, "5": "not ours", "9": "i5"}
    answer = engine.recommend(ask(k=6), with_strategy(plain, pins=pins))
    assert_sound(answer)
    assert (answer.item_ids[0], answer.item_ids[2]) == ("i60", "i1")
    assert len(answer.items) == 6
    assert [item.rank for item in answer.items if item.reasons[0].code is ReasonCode.PINNED] == [1, 3]
    assert answer.items[0].sources == ("pinned",)
    assert answer.items[2].sources == ("popular",)
    carted = engine.recommend(ask(k=6, cart_item_ids=("i60",)), with_strategy(plain, pins=pins))
    assert "i60" not in carted.item_ids


def test_boosts_and_diversity_change_the_order(engine: Engine, plain: Snapshot) -> None:
    usual = engine.recommend(ask(), with_strategy(plain))
    boosted = engine.recommend(ask(), with_strategy(plain, boosts=[{"factor": 50, "categories": ["Mug"]}]))
    varied = engine.recommend(ask(), with_strategy(plain, diversity=0.7))
    for answer in (usual, boosted, varied):
        assert_sound(answer)
    assert all(int(id_[1:]) // 8 == 6 for id_ in boosted.item_ids[:4])
    assert boosted.item_ids != usual.item_ids
    assert varied.item_ids[0] == usual.item_ids[0]
    kinds = [{int(id_[1:]) // 8 for id_ in answer.item_ids[:6]} for answer in (usual, varied)]
    assert len(kinds[1]) > len(kinds[0])


def test_strategies_are_picked_by_tier_or_segment_from_toml(engine: Engine, plain: Snapshot) -> None:
    answers = [engine.recommend(ask(customer=f"c{number}"), plain) for number in range(20)]
    segment = answers[0].trace.segment
    tiers = {answer.trace.tier for answer in answers}
    assert len(tiers) > 1
    document = {"choose": [{"strategy": "discovery", "tiers": ["high"]}, {"strategy": "discovery", "segments": [segment]}]}
    snapshot = replace(plain, strategies=StrategySet.of(parse_config(document, "test")))
    for number, usual in enumerate(answers):
        fits = usual.trace.tier == "high" or usual.trace.segment == segment
        answer = engine.recommend(ask(customer=f"c{number}"), snapshot)
        assert answer.trace.strategy == ("discovery" if fits else "home")
        assert answer.trace.strategy_version != usual.trace.strategy_version
    assert engine.recommend(ask(customer=None), snapshot).trace.strategy == "home"


def test_a_strategy_that_does_not_exist_is_the_caller_s_mistake(engine: Engine, plain: Snapshot) -> None:
    with pytest.raises(ConfigError, match="there is no strategy 'hme'"):
        engine.recommend(ask(strategy="hme"), plain)


# When it is asked


def test_a_query_before_the_bundle_is_refused(engine: Engine, plain: Snapshot) -> None:
    with pytest.raises(ValueError, match="is earlier than bundle"):
        engine.recommend(ask(time=NOW - dt.timedelta(microseconds=1)), plain)
    assert engine.recommend(ask(time=NOW.astimezone(dt.timezone(dt.timedelta(hours=-9)))), plain).items


def test_live_events_change_the_answer_and_later_ones_do_not(engine: Engine, plain: Snapshot) -> None:
    noon, evening = AS_OF + 12 * HOUR, AS_OF + 18 * HOUR
    snapshot = live(plain, newcomer=bought(["i9", "i11", "i13"], noon))
    before = engine.recommend(ask(customer="newcomer", time=aware(noon)), snapshot)
    after = engine.recommend(ask(customer="newcomer", time=aware(evening)), snapshot)
    assert before.item_ids == engine.recommend(ask(customer="newcomer", time=aware(noon)), plain).item_ids
    assert not before.trace.is_known_customer
    assert after.trace.is_known_customer
    assert after.item_ids != before.item_ids
    assert {ReasonCode.BOUGHT_BEFORE, ReasonCode.BOUGHT_TOGETHER} <= reasons(after)


def test_what_happens_after_the_query_changes_no_score_and_no_feature(engine: Engine, plain: Snapshot) -> None:
    noon = AS_OF + 12 * HOUR
    some = bought(["i8", "i10"], noon - 6 * HOUR)
    more = bought(["i1", "i3", "i5", "i7"], noon)
    joined = History(*(np.concatenate(pair) for pair in zip(vars(more).values(), vars(some).values(), strict=True)))
    one = engine.recommend(ask(time=aware(noon)), live(plain, c4=some))
    other = engine.recommend(ask(time=aware(noon)), live(plain, c4=joined))
    assert one.items == other.items
    np.testing.assert_array_equal(one.features, other.features)


def test_only_positive_events_count_as_bought(engine: Engine, plain: Snapshot) -> None:
    snapshot = live(plain, c4=bought(SHOWN, AS_OF, event=VIEW))
    later = NOW + dt.timedelta(hours=1)
    assert engine.recommend(ask(time=later, strategy="discovery"), snapshot).item_ids
    quiet = engine.recommend(ask(time=later), plain)
    assert engine.recommend(ask(time=later), snapshot).items == quiet.items


def test_a_snapshot_takes_its_events_from_the_data_that_followed(engine: Engine, plain: Snapshot, small_dataset: Dataset) -> None:
    following = small_dataset.between(AS_OF, END)
    snapshot = plain.with_events(following)
    number = small_dataset.customers.number("c4")
    mine = following.interactions.take(following.interactions.customers == number)
    np.testing.assert_array_equal(snapshot.live["c4"].items, mine.items[::-1])
    assert (np.diff(snapshot.live["c4"].times) <= np.timedelta64(0)).all()
    resolved, _ = engine.resolve(ask(time=aware(END)), snapshot)
    everything = small_dataset.interactions.take(small_dataset.interactions.customers == number)
    np.testing.assert_array_equal(resolved.history.times, everything.times[::-1])
    assert len(resolved.history) == len(engine.bundle.history("c4")) + len(mine)


def test_a_time_without_events_makes_an_empty_snapshot(plain: Snapshot, small_dataset: Dataset) -> None:
    assert plain.with_events(small_dataset.between(AS_OF, AS_OF)).live == {}


def test_what_sold_out_is_gone_and_the_old_snapshot_unchanged(engine: Engine, plain: Snapshot) -> None:
    first = engine.recommend(ask(), plain)
    gone = engine.bundle.catalogue.items.numbers(first.item_ids[:4])
    answer = engine.recommend(ask(), plain.without(gone))
    assert_sound(answer)
    assert len(answer.items) == 10
    assert not set(first.item_ids[:4]) & set(answer.item_ids)
    assert engine.recommend(ask(), plain).item_ids == first.item_ids


# What every answer keeps


def test_the_same_query_twice_gives_the_same_answer(engine: Engine, plain: Snapshot) -> None:
    query = ask(k=30, context_item_ids=("i3",))
    one, other = engine.recommend(query, plain), engine.recommend(query, plain)
    assert one.items == other.items
    np.testing.assert_array_equal(one.features, other.features)
    assert one.trace == other.trace


def test_many_at_once_are_as_one_by_one(engine: Engine, plain: Snapshot) -> None:
    queries = [ask(customer="c1"), ask(customer=None, context_item_ids=("i3",)), ask(k=3, customer="c8", strategy="discovery")]
    together = engine.recommend_many(queries, plain)
    alone = [engine.recommend(query, plain) for query in queries]
    assert [answer.items for answer in together] == [answer.items for answer in alone]
    assert [answer.query for answer in together] == queries
    assert engine.recommend_many([], plain) == []


def test_threads_may_share_an_engine(loaded_bundle: Bundle, plain: Snapshot) -> None:
    queries = [ask(customer=f"c{number}", strategy=("home", "discovery")[number % 2]) for number in range(40)]
    expected = [answer.items for answer in Engine(loaded_bundle).recommend_many(queries, plain)]
    shared = Engine(replace(loaded_bundle))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: shared.recommend(query, plain).items, queries))
    assert found == expected


def test_features_explain_the_items_in_their_order(engine: Engine, plain: Snapshot) -> None:
    answer = engine.recommend(ask(k=20), plain)
    names = engine.bundle.features.names
    assert answer.features.shape == (20, len(names))
    repurchase = answer.features[:, names.index("repurchase_rank")]
    assert np.isfinite(repurchase).tolist() == ["repurchase" in item.sources for item in answer.items]
    n_sources = answer.features[:, names.index("n_sources")]
    assert n_sources.tolist() == [len(item.sources) for item in answer.items]
    resolved, _ = engine.resolve(answer.query, plain)
    for item, rank in zip(answer.items, repurchase, strict=True):
        if np.isfinite(rank):
            assert NUMBER[item.item_id] in resolved.positives.items


def test_the_source_that_ranked_an_item_best_gives_its_first_reason(loaded_bundle: Bundle, plain: Snapshot) -> None:
    similar = Fake(scored((4, 9.0), (2, 8.0)), reason=ReasonCode.SIMILAR_CUSTOMERS)
    engine = with_sources(loaded_bundle, {"popular": Fake(scored((2, 7.0), (4, 6.0))), "als": similar})
    answer = engine.recommend(ask(k=2), with_strategy(plain, sources={"popular": 9, "als": 9}))
    first, second = ReasonCode.POPULAR, ReasonCode.SIMILAR_CUSTOMERS
    said = {item.item_id: [reason.code for reason in item.reasons] for item in answer.items}
    assert said == {ITEM_IDS[2]: [first, second], ITEM_IDS[4]: [second, first]}


def test_a_reason_is_given_once(loaded_bundle: Bundle, plain: Snapshot) -> None:
    for item in Engine(loaded_bundle).recommend(ask(k=20), plain).items:
        assert len(set(item.reasons)) == len(item.reasons) <= len(item.sources)


def test_a_limit_per_category_is_met_from_all_that_is_eligible(loaded_bundle: Bundle) -> None:
    snapshot = with_strategy(Snapshot.of(loaded_bundle), sources={"popular": 3}, max_per={"category": 1})
    answer = Engine(loaded_bundle).recommend(ask(10, None), snapshot)
    categories = loaded_bundle.catalogue.codes("category")[loaded_bundle.catalogue.items.numbers(answer.item_ids)]
    assert len(answer.items) == len(set(categories.tolist())) == len(THINGS)
    assert [item.score for item in answer.items] == sorted((item.score for item in answer.items), reverse=True)

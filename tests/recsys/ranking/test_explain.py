"""Reasons follow the ranker: the families that added most, as far as what they say is true of the customer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from asking import FakeRanker, Patience, ask, assert_sound, with_strategy
from handmade import asked, catalogue, days_ago, history, interactions, profile
from world import NUMBER

from benchmarks.reason_evidence import Evidence
from recsys.bundle import Bundle
from recsys.config import Config, RankerConfig, parse_config
from recsys.data.buyers import Buyers
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.feature_config import FeatureConfig
from recsys.features.spec import feature_names
from recsys.protocols import ResolvedQuery, Unlimited
from recsys.ranking.explain import NEAR, OFTEN, TOP, Explainer
from recsys.ranking.mentions import Mentions
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Flags, Ints, Mention, Reason, ReasonCode, Recommendation, Scored, aware

FEATURES = {
    "lines": {"scope": "pair", "statistic": "share"},
    "recent": {"scope": "pair", "statistic": "recency"},
    "brand": {"scope": "pair", "statistic": "share", "by": "brand"},
    "shelf": {"scope": "pair", "statistic": "share", "by": "category"},
    "dear": {"scope": "pair", "statistic": "price", "by": "category"},
    "sold": {"scope": "item", "statistic": "rate"},
    "again": {"scope": "item", "statistic": "repeat"},
    "segment": {"scope": "segment", "statistic": "lift"},
    "tier": {"scope": "tier", "statistic": "lift"},
    "own": {"scope": "customer", "statistic": "rate"},
}
ITEMS = catalogue(5, brands=[0, 0, 1, 1, -1], groups=[3, 3, -1, -1, -1], categories=[[0, 1], [0, 1], [0, 2], [3, 4], [-1, -1]])
CONFIG = Config(features={name: FeatureConfig(**feature) for name, feature in FEATURES.items()})
WIDTH = len(feature_names(CONFIG))
NOBODY = Buyers.of_interactions(interactions(), len(ITEMS))
EXPLAINER = Explainer(CONFIG, ITEMS, {}, np.array([True, True, True, True, False]), NOBODY)
TRUE = {"again": OFTEN, "segment": 0.1, "tier": 0.1}
"""Of features, values at which what they say is true of an item that is popular."""
BUYER = asked(history((3, 0), (9, 2)), who=profile(segment="s1", tier="high"))


def told(added: dict[str, float], item: int = 0, resolved: ResolvedQuery = BUYER, **values: float) -> list[Reason]:
    """Reasons of one item, from what each feature added to its score. values: of features, beside those that make what they say true"""
    names = list(FEATURES)
    contributions, features = np.zeros((1, WIDTH)), np.zeros((1, WIDTH), np.float32)
    for name, value in added.items():
        contributions[0, names.index(name)] = value
    for name, value in {**TRUE, **values}.items():
        features[0, names.index(name)] = value
    found, failed = EXPLAINER.reasons(contributions, features, np.array([item], np.int32), resolved)
    assert failed == ()
    return found[0]


def test_the_three_families_that_add_most_are_told_strongest_first() -> None:
    found = told({"sold": 1.0, "brand": 4.0, "again": 2.0, "shelf": 3.0})
    assert found == [
        Reason(ReasonCode.SAME_BRAND, name="b0", strength=0.4),
        Reason(ReasonCode.SAME_CATEGORY, name="k1", strength=pytest.approx(0.3)),
        Reason(ReasonCode.BOUGHT_AGAIN, strength=0.2),
    ]
    assert len(found) == TOP


def test_the_features_of_a_family_are_summed() -> None:
    assert [reason.code for reason in told({"lines": 2.0, "recent": -3.0, "sold": 0.5})] == [ReasonCode.POPULAR]
    (bought,) = told({"lines": 2.0, "recent": -0.5})
    assert bought == Reason(ReasonCode.BOUGHT_BEFORE, "i0", strength=1.0)


def test_what_speaks_against_an_item_is_never_told() -> None:
    assert told({"brand": -1.0, "sold": -2.0}) == []
    assert told({}) == []


def test_what_is_the_same_for_every_item_is_no_reason() -> None:
    assert told({"own": 5.0}) == []


def test_a_strong_family_whose_evidence_does_not_hold_gives_no_place_to_the_fourth() -> None:
    added = {"brand": 4.0, "lines": 3.0, "shelf": 2.0, "sold": 1.0}
    assert told(added, item=4) == []


@pytest.mark.parametrize(
    ("added", "item", "expected"),
    [
        ("lines", 0, Reason(ReasonCode.BOUGHT_BEFORE, "i0", strength=1.0)),
        ("lines", 1, Reason(ReasonCode.BOUGHT_BEFORE, "i0", strength=1.0)),  # another variant of item 0
        ("lines", 3, None),
        ("brand", 3, Reason(ReasonCode.SAME_BRAND, name="b1", strength=1.0)),
        ("brand", 4, None),
        ("shelf", 1, Reason(ReasonCode.SAME_CATEGORY, name="k1", strength=1.0)),
        ("shelf", 3, None),
        ("segment", 3, Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s1", strength=1.0)),
        ("tier", 3, Reason(ReasonCode.POPULAR_IN_SEGMENT, name="high", strength=1.0)),
        ("sold", 3, Reason(ReasonCode.POPULAR, strength=1.0)),
        ("sold", 4, None),
        ("segment", 4, None),
    ],
)
def test_a_reason_names_its_evidence_or_is_not_given(added: str, item: int, expected: Reason | None) -> None:
    assert told({added: 1.0}, item) == ([] if expected is None else [expected])


def test_the_narrowest_category_that_the_customer_bought_from_is_named() -> None:
    items = catalogue(3, categories=[[0, 1, 2], [0, 1, 3], [0, 4, 5]])
    explainer = Explainer(CONFIG, items, {}, np.zeros(3, np.bool_), NOBODY)
    contributions = np.zeros((3, WIDTH))
    contributions[:, list(FEATURES).index("shelf")] = 1.0
    found, _ = explainer.reasons(
        contributions, np.zeros_like(contributions, np.float32), np.arange(3, dtype=np.int32), asked(history((1, 0)))
    )
    assert [reason.name for (reason,) in found] == ["k2", "k1", "k0"]


@pytest.mark.parametrize(
    ("place", "is_told"), [(0.0, True), (NEAR, True), (-NEAR, True), (NEAR + 0.01, False), (-0.5, False), (math.nan, False)]
)
def test_a_price_is_usual_only_when_it_is_near_what_the_customer_pays(place: float, is_told: bool) -> None:
    found = told({"dear": 1.0}, item=1, dear=place)
    assert found == ([Reason(ReasonCode.USUAL_PRICE, name="k1", strength=1.0)] if is_told else [])


@pytest.mark.parametrize(("share", "is_told"), [(OFTEN, True), (OFTEN - 0.01, False), (0.0, False), (math.nan, False)])
def test_what_few_buy_again_is_not_said_to_be_bought_again(share: float, is_told: bool) -> None:
    assert told({"again": 1.0}, again=share) == ([Reason(ReasonCode.BOUGHT_AGAIN, strength=1.0)] if is_told else [])


@pytest.mark.parametrize("scope", ["segment", "tier"])
def test_what_a_group_buys_less_than_others_is_not_said_to_be_popular_in_it(scope: str) -> None:
    assert told({scope: 1.0}) != []
    for lift in (0.0, -1.0, math.nan):
        assert told({scope: 1.0}, **{scope: lift}) == []


def test_of_a_guest_nothing_is_said_but_what_the_item_is() -> None:
    added = {"lines": 9.0, "brand": 8.0}
    assert told({**added, "sold": 7.0}, resolved=asked()) == [Reason(ReasonCode.POPULAR, strength=pytest.approx(7 / 24))]
    assert told({"segment": 1.0}, resolved=asked()) == []


# What customers mention


class Alike:
    """A source of what reads alike; of any item it names the same other one. seed: -1 = none"""

    reason = ReasonCode.SIMILAR_TEXT

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        return Scored.empty()

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        return np.full(len(items), self.seed, np.int32)


WITH_TEXT = parse_config({"sources": {"alike": {"kind": "content"}}}, "test").model_copy(update={"features": CONFIG.features})
ALIKE_COLUMNS = feature_names(WITH_TEXT)


def mentions(*said: tuple[int, str, str]) -> Mentions:
    """From (item, term, quote), by item."""
    terms = tuple(dict.fromkeys(term for _, term, _ in said))
    quotes = [quote.encode() for *_, quote in said]
    return Mentions(
        terms=terms,
        offsets=np.searchsorted([item for item, *_ in said], np.arange(len(ITEMS) + 1)),
        codes=np.array([terms.index(term) for _, term, _ in said], np.int32),
        counts=np.full(len(said), 4, np.int32),
        times=np.full(len(said), days_ago(5)),
        ends=np.cumsum([len(quote) for quote in quotes]),
        quotes=np.frombuffer(b"".join(quotes), np.uint8),
    )


SAID = mentions(
    (0, "handle", "a fine handle"), (0, "glaze", "lovely glaze"), (2, "glaze", "the glaze \u00e9tait bien"), (3, "lid", "good lid")
)


def read_alike(
    added: dict[str, float], item: int, seed: int, said: Mentions | None = SAID, who: ResolvedQuery | None = None
) -> list[Reason]:
    """Reasons of one item where texts are compared; `seed` is what the source names as the item of the customer that it reads like."""
    who = asked(history((3, 0), (9, 1), (11, 2), (20, 3))) if who is None else who
    explainer = Explainer(WITH_TEXT, ITEMS, {"alike": Alike(seed)}, np.zeros(len(ITEMS), np.bool_), NOBODY, said)
    contributions = np.zeros((1, len(ALIKE_COLUMNS)))
    for name, value in added.items():
        contributions[0, ALIKE_COLUMNS.index(name)] = value
    features = np.zeros((1, len(ALIKE_COLUMNS)), np.float32)
    found, failed = explainer.reasons(contributions, features, np.array([item], np.int32), who)
    assert failed == ()
    return found[0]


TEXT = {"alike_score": 1.0}


def test_what_customers_mention_of_both_is_told_with_a_quote_of_the_item_itself() -> None:
    assert read_alike(TEXT, item=2, seed=0) == [
        Reason(ReasonCode.MENTIONED, "i0", "glaze", 1.0, Mention("the glaze \u00e9tait bien", aware(days_ago(5)), 4))
    ]
    assert read_alike(TEXT, item=0, seed=2)[0].mention == Mention("lovely glaze", aware(days_ago(5)), 4)


@pytest.mark.parametrize(("item", "seed"), [(2, 1), (2, 3), (3, 0), (4, 0)])
def test_with_an_item_that_it_shares_no_term_with_it_only_reads_alike(item: int, seed: int) -> None:
    assert read_alike(TEXT, item, seed) == [Reason(ReasonCode.SIMILAR_TEXT, f"i{seed}", strength=1.0)]


def test_nothing_is_mentioned_where_the_customer_has_nothing_like_it() -> None:
    assert read_alike(TEXT, item=2, seed=-1) == []


def test_nothing_is_mentioned_where_no_reviews_were_read() -> None:
    assert read_alike(TEXT, item=2, seed=0, said=None) == [Reason(ReasonCode.SIMILAR_TEXT, "i0", strength=1.0)]


def test_what_customers_mention_goes_when_their_texts_are_not_among_the_three_that_count_most() -> None:
    others = {"sold": 4.0, "again": 3.0, "shelf": 2.0}
    assert ReasonCode.MENTIONED in {reason.code for reason in read_alike({**others, "alike_score": 2.5}, item=2, seed=0)}
    assert ReasonCode.MENTIONED not in {reason.code for reason in read_alike({**others, "alike_score": 1.5}, item=2, seed=0)}
    assert read_alike({"alike_score": -1.0}, item=2, seed=0) == []


def test_an_item_that_the_customer_does_not_have_is_no_evidence_whatever_a_source_says() -> None:
    looks_at = asked(history((9, 2)), context=[0])
    assert read_alike(TEXT, item=2, seed=0, who=looks_at) != []
    assert read_alike(TEXT, item=2, seed=3, who=looks_at) == []
    assert read_alike(TEXT, item=2, seed=0, who=asked(history((9, 2)))) == []
    assert read_alike(TEXT, item=2, seed=0, who=asked()) == []


# What other customers do


class OfOthers(Alike):
    """A source that speaks of other customers."""

    def __init__(self, seed: int, reason: ReasonCode) -> None:
        super().__init__(seed)
        self.reason = reason


@pytest.mark.parametrize("code", [ReasonCode.BOUGHT_TOGETHER, ReasonCode.SIMILAR_CUSTOMERS, ReasonCode.OFTEN_NEXT])
@pytest.mark.parametrize(
    ("lines", "is_told"), [([(1, 7, 0), (2, 7, 2)], False), ([(1, 8, 0), (2, 7, 2)], False), ([(1, 8, 0), (2, 8, 2)], True)]
)
def test_what_others_do_is_told_only_where_another_customer_did_it(
    code: ReasonCode, lines: list[tuple[int, int, int]], is_told: bool
) -> None:
    """Customer 7 has item 0 and is told of item 2."""
    who = asked(history((3, 0)), customer=7)
    explainer = Explainer(
        WITH_TEXT,
        ITEMS,
        {"alike": OfOthers(0, code)},
        np.zeros(len(ITEMS), np.bool_),
        Buyers.of_interactions(interactions(*lines), len(ITEMS)),
    )
    contributions = np.zeros((1, len(ALIKE_COLUMNS)))
    contributions[0, ALIKE_COLUMNS.index("alike_score")] = 1.0
    found, _ = explainer.reasons(contributions, np.zeros_like(contributions, np.float32), np.array([2], np.int32), who)
    assert found == [[Reason(code, "i0", strength=1.0)] if is_told else []]


# In the engine


@pytest.fixture(scope="module")
def seen(loaded_bundle: Bundle) -> tuple[np.ndarray, list[int]]:
    """What the ranker sees of 40 customers and 10 guests who look at something: all rows, and how many are of each."""
    engine, plain = Engine(loaded_bundle), Snapshot.of(loaded_bundle)
    strategy = plain.strategies.strategies["home"]
    tables = []
    queries = [ask(customer=f"c{number}") for number in range(40)] + [
        ask(customer=None, context_item_ids=(f"i{item}",)) for item in range(10)
    ]
    for query in queries:
        resolved, _ = engine.resolve(query, plain)
        tables.append(engine.rank(engine.retrieve(resolved, strategy, plain, Unlimited()), resolved, strategy, Unlimited()).features)
    return np.concatenate(tables), [len(table) for table in tables]


def taught(bundle: Bundle, seen: tuple[np.ndarray, list[int]], column: str) -> Engine:
    """An engine whose ranker learned that items are wanted where one feature is high, and of all others nothing."""
    rows, sizes = seen
    at = bundle.features.names.index(column)
    values = rows[:, at]
    useless = np.zeros_like(rows)
    useless[:, at] = values
    labels = np.asarray(values > np.nanquantile(values, 0.7), np.uint8)
    counts, nothing = np.array(sizes, np.int32), np.empty((0, 1), np.float32)
    unshown = np.zeros(len(labels), np.int32)
    table = Rows(useless, labels, unshown, counts, nothing, nothing, np.arange(len(sizes), dtype=np.int32), counts)
    config = RankerConfig(train_on="home", n_trees=15, min_data_in_leaf=5, feature_fraction=1.0)
    ranker = fit_lambdamart([table], bundle.features.names, config, seed=1, n_threads=1, progress=silent)
    return Engine(replace(bundle, rankers={**bundle.rankers, "home": ranker}))


def codes(answer: Recommendation) -> set[ReasonCode]:
    return {reason.code for item in answer.items for reason in item.reasons}


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("pair_decayed_90d", ReasonCode.BOUGHT_BEFORE),
        ("repurchase_score", ReasonCode.BOUGHT_BEFORE),
        ("pair_brand_share", ReasonCode.SAME_BRAND),
        ("pair_category_share", ReasonCode.SAME_CATEGORY),
        ("item_decayed_14d", ReasonCode.POPULAR),
        ("popular_score", ReasonCode.POPULAR),
        ("item_repeat", ReasonCode.BOUGHT_AGAIN),
        ("segment_item_lift", ReasonCode.POPULAR_IN_SEGMENT),
        ("covisit_score", ReasonCode.BOUGHT_TOGETHER),
        ("content_score", ReasonCode.SIMILAR_TEXT),
        ("als_score", ReasonCode.SIMILAR_CUSTOMERS),
    ],
)
def test_a_reason_is_given_where_its_feature_counts_and_goes_when_the_feature_is_useless(
    loaded_bundle: Bundle, seen: tuple[np.ndarray, list[int]], plain: Snapshot, column: str, code: ReasonCode
) -> None:
    queries = [ask(customer=f"c{number}", explain=True) for number in range(6)]
    for answer in taught(loaded_bundle, seen, column).recommend_many(queries, plain):
        assert answer.trace.degraded == ()
        assert codes(answer) == {code}
    other = "item_decayed_14d" if code is not ReasonCode.POPULAR else "pair_decayed_90d"
    for answer in taught(loaded_bundle, seen, other).recommend_many(queries, plain):
        assert code not in codes(answer)


def test_every_reason_of_the_trained_ranker_is_true(engine: Engine, plain: Snapshot, small_dataset: Dataset) -> None:
    bundle, found = engine.bundle, set[ReasonCode]()
    evidence = Evidence.of(small_dataset.before(bundle.as_of), bundle.config, bundle.profiles)
    for number in range(30):
        query = ask(customer=f"c{number}", explain=True)
        answer = engine.recommend(query, plain)
        for item in answer.items:
            strengths = [reason.strength for reason in item.reasons]
            assert len(strengths) <= TOP
            assert strengths == sorted(strengths, reverse=True)
            assert all(0 < strength <= 1 for strength in strengths)
            for reason in item.reasons:
                held = evidence.holds(reason, NUMBER[item.item_id], f"c{number}", bundle.profile(f"c{number}"))
                assert held, (reason, item)
        found |= codes(answer)
    assert {ReasonCode.BOUGHT_BEFORE, ReasonCode.POPULAR_IN_SEGMENT, ReasonCode.SIMILAR_CUSTOMERS} <= found


def test_without_being_asked_reasons_come_from_the_sources(engine: Engine, plain: Snapshot) -> None:
    usual, explained = (engine.recommend(ask(explain=wish), plain) for wish in (False, True))
    assert_sound(usual)
    assert usual.item_ids == explained.item_ids
    assert all(reason.strength is None for item in usual.items for reason in item.reasons)
    assert any(reason.strength is not None for item in explained.items for reason in item.reasons)


def test_where_no_ranker_ran_an_explanation_is_that_of_the_sources(engine: Engine, plain: Snapshot) -> None:
    snapshot = with_strategy(plain, sources={"popular": 100})
    usual, explained = (engine.recommend(ask(explain=wish), snapshot) for wish in (False, True))
    assert usual.items == explained.items
    assert explained.trace.degraded == ()


def test_pinned_and_added_items_keep_their_own_reasons(engine: Engine, plain: Snapshot) -> None:
    snapshot = with_strategy(plain, sources={"covisit": 2}, ranker="home", pins={"1": "i60"})
    answer = engine.recommend(ask(k=6, customer=None, context_item_ids=("i2",), explain=True), snapshot)
    pinned, ranked, *_, last = answer.items
    assert [reason.code for reason in pinned.reasons] == [ReasonCode.PINNED]
    assert all(reason.strength is not None for reason in ranked.reasons)
    assert [reason.code for reason in last.reasons] == [ReasonCode.LAST_RESORT]


def test_a_ranker_that_cannot_say_why_is_named_and_the_sources_speak(loaded_bundle: Bundle, plain: Snapshot) -> None:
    engine = Engine(replace(loaded_bundle, rankers={**loaded_bundle.rankers, "home": FakeRanker(1.0)}))
    usual, explained = (engine.recommend(ask(explain=wish), plain) for wish in (False, True))
    assert explained.items == usual.items
    assert explained.trace.degraded == ("reasons of ranker home: NotImplementedError: it cannot say why",)


def test_out_of_time_the_sources_speak(engine: Engine, plain: Snapshot) -> None:
    n_questions = len(plain.strategies.strategies["home"].sources) + 1
    explained = engine.recommend(ask(explain=True), plain, Patience(n_questions))
    assert explained.items == engine.recommend(ask(), plain).items
    assert explained.trace.degraded == ("reasons of the ranker: out of time",)

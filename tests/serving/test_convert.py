import datetime as dt
import math
from typing import Any

import pytest

from recsys.types import Filters, Mention, Query, Reason, ReasonCode, Recommendation, RecommendedItem, RuleEffect, Trace
from segmentation.profile import STAGES, TIERS
from serving.convert import InvalidField, to_query, to_response
from serving.pb.recsys.v1 import recommender_pb2 as pb

NOW = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)


def ids(n: int) -> list[str]:
    return [f"i{number}" for number in range(n)]


def test_an_empty_request_is_a_guest_at_home_who_wants_20_items_now() -> None:
    assert to_query(pb.RecommendRequest(), NOW) == Query(k=20, time=NOW, placement="home")


def test_every_field_reaches_the_query() -> None:
    request = pb.RecommendRequest(
        request_id="r1",
        customer_id="c1",
        visitor_id="v1",
        placement="cart",
        k=500,
        context_item_ids=["a", "b", "a"],
        cart_item_ids=ids(200),
        excluded_item_ids=ids(1000),
        filters=pb.Filters(brands=["x"], categories=["y", "z"], min_price=0.0, max_price=2.5),
        strategy="discovery",
        explain=True,
    )
    request.query_time.FromDatetime(dt.datetime(2017, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC))
    assert to_query(request, NOW) == Query(
        request_id="r1",
        customer_id="c1",
        visitor_id="v1",
        placement="cart",
        k=500,
        time=dt.datetime(2017, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC),
        context_item_ids=("a", "b"),
        cart_item_ids=tuple(ids(200)),
        excluded_item_ids=tuple(ids(1000)),
        filters=Filters(("x",), ("y", "z"), 0.0, 2.5),
        strategy="discovery",
        explain=True,
    )


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("k", {"k": 501}),
        ("k", {"k": -1}),
        ("request_id", {"request_id": "r" * 129}),
        ("customer_id", {"customer_id": "c" * 129}),
        ("visitor_id", {"visitor_id": "v" * 129}),
        ("placement", {"placement": "p" * 129}),
        ("strategy", {"strategy": "s" * 129}),
        ("query_time", {"query_time": {"seconds": 10**12}}),
        ("query_time", {"query_time": {"nanos": -1}}),
        ("context_item_ids", {"context_item_ids": ids(51)}),
        ("context_item_ids[1]", {"context_item_ids": ["a", ""]}),
        ("cart_item_ids", {"cart_item_ids": ids(201)}),
        ("excluded_item_ids", {"excluded_item_ids": ids(1001)}),
        ("filters.brands", {"filters": {"brands": ids(101)}}),
        ("filters.categories[0]", {"filters": {"categories": [""]}}),
        ("filters.min_price", {"filters": {"min_price": -0.01}}),
        ("filters.max_price", {"filters": {"max_price": math.nan}}),
        ("filters.max_price", {"filters": {"max_price": math.inf}}),
        ("filters.max_price", {"filters": {"min_price": 2, "max_price": 1}}),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refused:
        to_query(pb.RecommendRequest(**wrong), NOW)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: must ")


def test_the_whole_answer_reaches_the_wire() -> None:
    items = (
        RecommendedItem("a", 1.0, 1, ("als", "popular"), (Reason(ReasonCode.BOUGHT_TOGETHER, "z"), Reason(ReasonCode.POPULAR))),
        RecommendedItem("b", 0.5, 2, (), (Reason(ReasonCode.SAME_BRAND, name="Acme", strength=0.5),), ("boosts[0]", "pins.2"), 0.25),
    )
    rules = (RuleEffect("boosts[0]", 1, 3), RuleEffect("pins.2", 1, 0))
    trace = Trace("home", "s1", "b1", "s3", "Night owls", "high", "at_risk", "test", "blue", ("als: late",), ("gone",), True, rules)
    answer = to_response(Recommendation(Query(2, NOW, request_id="r1"), items, trace))
    assert answer == pb.RecommendResponse(
        request_id="r1",
        items=[
            pb.RecommendedItem(
                item_id="a",
                score=1.0,
                rank=1,
                sources=["als", "popular"],
                reasons=[
                    pb.Reason(code=pb.REASON_CODE_BOUGHT_TOGETHER, because_item_id="z"),
                    pb.Reason(code=pb.REASON_CODE_POPULAR),
                ],
            ),
            pb.RecommendedItem(
                item_id="b",
                score=0.5,
                rank=2,
                reasons=[pb.Reason(code=pb.REASON_CODE_SAME_BRAND, name="Acme", strength=0.5)],
                rules=["boosts[0]", "pins.2"],
                probability=0.25,
            ),
        ],
        missing_item_ids=["gone"],
        bundle_version="b1",
        strategy="home",
        strategy_version="s1",
        experiment="test",
        variant="blue",
        is_known_customer=True,
        segment=pb.Segment(id="s3", name="Night owls"),
        tier=pb.TIER_HIGH,
        stage=pb.STAGE_AT_RISK,
        degraded_parts=["als: late"],
        rules=[pb.RuleEffect(rule="boosts[0]", shown_count=1, left_out_count=3), pb.RuleEffect(rule="pins.2", shown_count=1)],
    )
    assert not answer.items[0].reasons[0].HasField("strength")


def test_what_is_unknown_of_a_guest_stays_unset() -> None:
    answer = to_response(Recommendation(Query(2, NOW, request_id="r1"), (), Trace("home", "s1", "b1")))
    assert answer == pb.RecommendResponse(request_id="r1", bundle_version="b1", strategy="home", strategy_version="s1")


@pytest.mark.parametrize(
    ("enum", "prefix", "values"), [(pb.ReasonCode, "REASON_CODE", list(ReasonCode)), (pb.Tier, "TIER", TIERS), (pb.Stage, "STAGE", STAGES)]
)
def test_the_wire_has_a_name_for_every_value_of_the_engine_and_for_no_other(enum: Any, prefix: str, values: list[str]) -> None:
    assert enum.keys() == [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{value.upper()}" for value in values)]


def test_what_customers_mention_is_sent_with_its_quote_and_no_other_reason_has_one() -> None:
    mention = Mention("a fine handle", dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC), 4)
    reasons = (Reason(ReasonCode.MENTIONED, "z", "handle", 0.5, mention), Reason(ReasonCode.SIMILAR_TEXT, "z"))
    query = Query(1, dt.datetime(2024, 5, 1, tzinfo=dt.UTC))
    sent = to_response(Recommendation(query, (RecommendedItem("a", 1.0, 1, (), reasons),), Trace("home", "v", "b"))).items[0].reasons
    assert (sent[0].code, sent[0].because_item_id, sent[0].name) == (pb.REASON_CODE_MENTIONED, "z", "handle")
    assert (sent[0].mention.quote, sent[0].mention.reviewer_count) == ("a fine handle", 4)
    assert sent[0].mention.review_time.ToDatetime(tzinfo=dt.UTC) == mention.time
    assert not sent[1].HasField("mention")

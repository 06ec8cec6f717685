"""Wire messages to the engine's values and back. All that a request can have wrong by itself is refused here, by field."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from recsys.types import MAX_K, Filters, Mention, Query, Reason, Recommendation, RecommendedItem
from serving.pb.recsys.v1 import recommender_pb2 as pb

DEFAULT_K = 20
DEFAULT_PLACEMENT = "home"
MAX_ID_LENGTH = 128
MAX_CONTEXT_ITEMS = 50
MAX_CART_ITEMS = 200
MAX_EXCLUDED_ITEMS = 1000
MAX_FILTER_VALUES = 100


class InvalidField(ValueError):
    """A field of a request is wrong. field: its path in the message, for example ``filters.brands[2]``."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


def to_query(request: pb.RecommendRequest, now: dt.datetime) -> Query:
    """What a request asks for, with the defaults of the proto file; `now` is the time of a query that gives none.

    Raises:
        InvalidField: a value is outside what the proto file allows.
    """
    if not 0 <= request.k <= MAX_K:
        raise InvalidField("k", f"must be between 1 and {MAX_K}, or 0 for the default of {DEFAULT_K}; got {request.k}")
    return Query(
        k=request.k or DEFAULT_K,
        time=_time("query_time", request.query_time) if request.HasField("query_time") else now,
        customer_id=_name("customer_id", request.customer_id),
        request_id=_name("request_id", request.request_id) or "",
        visitor_id=_name("visitor_id", request.visitor_id),
        placement=_name("placement", request.placement) or DEFAULT_PLACEMENT,
        context_item_ids=_names("context_item_ids", request.context_item_ids, MAX_CONTEXT_ITEMS),
        cart_item_ids=_names("cart_item_ids", request.cart_item_ids, MAX_CART_ITEMS),
        excluded_item_ids=_names("excluded_item_ids", request.excluded_item_ids, MAX_EXCLUDED_ITEMS),
        filters=_filters(request.filters),
        strategy=_name("strategy", request.strategy),
        explain=request.explain,
    )


def to_customer_id(request: pb.GetCustomerProfileRequest) -> tuple[str, str]:
    """Whose profile a request asks for, and its own id.

    Raises:
        InvalidField: a value is outside what the proto file allows.
    """
    customer_id, request_id = _name("customer_id", request.customer_id), _name("request_id", request.request_id)
    if customer_id is None:
        raise InvalidField("customer_id", "must not be empty")
    return customer_id, request_id or ""


def to_response(recommendation: Recommendation) -> pb.RecommendResponse:
    """An answer as it is sent."""
    trace = recommendation.trace
    return pb.RecommendResponse(
        request_id=recommendation.query.request_id,
        items=[_item(item) for item in recommendation.items],
        missing_item_ids=trace.missing_item_ids,
        bundle_version=trace.bundle_version,
        strategy=trace.strategy,
        strategy_version=trace.strategy_version,
        experiment=trace.experiment or "",
        variant=trace.variant or "",
        is_known_customer=trace.is_known_customer,
        segment=None if trace.segment is None else pb.Segment(id=trace.segment, name=trace.segment_name or ""),
        tier=pb.TIER_UNSPECIFIED if trace.tier is None else pb.Tier.Value(f"TIER_{trace.tier.upper()}"),
        stage=pb.STAGE_UNSPECIFIED if trace.stage is None else pb.Stage.Value(f"STAGE_{trace.stage.upper()}"),
        degraded_parts=trace.degraded,
        rules=[pb.RuleEffect(rule=effect.rule, shown_count=effect.shown, left_out_count=effect.left_out) for effect in trace.rules],
    )


def _item(item: RecommendedItem) -> pb.RecommendedItem:
    reasons = [_reason(reason) for reason in item.reasons]
    return pb.RecommendedItem(
        item_id=item.item_id,
        score=item.score,
        rank=item.rank,
        sources=item.sources,
        reasons=reasons,
        rules=item.rules,
        probability=item.probability,
    )


def _reason(reason: Reason) -> pb.Reason:
    code = pb.ReasonCode.Value(f"REASON_CODE_{reason.code.value.upper()}")
    mention = None if reason.mention is None else _mention(reason.mention)
    return pb.Reason(
        code=code, because_item_id=reason.because_item_id or "", name=reason.name or "", strength=reason.strength, mention=mention
    )


def _mention(mention: Mention) -> pb.Mention:
    time = Timestamp()
    time.FromDatetime(mention.time)
    return pb.Mention(quote=mention.quote, review_time=time, reviewer_count=mention.n_reviewers)


def _filters(filters: pb.Filters) -> Filters:
    low = _price("filters.min_price", filters.min_price) if filters.HasField("min_price") else None
    high = _price("filters.max_price", filters.max_price) if filters.HasField("max_price") else None
    if low is not None and high is not None and low > high:
        raise InvalidField("filters.max_price", f"must be at least min_price, which is {low:g}; got {high:g}")
    return Filters(
        brands=_names("filters.brands", filters.brands, MAX_FILTER_VALUES),
        categories=_names("filters.categories", filters.categories, MAX_FILTER_VALUES),
        min_price=low,
        max_price=high,
    )


def _price(field: str, price: float) -> float:
    if not (math.isfinite(price) and price >= 0):
        raise InvalidField(field, f"must be a finite number, at least 0; got {price:g}")
    return price


def _time(field: str, time: Timestamp) -> dt.datetime:
    try:
        return time.ToDatetime(tzinfo=dt.UTC)
    except (ValueError, OverflowError) as error:
        problem = f"must be a time of the years 1 to 9999 with nanos from 0 to 999999999; got {time.seconds} s, {time.nanos} ns"
        raise InvalidField(field, problem) from error


def _name(field: str, name: str) -> str | None:
    if len(name) > MAX_ID_LENGTH:
        raise InvalidField(field, f"must have at most {MAX_ID_LENGTH} characters, got {len(name)}")
    return name or None


def _names(field: str, names: Sequence[str], limit: int) -> tuple[str, ...]:
    if len(names) > limit:
        raise InvalidField(field, f"must have at most {limit} values, got {len(names)}")
    if "" in names:
        raise InvalidField(f"{field}[{list(names).index('')}]", "must not be empty")
    return tuple(dict.fromkeys(names))

import datetime as dt
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from recsys.protocols import Budget
from recsys.types import Query, Recommendation
from segmentation.profile import CustomerProfile
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub


def refused(stub: RecommenderServiceStub, request: pb.RecommendRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        stub.Recommend(request)
    return error.value.code(), error.value.details()


def test_the_request_id_is_echoed_and_made_where_there_is_none(servers: Any) -> None:
    stub = servers.stub()
    assert stub.Recommend(pb.RecommendRequest(request_id="r1")).request_id == "r1"
    made = [stub.Recommend(pb.RecommendRequest()).request_id for _ in range(2)]
    assert all(made)
    assert made[0] != made[1]


def test_the_query_time_is_now_unless_given(servers: Any) -> None:
    asked: list[dt.datetime] = []

    def answer(query: Query, budget: Budget) -> Recommendation:
        asked.append(query.time)
        return servers.one_item(query, budget)

    stub = servers.stub(answer)
    stub.Recommend(pb.RecommendRequest())
    request = pb.RecommendRequest()
    request.query_time.FromDatetime(servers.as_of)
    stub.Recommend(request)
    assert asked == [servers.now, servers.as_of]


def test_a_wrong_field_is_an_invalid_argument_with_its_name(servers: Any) -> None:
    code, message = refused(servers.stub(), pb.RecommendRequest(k=900))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message == "k: must be between 1 and 500, or 0 for the default of 20; got 900"


def test_a_query_earlier_than_the_bundle_is_refused(servers: Any) -> None:
    request = pb.RecommendRequest()
    request.query_time.FromDatetime(servers.as_of - dt.timedelta(microseconds=1))
    code, message = refused(servers.stub(), request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("query_time: must not be earlier than 2018-01-01T00:00:00+00:00, where the data of bundle b1 end; got 2017-")


def test_an_unknown_strategy_is_refused_with_those_there_are(servers: Any) -> None:
    answer = refused(servers.stub(), pb.RecommendRequest(strategy="hme"))
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "strategy: there is no 'hme'; there are: discovery, home, product")


def test_without_a_bundle_the_service_is_unavailable(servers: Any) -> None:
    server = servers.server(servers.bundles(), loaded=False)
    code, _ = refused(RecommenderServiceStub(servers.channel(server.port)), pb.RecommendRequest())
    assert code == grpc.StatusCode.UNAVAILABLE


def test_a_failure_is_logged_with_its_cause_under_the_request_id_and_tells_the_caller_no_more(
    servers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(query: Query, budget: Budget) -> Recommendation:
        raise ValueError("inner secret")

    with caplog.at_level(logging.ERROR, "serving"):
        code, message = refused(servers.stub(answer), pb.RecommendRequest(request_id="r7"))
    assert code == grpc.StatusCode.INTERNAL
    assert "'r7'" in message
    assert "secret" not in message
    assert "'r7'" in caplog.text
    assert "inner secret" in caplog.text


def test_validate_only_answers_without_items(servers: Any) -> None:
    stub = servers.stub()
    answer = stub.Recommend(pb.RecommendRequest(validate_only=True))
    assert (len(answer.items), answer.bundle_version) == (0, "b1")
    assert refused(stub, pb.RecommendRequest(validate_only=True, k=-1))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_an_expired_budget_is_named_in_the_answer(servers: Any, hurried_clock: Callable[[], float]) -> None:
    assert list(servers.stub(clock=hurried_clock).Recommend(pb.RecommendRequest()).degraded_parts) == ["source slow: out of time"]
    assert list(servers.stub().Recommend(pb.RecommendRequest(), timeout=60).degraded_parts) == []


def test_calls_at_once_get_each_their_own_answer(servers: Any) -> None:
    stub = servers.stub()
    customers = [f"c{number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda customer: stub.Recommend(pb.RecommendRequest(customer_id=customer)), customers))
    assert [answer.items[0].item_id for answer in answers] == [f"for {customer}" for customer in customers]


def who(customer_id: str) -> CustomerProfile | None:
    """Everybody has a profile but "nobody"."""
    if customer_id == "nobody":
        return None
    return CustomerProfile(customer_id, "s1", "Tea", "low", "new", 2.5, 0.5, 28.0, dt.datetime(2018, 1, 1, tzinfo=dt.UTC), 0.75)


def no_profile(stub: RecommenderServiceStub, **fields: str) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        stub.GetCustomerProfile(pb.GetCustomerProfileRequest(**fields))
    return error.value.code(), error.value.details()


def test_a_profile_is_of_the_customer_asked_for_and_names_its_bundle_and_request(servers: Any) -> None:
    stub = servers.stub(profile=who)
    answer = stub.GetCustomerProfile(pb.GetCustomerProfileRequest(customer_id="c7", request_id="r1"))
    assert (answer.customer_id, answer.request_id, answer.bundle_version, answer.segment.name) == ("c7", "r1", "b1", "Tea")
    assert stub.GetCustomerProfile(pb.GetCustomerProfileRequest(customer_id="c7")).request_id


def test_a_customer_without_purchases_is_not_found(servers: Any) -> None:
    message = "bundle b1 has no purchase of customer 'nobody' before 2018-01-01T00:00:00+00:00"
    assert no_profile(servers.stub(profile=who), customer_id="nobody") == (grpc.StatusCode.NOT_FOUND, message)


def test_a_profile_of_nobody_in_particular_or_of_too_long_an_id_is_refused(servers: Any) -> None:
    stub = servers.stub(profile=who)
    assert no_profile(stub) == (grpc.StatusCode.INVALID_ARGUMENT, "customer_id: must not be empty")
    for field in ("customer_id", "request_id"):
        code, message = no_profile(stub, **{"customer_id": "c1", field: "x" * 129})
        assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, f"{field}: must have at most 128 characters, got 129")


def test_profiles_too_are_unavailable_without_a_bundle_and_fail_without_telling(servers: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = servers.server(servers.bundles(), loaded=False)
    assert no_profile(RecommenderServiceStub(servers.channel(server.port)), customer_id="c1")[0] == grpc.StatusCode.UNAVAILABLE

    def broken(_customer_id: str) -> CustomerProfile | None:
        raise ValueError("inner secret")

    with caplog.at_level(logging.ERROR, "serving"):
        code, message = no_profile(servers.stub(profile=broken), customer_id="c1", request_id="r7")
    assert (code, "'r7'" in message, "secret" in message) == (grpc.StatusCode.INTERNAL, True, False)
    assert "inner secret" in caplog.text

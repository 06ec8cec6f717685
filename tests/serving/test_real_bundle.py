"""The whole way from the wire to a trained bundle and back."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from recsys.protocols import Unlimited
from recsys.types import aware
from segmentation.profile import CustomerProfile
from serving.bundles import Bundles, Served
from serving.convert import to_query, to_response
from serving.convert_profile import to_profile
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> Served:
    return Served.newest(request.getfixturevalue("small_bundle"))


@pytest.fixture
def stub(servers: Any, real: Served) -> RecommenderServiceStub:
    return client(servers, real)


def client(servers: Any, real: Served, **more: Any) -> RecommenderServiceStub:
    return RecommenderServiceStub(servers.channel(servers.server(Bundles(Path(), lambda _folder: real), **more).port))


def request(real: Served, **fields: Any) -> pb.RecommendRequest:
    """A request the day after the bundle's data end."""
    made = pb.RecommendRequest(request_id="r1", **fields)
    made.query_time.FromDatetime(real.as_of + dt.timedelta(days=1))
    return made


def in_process(real: Served, asked: pb.RecommendRequest) -> pb.RecommendResponse:
    query = to_query(asked, real.as_of)
    return to_response(real.engine.recommend(query, real.snapshot, Unlimited()))


def test_a_known_customer_gets_items_and_learns_what_we_know(stub: RecommenderServiceStub, real: Served) -> None:
    customer = next(id_ for id_ in real.bundle.customers.ids if real.bundle.profile(id_))
    answer = stub.Recommend(request(real, customer_id=customer, k=5))
    assert [item.rank for item in answer.items] == [1, 2, 3, 4, 5]
    assert all(item.sources and item.reasons and 0 < item.score <= 1 for item in answer.items)
    assert answer.is_known_customer
    assert answer.segment.id
    assert answer.segment.name
    assert answer.tier != pb.TIER_UNSPECIFIED
    assert answer.stage != pb.STAGE_UNSPECIFIED
    assert answer.bundle_version == real.bundle.version
    assert not answer.degraded_parts


def test_every_profile_comes_with_reasons_that_its_history_bears_out(stub: RecommenderServiceStub, real: Served) -> None:
    customers = [id_ for id_ in real.bundle.customers.ids if real.bundle.profile(id_)]
    for customer in customers:
        answer = stub.GetCustomerProfile(pb.GetCustomerProfileRequest(request_id="r1", customer_id=customer))
        assert answer == to_profile(profile_of(real, customer), "r1", real.bundle.version)
        history = real.bundle.history(customer)
        bought = history.times[np.isin(history.events, real.bundle.positive_events)]
        reasons = {reason.code: reason for reason in answer.reasons}
        assert reasons[pb.PROFILE_REASON_CODE_LAST_ORDER].time.ToDatetime(tzinfo=dt.UTC) == aware(bought.max())
        assert reasons[pb.PROFILE_REASON_CODE_ORDERS].time.ToDatetime(tzinfo=dt.UTC) == aware(bought.min())
        assert answer.as_of_time.ToDatetime(tzinfo=dt.UTC) == real.as_of
        assert {part for reason in answer.reasons for part in reason.parts} == set(pb.ProfilePart.values()) - {pb.PROFILE_PART_UNSPECIFIED}
        strengths = [reason.strength for reason in answer.reasons]
        assert strengths == sorted(strengths, reverse=True)


def profile_of(real: Served, customer: str) -> CustomerProfile:
    profile = real.bundle.profile(customer)
    assert profile is not None
    return profile


def test_who_never_bought_has_no_profile_to_get(stub: RecommenderServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetCustomerProfile(pb.GetCustomerProfileRequest(customer_id="nobody we know"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert "has no purchase of customer 'nobody we know' before 2024-" in refused.value.details()


def test_a_guest_is_served_from_context_and_unknown_ids_are_reported(stub: RecommenderServiceStub, real: Served) -> None:
    looked_at = real.bundle.catalogue.items.ids[0]
    answer = stub.Recommend(request(real, context_item_ids=[looked_at, "no such item"], cart_item_ids=["nor this"]))
    assert answer.items
    assert looked_at not in [item.item_id for item in answer.items]
    assert list(answer.missing_item_ids) == ["no such item", "nor this"]
    assert not answer.is_known_customer
    assert not answer.HasField("segment")


def test_a_stranger_is_served_like_a_guest(stub: RecommenderServiceStub, real: Served) -> None:
    stranger, guest = (stub.Recommend(request(real, customer_id=customer)) for customer in ("nobody we know", ""))
    assert stranger == guest


def test_fewer_items_than_asked_for_are_no_error(stub: RecommenderServiceStub, real: Served) -> None:
    ids = real.bundle.catalogue.items.ids
    answer = stub.Recommend(request(real, k=500, excluded_item_ids=ids[3:1003]))
    given = [item.item_id for item in answer.items]
    assert len(given) == len(set(given)) < 500
    assert not set(given) & set(ids[3:1003])


def test_an_expired_budget_leaves_parts_out_and_still_gives_items(servers: Any, real: Served, hurried_clock: Callable[[], float]) -> None:
    answer = client(servers, real, clock=hurried_clock).Recommend(request(real))
    assert answer.items
    assert answer.degraded_parts


def test_calls_at_once_get_the_answers_of_the_engine_in_process(stub: RecommenderServiceStub, real: Served) -> None:
    asked = [request(real, customer_id=customer) for customer in real.bundle.customers.ids[:50]]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(stub.Recommend, asked))
    assert answers == [in_process(real, one) for one in asked]


def test_loading_and_answering_imports_none_of_the_libraries_of_training(small_bundle: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import serving.server\n"
        "from recsys.types import Query; from serving.bundles import Served\n"
        "served = Served.newest(Path(sys.argv[1]))\n"
        "assert served.engine.recommend(Query(5, served.as_of), served.snapshot).items\n"
        "assert any(served.bundle.profile(customer) for customer in served.bundle.customers.ids)\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'implicit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(small_bundle)], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"

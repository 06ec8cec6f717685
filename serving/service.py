"""What happens on each call: validate, convert, ask the engine, convert back."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Callable
from typing import TypeVar

import grpc

from recsys.types import Query
from serving.bundles import Bundles, Served
from serving.convert import InvalidField, to_customer_id, to_query, to_response
from serving.convert_profile import to_profile
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceServicer
from serving.settings import ServerSettings

log = logging.getLogger(__name__)

_Request = TypeVar("_Request", pb.RecommendRequest, pb.GetCustomerProfileRequest)
_Answer = TypeVar("_Answer")


class NoProfile(LookupError):
    """There is no profile of the customer asked for."""


class DeadlineBudget:
    """The engine's budget for one call: expires once the given seconds have passed on the given clock."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def expired(self) -> bool:
        return self._clock() >= self._end

    def finished(self, stage: str) -> None:
        return None


class RecommenderService(RecommenderServiceServicer):
    """Answers from the bundle that is current when a call arrives.

    clock: seconds that only go forward, for budgets; now: the time of queries that give none, aware.
    """

    def __init__(self, bundles: Bundles, settings: ServerSettings, clock: Callable[[], float], now: Callable[[], dt.datetime]) -> None:
        self._bundles = bundles
        self._settings = settings
        self._clock = clock
        self._now = now

    def Recommend(self, request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        budget = self._budget(context)
        return self._answered(request, context, lambda served: self._recommendation(request, served, budget))

    def GetCustomerProfile(self, request: pb.GetCustomerProfileRequest, context: grpc.ServicerContext) -> pb.CustomerProfile:
        return self._answered(request, context, lambda served: _profile(request, served))

    def _answered(self, request: _Request, context: grpc.ServicerContext, answer: Callable[[Served], _Answer]) -> _Answer:
        """What `answer` makes of the bundle in use; what it raises becomes the status that the proto file says."""
        served = self._bundles.current
        if served is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no bundle is loaded yet")
        request.request_id = request.request_id or uuid.uuid4().hex
        try:
            return answer(served)
        except InvalidField as error:
            code, message = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except NoProfile as error:
            code, message = grpc.StatusCode.NOT_FOUND, str(error)
        except Exception:
            log.exception("request %r failed", request.request_id)
            code, message = grpc.StatusCode.INTERNAL, f"request {request.request_id!r} failed; the server's log has the cause under this id"
        context.abort(code, message)

    def _recommendation(self, request: pb.RecommendRequest, served: Served, budget: DeadlineBudget) -> pb.RecommendResponse:
        query = to_query(request, self._now())
        _check_against(query, served)
        recommendation = served.engine.recommend(query, served.snapshot, budget)
        response = to_response(recommendation)
        if request.validate_only:
            response.ClearField("items")
        return response

    def _budget(self, context: grpc.ServicerContext) -> DeadlineBudget:
        remaining = context.time_remaining()
        seconds = self._settings.budget_ms / 1000
        if remaining is not None:
            seconds = min(seconds, remaining - self._settings.reply_ms / 1000)
        return DeadlineBudget(seconds, self._clock)


def _profile(request: pb.GetCustomerProfileRequest, served: Served) -> pb.CustomerProfile:
    customer_id, request_id = to_customer_id(request)
    profile = served.bundle.profile(customer_id)
    if profile is None:
        raise NoProfile(f"bundle {served.bundle.version} has no purchase of customer {customer_id!r} before {served.as_of.isoformat()}")
    return to_profile(profile, request_id, served.bundle.version)


def _check_against(query: Query, served: Served) -> None:
    """Refuse what only this bundle cannot answer."""
    if query.time < served.as_of:
        problem = f"must not be earlier than {served.as_of.isoformat()}, where the data of bundle {served.bundle.version} end"
        raise InvalidField("query_time", f"{problem}; got {query.time.isoformat()}")
    strategies = served.snapshot.strategies.strategies
    if query.strategy is not None and query.strategy not in strategies:
        raise InvalidField("strategy", f"there is no {query.strategy!r}; there are: {', '.join(sorted(strategies))}")

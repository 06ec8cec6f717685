"""A real server on a free port, around an engine that a test writes itself."""

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from recsys.config import Config
from recsys.protocols import Budget
from recsys.strategy import StrategySet
from recsys.types import Query, Recommendation, RecommendedItem, Trace
from segmentation.profile import CustomerProfile
from serving.bundles import Bundles, Served
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub
from serving.server import RunningServer, start_server
from serving.settings import ServerSettings

AS_OF = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2018, 2, 1, tzinfo=dt.UTC)

Answer = Callable[[Query, Budget], Recommendation]
Profile = Callable[[str], CustomerProfile | None]


class Servers:
    """Servers and channels that end with the test, and stand-ins for what is behind them."""

    as_of = AS_OF
    now = NOW

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def server(self, bundles: Bundles, loaded: bool = True, clock: Callable[[], float] = time.monotonic) -> RunningServer:
        server = start_server(ServerSettings(port=0), bundles, clock, lambda: NOW)
        self._stack.callback(server.stop)
        if loaded:
            server.reload()
        return server

    def channel(self, port: int) -> grpc.Channel:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stack.callback(channel.close)
        return channel

    def stub(
        self, answer: Answer | None = None, clock: Callable[[], float] = time.monotonic, profile: Profile | None = None
    ) -> RecommenderServiceStub:
        """A client of a server that answers so."""
        return RecommenderServiceStub(self.channel(self.server(self.bundles(answer, profile), clock=clock).port))

    def bundles(self, answer: Answer | None = None, profile: Profile | None = None) -> Bundles:
        """Bundles that always load a stand-in with this answer."""
        return Bundles(Path(), lambda _folder: self.served(answer, profile=profile))

    def served(self, answer: Answer | None = None, version: str = "b1", profile: Profile | None = None) -> Served:
        """A bundle that only has what the server asks of it."""
        bundle = SimpleNamespace(version=version, profile=profile or (lambda _customer_id: None))
        engine = SimpleNamespace(recommend=lambda query, _snapshot, budget: (answer or self.one_item)(query, budget))
        snapshot = SimpleNamespace(strategies=StrategySet.of(Config()))
        return Served(cast(Any, bundle), cast(Any, engine), cast(Any, snapshot), AS_OF)

    @staticmethod
    def one_item(query: Query, budget: Budget) -> Recommendation:
        """An answer whose only item is named after the customer, without the parts that the budget does not allow."""
        degraded = ("source slow: out of time",) if budget.expired() else ()
        item = RecommendedItem(f"for {query.customer_id}", 1.0, 1, (), ())
        return Recommendation(query, (item,), Trace("home", "s1", "b1", degraded=degraded))


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def hurried_clock() -> Callable[[], float]:
    """A clock by which every budget has expired when it is first asked."""
    return itertools.count(step=1000).__next__

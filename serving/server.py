"""Starts and stops the gRPC server."""

from __future__ import annotations

import datetime as dt
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from recsys.errors import ConfigError
from recsys.threads import limit_this_thread, limit_threads
from serving.bundles import Bundles, Served
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import add_RecommenderServiceServicer_to_server
from serving.service import RecommenderService
from serving.settings import ServerSettings

log = logging.getLogger(__name__)

SERVICES = ("", pb.DESCRIPTOR.services_by_name["RecommenderService"].full_name)
"""Names the health service answers for; the empty one means the whole server."""


@dataclass(frozen=True)
class RunningServer:
    """A server that is listening. port: where, also when any free one was asked for."""

    port: int
    bundles: Bundles
    server: grpc.Server
    health: health.HealthServicer
    grace_seconds: float

    def reload(self) -> Served:
        """Answer from the newest bundle from now on, and be healthy; on a `BundleError` all stays as it was."""
        served = self.bundles.reload()
        self.report_health()
        log.info("answering from bundle %s", served.bundle.version)
        return served

    def report_health(self) -> None:
        """SERVING where there is a bundle to answer from, else NOT_SERVING."""
        status = health_pb2.HealthCheckResponse.NOT_SERVING if self.bundles.current is None else health_pb2.HealthCheckResponse.SERVING
        for service in SERVICES:
            self.health.set(service, status)

    def stop(self) -> None:
        """Say NOT_SERVING, refuse new calls, let those in flight finish within the grace; returns when all is over."""
        self.health.enter_graceful_shutdown()
        self.server.stop(self.grace_seconds).wait()


def start_server(
    settings: ServerSettings,
    bundles: Bundles,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> RunningServer:
    """Listen, with health checking and reflection; NOT_SERVING until a bundle is loaded.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    options = [("grpc.so_reuseport", 0)]  # two servers on one port would share its calls at random
    server = grpc.server(ThreadPoolExecutor(settings.max_workers, "recommend", limit_this_thread, (1,)), options=options)
    add_RecommenderServiceServicer_to_server(RecommenderService(bundles, settings, clock, now), server)
    health_servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection([*SERVICES[1:], health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(f"{settings.host}:{settings.port}")
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}; is another server there?") from error
    running = RunningServer(port, bundles, server, health_servicer, settings.grace_seconds)
    running.report_health()
    server.start()
    return running


def serve(settings: ServerSettings, bundles: Bundles, announce: Callable[[str], None]) -> None:
    """Load the newest bundle and answer until SIGTERM or SIGINT; SIGHUP loads the newest bundle again. Main thread only.

    announce: told one line once calls are answered.

    Raises:
        BundleError: there is no bundle to start with, or it is damaged.
        ConfigError: the address cannot be listened on.
    """
    with limit_threads(1), _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        server = start_server(settings, bundles)
        try:
            served = server.reload()
            announce(f"serving bundle {served.bundle.version} on {settings.host}:{server.port}")
            while (number := received.recv(1)[0]) not in (signal.SIGTERM, signal.SIGINT):
                if number == signal.SIGHUP:
                    _try_reload(server)
        finally:
            server.stop()


def _try_reload(server: RunningServer) -> None:
    try:
        server.reload()
    except Exception:
        log.exception("the newest bundle cannot be used; the one in use stays")


@contextmanager
def _signals(*numbers: signal.Signals) -> Iterator[socket.socket]:
    """A socket that gives the number of each of these signals as a byte, in place of what they did before.

    A queue filled by handlers would not do: a handler that becomes due just before the wait runs only after it.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer:
        before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
        wakeup = signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

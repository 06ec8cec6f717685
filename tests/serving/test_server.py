import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from recsys.errors import BundleError, ConfigError
from recsys.protocols import Budget
from recsys.types import Query, Recommendation
from serving.bundles import Bundles, Served
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub
from serving.server import SERVICES, serve, start_server
from serving.settings import ServerSettings

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel: grpc.Channel) -> list[int]:
    stub = health_pb2_grpc.HealthStub(channel)
    return [stub.Check(health_pb2.HealthCheckRequest(service=service)).status for service in SERVICES]


def test_health_is_serving_only_once_a_bundle_is_loaded(servers: Any) -> None:
    server = servers.server(servers.bundles(), loaded=False)
    channel = servers.channel(server.port)
    assert health_of(channel) == [NOT_SERVING, NOT_SERVING]
    server.reload()
    assert health_of(channel) == [SERVING, SERVING]


def test_reflection_lists_the_service_and_shows_its_messages(servers: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(servers.channel(servers.server(servers.bundles()).port))
    assert "recsys.v1.RecommenderService" in database.get_services()
    assert "RecommendRequest" in [message.name for message in database.FindFileContainingSymbol("recsys.v1.RecommendRequest").message_type]


def test_a_bundle_that_cannot_be_loaded_leaves_the_one_in_use(servers: Any) -> None:
    loads = iter([servers.served(version="b1"), BundleError("b2: items.npy is damaged"), servers.served(version="b3")])

    def load(_folder: Path) -> Served:
        loaded = next(loads)
        if isinstance(loaded, BundleError):
            raise loaded
        return loaded

    server = servers.server(Bundles(Path(), load))
    with pytest.raises(BundleError, match=r"items\.npy"):
        server.reload()
    assert server.bundles.current.bundle.version == "b1"
    assert health_of(servers.channel(server.port)) == [SERVING, SERVING]
    assert server.reload().bundle.version == "b3"


def test_a_call_in_flight_finishes_during_a_stop_and_later_ones_are_refused(servers: Any) -> None:
    entered, release = threading.Event(), threading.Event()

    def answer(query: Query, budget: Budget) -> Recommendation:
        entered.set()
        assert release.wait(60)
        return servers.one_item(query, budget)

    server = servers.server(servers.bundles(answer))
    stub = RecommenderServiceStub(servers.channel(server.port))
    watch = health_pb2_grpc.HealthStub(servers.channel(server.port)).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == SERVING
    call = stub.Recommend.future(pb.RecommendRequest(customer_id="c1"))
    assert entered.wait(60)

    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert next(watch).status == NOT_SERVING
    watch.cancel()
    release.set()
    assert call.result(60).items[0].item_id == "for c1"
    stopping.join(60)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Recommend(pb.RecommendRequest())
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_port_in_use_is_refused_by_its_address(servers: Any) -> None:
    port = servers.server(servers.bundles()).port
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}"):
        start_server(ServerSettings(port=port), servers.bundles())


def test_serve_takes_hup_as_reload_that_may_fail_and_term_as_stop(servers: Any) -> None:
    reloaded = threading.Event()
    versions = iter(["b0", "b1"])
    answers = []
    threads = []

    def load(_folder: Path) -> Served:
        version = next(versions)
        if version == "b1":
            reloaded.set()
            raise OSError("the disk is gone")
        return servers.served(version=version)

    def client(line: str) -> None:
        stub = RecommenderServiceStub(servers.channel(int(line.rpartition(":")[2])))
        os.kill(os.getpid(), signal.SIGHUP)
        assert reloaded.wait(60)
        answers.append(stub.Recommend(pb.RecommendRequest(customer_id="c1")))
        os.kill(os.getpid(), signal.SIGTERM)

    def announce(line: str) -> None:
        assert line.startswith("serving bundle b0 on 127.0.0.1:")
        threads.append(threading.Thread(target=client, args=[line]))
        threads[0].start()

    before = signal.getsignal(signal.SIGTERM)
    serve(ServerSettings(port=0), Bundles(Path(), load), announce)
    threads[0].join(60)
    assert [answer.items[0].item_id for answer in answers] == ["for c1"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_serve_does_not_start_without_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle to serve in"):
        serve(ServerSettings(port=0), Bundles(tmp_path), lambda _line: None)


def test_the_server_loads_none_of_the_libraries_of_training() -> None:
    script = "import sys, serving.server; print(sorted({'torch', 'transformers', 'pandas', 'implicit'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"

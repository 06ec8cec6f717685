"""How long one answer takes, in process and over gRPC on this machine, and where the time goes.

    python -m benchmarks.latency bundles/ --queries 500

One caller, one query after another, known customers in random order, k = 20. The stages are those of the engine; "bare LightGBM" is
the ranker's model alone on a matrix of the size that the strategy's candidates have, in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
from rich import box
from rich.table import Table

from recsys.engine import Engine
from recsys.threads import limit_threads
from recsys.types import Query
from segrec.console import Stopwatch, output
from serving.bundles import Bundles, Served, newest_bundle
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub
from serving.server import start_server
from serving.settings import ServerSettings

K = 20
SEED = 3


def main() -> None:
    """Measure and print medians and 95th percentiles in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="?", default=Path("bundles"))
    parser.add_argument("--queries", type=int, default=500)
    args = parser.parse_args()
    path = newest_bundle(args.bundles)
    served = Served.newest(path)
    customers = np.random.default_rng(SEED).choice(np.array(served.bundle.customers.ids), args.queries).tolist()
    with limit_threads(1):
        _report(path, served, customers, args.queries)


def _report(path: Path, served: Served, customers: list[str], n_queries: int) -> None:
    for strategy in served.snapshot.strategies.strategies:
        table = Table(title=f"bundle {served.bundle.version}, strategy {strategy}, {n_queries} queries", box=box.SIMPLE_HEAD)
        for heading in ("what", "p50 ms", "p95 ms"):
            table.add_column(heading, justify="left" if heading == "what" else "right")
        for name, times in (_in_process(served, strategy, customers) | _over_grpc(path, served, strategy, customers)).items():
            table.add_row(name, f"{np.median(times):.2f}", f"{np.quantile(times, 0.95):.2f}")
        output().print(table)


def _in_process(served: Served, strategy: str, customers: list[str]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    engine = Engine(served.bundle)
    for customer in customers:
        watch = Stopwatch()
        query = Query(k=K, time=served.as_of, customer_id=customer, strategy=strategy)
        times["whole call, in process"].append(
            _milliseconds(lambda query=query, watch=watch: engine.recommend(query, served.snapshot, watch))
        )  # type: ignore[misc]
        for stage, milliseconds in watch.stages:
            times[f"  {stage}"].append(milliseconds)
    name = served.snapshot.strategies.strategies[strategy].ranker
    if name is not None:
        n_candidates = sum(served.snapshot.strategies.strategies[strategy].sources.values()) // 2
        rows = np.random.default_rng(SEED).random((n_candidates, len(served.bundle.features.names)), np.float32)
        times[f"bare LightGBM, {n_candidates} rows"] = [_milliseconds(lambda: served.bundle.rankers[name].score(rows)) for _ in customers]
    return times


def _over_grpc(path: Path, served: Served, strategy: str, customers: list[str]) -> dict[str, list[float]]:
    server = start_server(ServerSettings(port=0), Bundles(path))
    try:
        server.reload()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = RecommenderServiceStub(channel)
            requests = [pb.RecommendRequest(k=K, customer_id=customer, strategy=strategy) for customer in customers]
            for request in requests:
                request.query_time.FromDatetime(served.as_of)
            return {"whole call, over gRPC": [_milliseconds(lambda request=request: stub.Recommend(request)) for request in requests]}  # type: ignore[misc]
    finally:
        server.stop()


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()

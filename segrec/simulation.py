"""Strategies met by planted customers: what each brings, as expected by the truth and as it came, in process or through a real server."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa

from offline_eval.baselines import popularity
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError, ConfigError, DataError
from recsys.selection.eligibility import on_sale
from recsys.synthetic.shopper import Outcomes, Recommend, Shoppers, Visit, simulate, simulate_best
from recsys.synthetic.writing import SHOP
from recsys.threads import limit_threads
from recsys.training.stages import Progress, silent
from recsys.types import STANDARD_EVENTS, History, Query, utc64
from segrec.planted import open_world, require_trained_on
from segrec.simulated import SimulationResult, compare
from serving.bundles import Bundles, newest_bundle
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub
from serving.server import start_server
from serving.settings import ServerSettings

POPULAR, RANDOM, BEST = "popularity, last 7 days", "random items", "best possible"
"""Names of what strategies are compared with; the last one knows the true model."""

_PATIENT_MS = 60_000.0
"""No part of an answer is left out for want of time: what is measured is the strategy, not the machine."""


@dataclass
class EngineSystem:
    """An engine in process under one strategy, which may be told of events."""

    engine: Engine
    snapshot: Snapshot
    strategy: str
    k: int

    def __call__(self, visit: Visit) -> tuple[str, ...]:
        """Item ids, best first.

        Raises:
            BundleError: a part of the bundle fails, so this is not what is to be measured.
        """
        query = Query(
            k=self.k,
            time=visit.time,
            customer_id=visit.customer_id,
            request_id=visit.request_id,
            visitor_id=visit.visitor_id,
            strategy=self.strategy,
        )
        answer = self.engine.recommend(query, self.snapshot)
        _require_whole(answer.trace.degraded, self.engine.bundle.version)
        return answer.item_ids

    def learn(self, events: pa.Table) -> None:
        """Know of events from now on: rows of the contract's interactions, oldest first, none older than what is known."""
        by_customer: dict[str, list[dict[str, Any]]] = {}
        for event in events.to_pylist():
            if event["customer_id"] is not None:
                by_customer.setdefault(event["customer_id"], []).insert(0, event)
        longer = {customer: self._longer(customer, newest_first) for customer, newest_first in by_customer.items()}
        self.snapshot = replace(self.snapshot, live={**self.snapshot.live, **longer})

    def _longer(self, customer: str, events: Sequence[Mapping[str, Any]]) -> History:
        older, number = self.snapshot.live.get(customer, History.empty()), self.engine.bundle.catalogue.items.number
        known = [event for event in events if number(event["item_id"]) is not None]
        newer = History(
            np.array([number(event["item_id"]) for event in known], np.int32),
            np.array([STANDARD_EVENTS.index(event["event"]) for event in known], np.int8),
            np.array([utc64(event["event_time"]) for event in known], "datetime64[us]"),
            np.array([np.nan if event["value"] is None else event["value"] for event in known], np.float32),
        )
        return History(*(np.concatenate(pair) for pair in zip(vars(newer).values(), vars(older).values(), strict=True)))


def engine_system(engine: Engine, snapshot: Snapshot, strategy: str, k: int) -> EngineSystem:
    """An engine in process; it knows what its bundle knows until it is told of events.

    Raises:
        ConfigError: there is no such strategy.
    """
    _require_strategy(strategy, snapshot)
    return EngineSystem(engine, snapshot, strategy, k)


@contextmanager
def server_system(address: str, strategy: str, k: int) -> Iterator[Recommend]:
    """A server as a storefront would ask it, for the time of the block. address: host:port."""
    with grpc.insecure_channel(address) as channel:
        stub = RecommenderServiceStub(channel)

        def ask(visit: Visit) -> tuple[str, ...]:
            customer, visitor = visit.customer_id or "", visit.visitor_id or ""
            request = pb.RecommendRequest(k=k, customer_id=customer, visitor_id=visitor, request_id=visit.request_id, strategy=strategy)
            request.query_time.FromDatetime(visit.time)
            answer = stub.Recommend(request)
            _require_whole(answer.degraded_parts, answer.bundle_version)
            return tuple(item.item_id for item in answer.items)

        yield ask


def popular_system(dataset: Dataset, bundle: Bundle, start: np.datetime64, k: int) -> Recommend:
    """The same list for everybody: what sold most in the 7 days before the start."""
    best = popularity(dataset, start, bundle.config.data.positive_events, on_sale(bundle.catalogue))
    return lambda visit: best([Query(k=k, time=visit.time)])[0]


def random_system(bundle: Bundle, k: int) -> Recommend:
    """Items that may be recommended, drawn for each visit; equal visits get equal lists."""
    ids = np.array(bundle.catalogue.items.ids)[on_sale(bundle.catalogue)]

    def draw(visit: Visit) -> list[str]:
        rng = np.random.default_rng(zlib.crc32(visit.request_id.encode()))
        drawn: list[str] = rng.choice(ids, min(k, len(ids)), replace=False).tolist()
        return drawn

    return draw


def simulate_world(
    folder: Path,
    bundle_path: Path,
    n_customers: int,
    days: float,
    k: int,
    strategies: tuple[str, ...],
    over_grpc: bool = False,
    progress: Progress = silent,
    *,
    by: str | None = None,
    learns: bool = False,
    seed: int = 0,
) -> SimulationResult:
    """What strategies of a bundle bring in the days after it, beside popularity, random items and the best possible.

    Args:
        folder: a written world with its shop imported beside it.
        bundle_path: a bundle or a folder of them, which ends `days` or more before the world does, such as a twin.
        n_customers: the first that come in those days.
        strategies: names of the bundle; all is compared with the first.
        over_grpc: ask a server that is started for it, instead of the engine in process.
        by: "persona" = figures of each planted segment too.
        learns: tell the engine in process what came of each list; else it knows what its bundle knows.
        seed: of the customers' luck.

    Raises:
        ConfigError: the bundle has no such strategy, or an option is impossible.
        DataError: the folder holds no world, the bundle is not of its shop, or the world ends before the period does.
        BundleError: the bundle is damaged, or a part of it fails.
    """
    path = newest_bundle(bundle_path)
    bundle, dataset = Bundle.load(path), Dataset.load(folder / SHOP)
    _require_possible(bundle, strategies, by, learns and over_grpc)
    shoppers = _shoppers(folder, dataset, bundle, n_customers, days, seed)
    with limit_threads(1):
        if over_grpc:
            outcomes = _asked_server(path, shoppers, strategies, k, progress)
        else:
            outcomes = _asked_engine(bundle, shoppers, strategies, k, learns, progress)
        outcomes |= _baselines(dataset, bundle, shoppers, k, progress)
    options = {"k": k, "over": "gRPC" if over_grpc else "engine in process", "learns": learns, "seed": seed}
    about = {"world": str(folder), "bundle": bundle.version, "from": str(bundle.as_of), "days": days, **_sizes(shoppers), **options}
    return SimulationResult(about, compare(outcomes, shoppers, by))


def _sizes(shoppers: Shoppers) -> dict[str, int]:
    return {"customers": len(shoppers.coming.numbers), "visits": len(shoppers.visits)}


def _require_possible(bundle: Bundle, strategies: Sequence[str], by: str | None, is_server_to_learn: bool) -> None:
    if not strategies:
        raise ConfigError("name at least one strategy of the bundle")
    for strategy in strategies:
        _require_strategy(strategy, Snapshot.of(bundle))
    if by not in (None, "persona"):
        raise ConfigError(f"figures can be split by persona, not by {by!r}")
    if is_server_to_learn:
        raise ConfigError("a server cannot be told of events; simulate one that learns with the engine in process")


def _shoppers(folder: Path, dataset: Dataset, bundle: Bundle, n_customers: int, days: float, seed: int) -> Shoppers:
    """Who comes in the days after the bundle, which must be of the world's own shop."""
    as_of = require_trained_on(bundle, folder, dataset)
    end = as_of + np.timedelta64(round(days * 86_400), "s")
    try:
        return Shoppers.of(open_world(folder), as_of, end, n_customers, seed)
    except ValueError as error:
        raise DataError(f"{error}; take a bundle trained as of an earlier time, such as a twin, or fewer days") from error


def _asked_engine(
    bundle: Bundle, shoppers: Shoppers, strategies: Sequence[str], k: int, learns: bool, progress: Progress
) -> dict[str, Outcomes]:
    engine = Engine(bundle)
    outcomes = {}
    for strategy in strategies:
        system = engine_system(engine, Snapshot.of(bundle), strategy, k)
        outcomes[strategy] = simulate(shoppers, system, k, system.learn if learns else None, _named(progress, strategy))
    return outcomes


def _asked_server(path: Path, shoppers: Shoppers, strategies: Sequence[str], k: int, progress: Progress) -> dict[str, Outcomes]:
    server = start_server(ServerSettings(port=0, budget_ms=_PATIENT_MS), Bundles(path))
    outcomes = {}
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.reload()
        for strategy in strategies:
            system = stack.enter_context(server_system(f"127.0.0.1:{server.port}", strategy, k))
            outcomes[strategy] = simulate(shoppers, system, k, progress=_named(progress, strategy))
    return outcomes


def _baselines(dataset: Dataset, bundle: Bundle, shoppers: Shoppers, k: int, progress: Progress) -> dict[str, Outcomes]:
    assert bundle.as_of is not None  # `_shoppers` has seen to it
    popular = popular_system(dataset, bundle, bundle.as_of, k)
    return {
        POPULAR: simulate(shoppers, popular, k, progress=_named(progress, POPULAR)),
        RANDOM: simulate(shoppers, random_system(bundle, k), k, progress=_named(progress, RANDOM)),
        BEST: simulate_best(shoppers, k, _named(progress, BEST)),
    }


def _named(progress: Progress, system: str) -> Callable[[int, int | None, str], None]:
    return lambda done, total, what: progress(done, total, f"{what}: {system}")


def _require_strategy(strategy: str, snapshot: Snapshot) -> None:
    names = snapshot.strategies.strategies
    if strategy not in names:
        raise ConfigError(f"there is no strategy {strategy!r}; there are: {', '.join(sorted(names))}")


def _require_whole(degraded: Sequence[str], version: str) -> None:
    if degraded:
        raise BundleError(f"bundle {version} answers without a part that failed, which is not what is to be measured: {degraded[0]}")

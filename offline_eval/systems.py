"""The engine as a system to evaluate: the same request path that the server runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.protocols import Unlimited
from recsys.strategy import StrategySet
from recsys.threads import limit_threads
from recsys.types import Query, utc64


@dataclass(frozen=True)
class EngineSystem:
    """An engine under one strategy, as something that `evaluate` can ask; strategy None = the engine chooses as in service."""

    engine: Engine
    snapshot: Snapshot
    strategy: str | None = None

    def __call__(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """Item ids for each query, best first.

        Raises:
            ValueError: the bundle knows what happened after a query, or has no time at all.
            BundleError: a part of it fails.
        """
        self._check_times(queries)
        asked = [replace(query, strategy=self.strategy) for query in queries]
        with limit_threads(1):
            answers = self.engine.recommend_many(asked, self.snapshot, Unlimited())
        degraded = next((part for answer in answers for part in answer.trace.degraded), None)
        if degraded is not None:
            raise BundleError(
                f"bundle {self.engine.bundle.version} answers without a part that failed, which is not what is to be measured: {degraded}"
            )
        return [answer.item_ids for answer in answers]

    def _check_times(self, queries: Sequence[Query]) -> None:
        bundle = self.engine.bundle
        if bundle.as_of is None:
            raise ValueError(f"bundle {bundle.version} comes from a split by position and has no as_of; it cannot be evaluated at a time")
        early = next((query for query in queries if utc64(query.time) < bundle.as_of), None)
        if early is not None:
            raise ValueError(
                f"query {early.request_id} at {early.time.isoformat()} is earlier than bundle {bundle.version} (as of {bundle.as_of}), "
                "which knows what happened after it; evaluate a bundle trained as of the cut"
            )


def source_systems(engine: Engine, snapshot: Snapshot, strategy: str, k: int) -> dict[str, EngineSystem]:
    """Each source of a strategy alone, unranked, under the strategy's filters: what the whole must be better than.

    Every source is asked for k items, the longest list wanted. Where it has nothing to say of a customer, the engine's last
    resort answers, as it would in service.
    """
    whole = snapshot.strategies.strategies[strategy]
    alone = {name: StrategyConfig(sources={name: k}, filters=whole.filters) for name in whole.sources}
    strategies = StrategySet({**snapshot.strategies.strategies, **alone}, snapshot.strategies.default, snapshot.strategies.choices)
    return {name: EngineSystem(engine, replace(snapshot, strategies=strategies), name) for name in alone}


def tiers(bundle: Bundle, customers: Iterable[str]) -> dict[str, str]:
    """Value tier of each customer whom the bundle has a profile of, for the slices of `evaluate`."""
    profiles = ((customer, bundle.profile(customer)) for customer in customers)
    return {customer: profile.tier for customer, profile in profiles if profile is not None}

"""Which strategy answers a query; strategies are data and may be replaced without a new bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel

from recsys.config import Choice, Config, StrategyConfig
from recsys.errors import ConfigError
from recsys.types import Query
from segmentation.profile import CustomerProfile


@dataclass(frozen=True)
class StrategySet:
    """Named strategies and the rules that pick one; the first rule that fits counts."""

    strategies: Mapping[str, StrategyConfig]
    default: str
    choices: tuple[Choice, ...]

    @staticmethod
    def of(config: Config) -> StrategySet:
        """The set that a configuration describes."""
        return StrategySet(config.strategies, config.default_strategy, config.choose)

    @cached_property
    def version(self) -> str:
        """Changes whenever anything in the set does."""
        parts: list[BaseModel | str] = [self.default, *self.choices]
        parts += [part for name in sorted(self.strategies) for part in (name, self.strategies[name])]
        text = "\n".join(part if isinstance(part, str) else part.model_dump_json() for part in parts)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def choose(self, query: Query, profile: CustomerProfile | None) -> tuple[str, StrategyConfig]:
        """Name and content of the strategy for a query.

        Raises:
            ConfigError: the query names a strategy that does not exist.
        """
        name = query.strategy
        if name is None:
            name = next((choice.strategy for choice in self.choices if _fits(choice, query, profile)), self.default)
        if name not in self.strategies:
            raise ConfigError(f"there is no strategy {name!r}; there are: {', '.join(sorted(self.strategies))}")
        return name, self.strategies[name]


def _fits(choice: Choice, query: Query, profile: CustomerProfile | None) -> bool:
    if choice.placements and query.placement not in choice.placements:
        return False
    if profile is None:
        return not (choice.tiers or choice.segments or choice.stages)
    return (
        (not choice.tiers or profile.tier in choice.tiers)
        and (not choice.segments or profile.segment in choice.segments)
        and (not choice.stages or profile.stage in choice.stages)
    )

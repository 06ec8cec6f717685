"""What a strategy's rules apply to, and what is told of them afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recsys.config import ItemRule, StrategyConfig
from recsys.data.catalogue import EVERY_ITEM, Catalogue
from recsys.types import Flags, Ints, RuleEffect

DIVERSITY = "diversity"


def rule_names(strategy: StrategyConfig) -> tuple[str, ...]:
    """Every rule of a strategy by its place there, in the order in which they act."""
    return (
        *(f"exclude[{number}]" for number in range(len(strategy.exclude))),
        *(f"boosts[{number}]" for number in range(len(strategy.boosts))),
        *((DIVERSITY,) if strategy.diversity > 0 else ()),
        *(f"max_per.{attribute}" for attribute in strategy.max_per),
        *(f"pins.{rank}" for rank in sorted(strategy.pins)),
    )


def named_by(rule: ItemRule, catalogue: Catalogue, items: Ints | slice = EVERY_ITEM) -> Flags:
    """Which of the items a rule applies to; what the catalogue does not have matches nothing. bool, one per item of `items`"""
    numbers = np.arange(len(catalogue), dtype=np.int32)[items] if isinstance(items, slice) else items
    named = np.isin(numbers, catalogue.items.numbers(rule.item_ids))
    return np.asarray(named | catalogue.of_brands(rule.brands, items) | catalogue.in_categories(rule.categories, items), np.bool_)


def rule_effects(strategy: StrategyConfig, acted: Sequence[Sequence[str]], left_out: Mapping[str, int]) -> tuple[RuleEffect, ...]:
    """One entry for each rule of the strategy, also for those that did nothing.

    acted:    names of the rules that acted on each item shown
    left_out: by name of rule, what it kept out; 0 where missing
    """
    shown = [name for names in acted for name in names]
    return tuple(RuleEffect(name, shown.count(name), left_out.get(name, 0)) for name in rule_names(strategy))

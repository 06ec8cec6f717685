"""Which items may be shown in answer to one query; computed once, before retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.config import StrategyConfig
from recsys.data.catalogue import Catalogue
from recsys.protocols import ResolvedQuery
from recsys.selection.rules import named_by
from recsys.types import Flags, Ints


@dataclass(frozen=True)
class Eligible:
    """What may be recommended.

    flags:    bool (n_items,)
    left_out: by name of each rule that excludes, how many items could be recommended but for it
    """

    flags: Flags
    left_out: Mapping[str, int] = field(default_factory=dict)


def eligible_items(catalogue: Catalogue, on_sale: Flags, strategy: StrategyConfig, resolved: ResolvedQuery, excluded: Ints) -> Eligible:
    """What may be recommended in answer to a query.

    on_sale:  items that may be shown at all
    excluded: items of the cart, of the context, and those the caller named
    """
    eligible = on_sale.copy()
    wanted = catalogue.matching(resolved.query.filters)
    if wanted is not None:
        eligible &= wanted
    eligible[excluded] = False
    if "bought" in strategy.filters:
        eligible[resolved.positives.items] = False
    return _without_excluded(eligible, strategy, catalogue)


def on_sale(catalogue: Catalogue) -> Flags:
    """Items that may be shown at all: recommendable and available. bool (n_items,)"""
    return np.asarray(catalogue.recommendable & catalogue.available)


def _without_excluded(eligible: Flags, strategy: StrategyConfig, catalogue: Catalogue) -> Eligible:
    if not strategy.exclude:
        return Eligible(eligible)
    kept_out = [named_by(rule, catalogue) & eligible for rule in strategy.exclude]
    left_out = {f"exclude[{number}]": int(flags.sum()) for number, flags in enumerate(kept_out)}
    return Eligible(eligible & ~np.logical_or.reduce(kept_out), left_out)

"""Which items may be shown in answer to one query; computed once, before retrieval."""

from __future__ import annotations

import numpy as np

from recsys.config import StrategyConfig
from recsys.data.catalogue import Catalogue
from recsys.protocols import ResolvedQuery
from recsys.types import Flags, Ints


def eligible_items(catalogue: Catalogue, on_sale: Flags, strategy: StrategyConfig, resolved: ResolvedQuery, excluded: Ints) -> Flags:
    """Flags (n_items,) of what may be recommended.

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
    return eligible


def on_sale(catalogue: Catalogue) -> Flags:
    """Items that may be shown at all: recommendable and available. bool (n_items,)"""
    return np.asarray(catalogue.recommendable & catalogue.available)

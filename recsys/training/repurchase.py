"""When things are bought again: the rate of it by the time since the last purchase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.repurchase import EDGES, RepurchaseSource
from recsys.data.catalogue import Catalogue
from recsys.source_config import RepurchaseConfig
from recsys.types import Interactions

PRIOR_SPELLS = 20
"""An item's rates are as if so many more intervals of its product type had been seen, and a type's as if of the whole shop."""
LONGEST = 100.0
"""Days that an interval of the prior lasts beyond the last edge."""

Table = NDArray[np.float64]


def fit_repurchase(lines: Interactions, catalogue: Catalogue, as_of: np.datetime64, config: RepurchaseConfig) -> RepurchaseSource:
    """Rates of a purchase following the last one of the same customer and item, constant between EDGES; nothing without a horizon.

    A spell begins with a purchase and ends with the next one, or, unended, at `as_of`. A rate is the number of spells that ended between
    two edges over the days that spells lasted there, with days of the wider rate added: the posterior mean of a Gamma prior.

    Source: piecewise exponential survival model, Friedman (1982), Annals of Statistics 10(1).
    """
    if config.horizon_days is None:
        return RepurchaseSource(config, None)
    items, lasted, ended = _spells(lines, as_of)
    starts, widths = EDGES[:-1].astype(np.float64), np.diff(EDGES.astype(np.float64))
    types = catalogue.codes("product_type") + 1  # 0 = of no type
    n_items, n_types = len(catalogue), int(types.max(initial=0)) + 1
    at = np.searchsorted(EDGES, lasted, side="right") - 1
    ends = np.zeros((n_items, len(starts)))
    np.add.at(ends, (items[ended], at[ended]), 1)
    within = [np.clip(lasted - start, 0, width) for start, width in zip(starts, widths, strict=True)]
    days = np.stack([np.bincount(items, of_spell, n_items) for of_spell in within], axis=1).astype(np.float64)
    prior_days = PRIOR_SPELLS * np.minimum(widths, LONGEST)
    of_shop = ends.sum(axis=0) / np.maximum(days.sum(axis=0), prior_days)
    of_types = _shrunk(_summed(ends, types, n_types), _summed(days, types, n_types), of_shop, prior_days)
    return RepurchaseSource(config, _shrunk(ends, days, of_types[types], prior_days).astype(np.float32))


def _spells(lines: Interactions, as_of: np.datetime64) -> tuple[NDArray[np.int32], Table, NDArray[np.bool_]]:
    """Of every purchase of a known customer: the item, the days until the next one, or `as_of`, and whether there was a next one.

    Lines of one customer, item and time are one purchase.
    """
    known = np.flatnonzero(lines.customers >= 0)
    order = known[np.lexsort((lines.times[known], lines.items[known], lines.customers[known]))]
    customers, items, times = lines.customers[order], lines.items[order], lines.times[order]
    goes_on = np.append((customers[1:] == customers[:-1]) & (items[1:] == items[:-1]), [False])[: len(order)]
    following = np.where(goes_on, np.roll(times, -1), as_of)
    is_last_of_time = ~goes_on | (following > times)
    lasted = (following - times) / np.timedelta64(1, "D")
    return items[is_last_of_time], lasted[is_last_of_time], goes_on[is_last_of_time]


def _summed(table: Table, codes: NDArray[np.int32], n: int) -> Table:
    total = np.zeros((n, table.shape[1]))
    np.add.at(total, codes, table)
    return total


def _shrunk(ends: Table, days: Table, wider: Table, prior_days: Table) -> Table:
    return np.asarray((ends + prior_days * wider) / (days + prior_days), np.float64)

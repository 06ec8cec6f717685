"""What customers really wanted after the cut: the truth that ranked lists are measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.answers import Gains
from recsys.data.dataset import Dataset
from recsys.types import Flags, Interactions


class NothingRelevant(ValueError):
    """Nobody has a relevant item in the period, so nothing can be measured."""


Truth: TypeAlias = Mapping[str, Gains]
"""Gains of the relevant items of each active customer; nobody in it is without a relevant item."""


def relevant_items(
    dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str], recommendable: Flags
) -> dict[str, dict[str, float]]:
    """Distinct recommendable items that each customer bought in [start, end), each with gain 1.

    Args:
        dataset: the shop; must reach beyond `start`.
        positive_events: names of the events that count as wanting an item.
        recommendable: one flag per item of the catalogue; shape (n_items,).

    Returns:
        Gains by customer id, in order of customer number; customers who bought nothing of the kind are not in it.

    Raises:
        ValueError: the period is empty.
        NothingRelevant: nobody bought a recommendable item in it.
    """
    return _truth(dataset, _wanted(dataset, start, end, positive_events, recommendable), start, end)


def new_items(
    dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str], recommendable: Flags
) -> dict[str, dict[str, float]]:
    """Discovery: as `relevant_items`, but only items that the customer had never bought before `start`.

    A customer who had never bought anything has all relevant items here; one who bought only known items is not in it.
    """
    wanted = _wanted(dataset, start, end, positive_events, recommendable)
    known = _pairs(dataset.interactions.between(None, start), dataset.event_codes(positive_events), len(recommendable))
    return _truth(dataset, np.setdiff1d(wanted, known, assume_unique=True), start, end)


def _wanted(
    dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str], recommendable: Flags
) -> NDArray[np.int64]:
    if not start < end:
        raise ValueError(f"the test period must end after it starts, got {start} to {end}")
    if len(recommendable) != len(dataset.item_ids):
        raise ValueError(f"{len(recommendable)} flags of recommendable items for {len(dataset.item_ids)} items")
    pairs = _pairs(dataset.interactions.between(start, end), dataset.event_codes(positive_events), len(recommendable))
    return pairs[recommendable[pairs % len(recommendable)]]


def _pairs(lines: Interactions, positive: NDArray[np.int8], n_items: int) -> NDArray[np.int64]:
    """Distinct pairs of known customers and items, as customer * n_items + item, ascending."""
    rows = np.flatnonzero(np.isin(lines.events, positive) & (lines.customers >= 0))
    return np.unique(lines.customers[rows].astype(np.int64) * n_items + lines.items[rows])


def _truth(dataset: Dataset, pairs: NDArray[np.int64], start: np.datetime64, end: np.datetime64) -> dict[str, dict[str, float]]:
    if not len(pairs):
        raise NothingRelevant(f"no customer has a relevant item between {start} and {end}; choose a period in which something was bought")
    customers, items = dataset.customers.ids, dataset.item_ids.ids
    truth: dict[str, dict[str, float]] = {}
    for customer, item in zip(*np.divmod(pairs, len(items)), strict=True):
        truth.setdefault(customers[customer], {})[items[item]] = 1.0
    return truth

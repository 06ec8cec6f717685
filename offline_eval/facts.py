"""What was known of items, and of what customers had bought, when queries were asked: more than relevance is needed for some metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.selection.eligibility import on_sale
from recsys.types import Flags, Floats, Ints


@dataclass(frozen=True)
class ItemFacts:
    """Items 0 .. n - 1 and purchases as of one time.

    items:      external ids
    customers:  ids of the customers known by then
    offered:    may be shown at all; what coverage, Gini and lift count; bool (n,)
    categories: code of each item's category, -1 = none; int32 (n,)
    prices:     in the shop's currency, NaN = unknown; float64 (n,)
    margins:    price less cost, NaN = one of them is unknown; float64 (n,)
    embeddings: unit L2 norm; float32 (n, dim); None = there are none
    pairs:      who had bought what, as customer * n + item, ascending, without repeats; int64 (n_pairs,)
    lines:      how often, one number per pair; int64 (n_pairs,)
    """

    items: Vocabulary
    customers: Vocabulary
    offered: Flags
    categories: Ints
    prices: NDArray[np.float64]
    margins: NDArray[np.float64]
    embeddings: Floats | None
    pairs: NDArray[np.int64]
    lines: NDArray[np.int64]

    def __post_init__(self) -> None:
        columns = [self.offered, self.categories, self.prices, self.margins, *([] if self.embeddings is None else [self.embeddings])]
        if any(len(column) != len(self.items) for column in columns):
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]} for {len(self.items)} items")
        if len(self.pairs) != len(self.lines) or (np.diff(self.pairs) <= 0).any():
            raise ValueError("pairs must ascend without repeats and have one number of lines each")

    @cached_property
    def buyers(self) -> NDArray[np.int64]:
        """Distinct customers who had bought each item; int64 (n,)"""
        return np.bincount(self.pairs % len(self.items), minlength=len(self.items)).astype(np.int64)

    @cached_property
    def n_buyers(self) -> int:
        """Customers who had bought anything."""
        return len(np.unique(self.pairs // len(self.items)))

    @cached_property
    def best_sellers(self) -> Ints:
        """Offered items that anybody had bought, most buyers first, ties by item number."""
        order = np.argsort(-self.buyers, kind="stable")
        return order[(self.buyers[order] > 0) & self.offered[order]].astype(np.int32)

    def had_bought(self, customers: Ints, items: Ints) -> Flags:
        """Whether each of the customers, (m,), had bought each item of their list, (m, k); -1 on either side = no. bool (m, k)"""
        wanted = customers.astype(np.int64)[:, None] * len(self.items) + items
        places = np.searchsorted(self.pairs, wanted)
        found = np.zeros(wanted.shape, np.bool_)
        inside = places < len(self.pairs)
        found[inside] = self.pairs[places[inside]] == wanted[inside]
        return found & (customers[:, None] >= 0) & (items >= 0)

    @cached_property
    def tastes(self) -> tuple[NDArray[np.int64], Ints, NDArray[np.float64]]:
        """What share of a customer's purchase lines each category has; items without a category do not count.

        Returns:
            As compressed rows: offsets (n_customers + 1,), category codes, shares that add up to 1 for each customer who has any.
        """
        n_categories = int(self.categories.max(initial=-1)) + 1
        owners, items = np.divmod(self.pairs, len(self.items))
        known = self.categories[items] >= 0
        cells, rows = np.unique(owners[known] * n_categories + self.categories[items[known]], return_inverse=True)
        counts = np.bincount(rows, self.lines[known], minlength=len(cells))
        owners, codes = np.divmod(cells, max(n_categories, 1))
        totals = np.bincount(owners, counts, minlength=len(self.customers))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(self.customers)))]).astype(np.int64)
        return offsets, codes.astype(np.int32), counts / totals[owners]


def item_facts(dataset: Dataset, time: np.datetime64, positive_events: Sequence[str], embeddings: Floats | None = None) -> ItemFacts:
    """Facts as of a time; nothing at or after it counts. What is not dated (costs, categories, stock) is as the shop has it now.

    Args:
        positive_events: names of the events that count as buying.
        embeddings: one row per item of the dataset, unit L2 norm.
    """
    known = dataset.before(time)
    catalogue, lines = known.catalogue(), known.interactions
    rows = np.flatnonzero(np.isin(lines.events, dataset.event_codes(positive_events)) & (lines.customers >= 0))
    pairs, counts = np.unique(lines.customers[rows].astype(np.int64) * len(catalogue) + lines.items[rows], return_counts=True)
    prices = catalogue.prices.astype(np.float64)
    return ItemFacts(
        items=catalogue.items,
        customers=known.customers,
        offered=on_sale(catalogue),
        categories=catalogue.codes("category"),
        prices=prices,
        margins=prices - _costs(dataset),
        embeddings=embeddings,
        pairs=pairs,
        lines=counts.astype(np.int64),
    )


def bundle_facts(bundle: Bundle, dataset: Dataset, time: np.datetime64) -> ItemFacts:
    """Facts of a shop as of a time, with the embeddings that a bundle has of its items; an item that it lacks has a row of zeros."""
    embeddings = None
    if bundle.texts is not None:
        numbers = [bundle.catalogue.items.number(id_) for id_ in dataset.item_ids.ids]
        rows = np.array([-1 if number is None else number for number in numbers], np.int32)
        embeddings = np.where(rows[:, None] >= 0, bundle.texts.of_items(np.maximum(rows, 0)), 0).astype(np.float32)
    return item_facts(dataset, time, bundle.config.data.positive_events, embeddings)


def _costs(dataset: Dataset) -> NDArray[np.float64]:
    if "cost" not in dataset.items.column_names:
        return np.full(len(dataset.items), np.nan)
    return np.asarray(dataset.items["cost"].to_numpy(), np.float64)

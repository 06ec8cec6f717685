"""What anything better has to beat, written without the engine: from the interactions before the cut alone.

Each baseline is a `Recommend`. With ``new_only`` popularity leaves out what the customer bought before, for the discovery table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from offline_eval.evaluate import Recommend
from recsys.data.dataset import Dataset
from recsys.types import Flags, Interactions, Ints, Query, utc64

DAY = np.timedelta64(1, "D")


def popularity(
    dataset: Dataset,
    time: np.datetime64,
    positive_events: Sequence[str],
    eligible: Flags,
    *,
    window_days: float = 7,
    new_only: bool = False,
) -> Recommend:
    """The eligible items with the most positive lines in the last days before the cut; ties by item number.

    Items that nobody bought in the window are not recommended. eligible: one flag per item; shape (n_items,)
    """
    lines = _positive(dataset, time, positive_events)
    recent = lines.between(time - np.timedelta64(round(window_days * 86_400), "s"), None)
    counts = np.bincount(recent.items, minlength=len(eligible)) * eligible
    order = np.argsort(-counts, kind="stable")
    best = order[counts[order] > 0].astype(np.int32)
    bought = _by_customer(dataset, lines) if new_only else {}
    return _recommend(dataset, time, lambda customer: best[~np.isin(best, bought[customer].items)] if customer in bought else best)


def personal_frequency(
    dataset: Dataset,
    time: np.datetime64,
    positive_events: Sequence[str],
    eligible: Flags,
    *,
    half_life_days: float | None = 90,
) -> Recommend:
    """The customer's own eligible items by number of lines, each counting 0.5 ** (age / half-life); None = all count 1.

    Ties go to the item bought last, then to the lower item number. Lists end where the customer's items end; of
    items new to the customer it knows nothing.
    """
    bought = _by_customer(dataset, _positive(dataset, time, positive_events))

    def rank(customer: int) -> Ints:
        if customer not in bought:
            return np.empty(0, np.int32)
        lines = bought[customer]
        items, rows = np.unique(lines.items, return_inverse=True)
        ages = (time - lines.times) / DAY
        scores = np.bincount(rows, np.ones(len(rows)) if half_life_days is None else 0.5 ** (ages / half_life_days))
        last = np.full(len(items), np.inf)
        np.minimum.at(last, rows, ages)
        order = items[np.lexsort((items, last, -scores))]
        return order[eligible[order]]

    return _recommend(dataset, time, rank)


def _positive(dataset: Dataset, time: np.datetime64, positive_events: Sequence[str]) -> Interactions:
    """Positive lines before the cut; the only data a baseline sees."""
    lines = dataset.interactions.between(None, time)
    return lines.take(np.isin(lines.events, dataset.event_codes(positive_events)))


def _by_customer(dataset: Dataset, lines: Interactions) -> dict[int, Interactions]:
    order = np.argsort(lines.customers, kind="stable")
    customers, starts = np.unique(lines.customers[order], return_index=True)
    parts: list[NDArray[np.intp]] = np.split(order, starts)[1:]
    return {int(customer): lines.take(rows) for customer, rows in zip(customers, parts, strict=True) if customer >= 0}


def _recommend(dataset: Dataset, time: np.datetime64, rank: Callable[[int], Ints]) -> Recommend:
    """Answer queries by a ranking per customer number; -1 stands for a customer whom the shop does not know."""
    items = dataset.item_ids.ids

    def recommend(queries: Sequence[Query]) -> list[list[str]]:
        answers = []
        for query in queries:
            if utc64(query.time) < time:
                raise ValueError(f"a query at {query.time.isoformat()} asks a baseline that knows everything up to {time}")
            number = None if query.customer_id is None else dataset.customers.number(query.customer_id)
            answers.append([items[item] for item in rank(-1 if number is None else number)[: query.k]])
        return answers

    return recommend

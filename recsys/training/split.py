"""What to fit on and which queries to label: by time in production, by position in leave-one-out benchmarks; the same code after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import Interactions, Ints


@dataclass(frozen=True)
class LabelledQuery:
    """A query of the ranker's training.

    customer: number, -1 = a guest
    time:     when it is asked; sources are fitted on nothing at or after the start of its period
    context:  items looked at
    wanted:   items that followed; int32
    """

    customer: int
    time: np.datetime64
    context: tuple[int, ...]
    wanted: Ints


@dataclass(frozen=True)
class RankingPeriod:
    """One round of labels.

    start:   time of the queries; what the sources are fitted on ends here
    known:   what sources, features and profiles may see
    queries: with what followed them
    later:   items each customer wanted after the labels of this period end; trains nothing, the leak alarm compares with it
    """

    start: np.datetime64
    known: Dataset
    queries: tuple[LabelledQuery, ...]
    later: Mapping[int, Ints]


@dataclass(frozen=True)
class Split:
    """periods: oldest first; known: what the shipped sources are refitted on; as_of: its end, None = not by time, not servable."""

    periods: tuple[RankingPeriod, ...]
    known: Dataset
    as_of: np.datetime64 | None


def split_by_time(dataset: Dataset, as_of: np.datetime64, config: Config, rng: np.random.Generator) -> Split:
    """The last `n_ranking_periods` periods before `as_of`, one query per customer who came back, and some guests.

    Raises:
        DataError: there are no data before `as_of`, or they are shorter than the periods and one more to fit on.
    """
    as_of = as_of.astype("datetime64[us]")  # equal times in other units would be written otherwise
    known = dataset.before(as_of)
    length = np.timedelta64(round(config.training.ranking_period_days * 86_400), "s")
    n = config.training.n_ranking_periods
    starts = [as_of - length * (n - number) for number in range(n)]
    if not len(known.interactions):
        raise DataError(f"there are no interactions before {as_of}; choose a later as_of")
    first = known.interactions.times[0]
    if starts[0] - length < first:
        raise DataError(
            f"the data before {as_of} begin at {first}; {n} ranking periods of {config.training.ranking_period_days:g} days need at least "
            f"{(n + 1) * config.training.ranking_period_days:g} days: set training.ranking_period_days or n_ranking_periods lower"
        )
    lines = positive_lines(known, config)
    lines = lines.take(known.catalogue().recommendable[lines.items])
    periods = []
    for start in starts:
        labels = lines.between(start, start + length)
        wanted, later = _wanted(labels), _wanted(lines.between(start + length, start + 2 * length))
        queries = _customer_queries(wanted, start, config, rng) + _guest_queries(labels, config, len(wanted), rng)
        periods.append(RankingPeriod(start, dataset.before(start), tuple(queries), later))
    return Split(tuple(periods), known, as_of)


def positive_lines(dataset: Dataset, config: Config) -> Interactions:
    """Interactions whose event is one of ``data.positive_events``."""
    lines = dataset.interactions
    return lines.take(np.isin(lines.events, dataset.event_codes(config.data.positive_events)))


def _wanted(lines: Interactions) -> dict[int, Ints]:
    """Distinct items of each customer, by customer number."""
    lines = lines.take(lines.customers >= 0)
    pairs = np.unique(np.stack([lines.customers, lines.items], axis=1), axis=0)
    customers, starts = np.unique(pairs[:, 0], return_index=True)
    return (
        {int(c): items.astype(np.int32) for c, items in zip(customers, np.split(pairs[:, 1], starts[1:]), strict=True)}
        if len(pairs)
        else {}
    )


def _customer_queries(wanted: Mapping[int, Ints], start: np.datetime64, config: Config, rng: np.random.Generator) -> list[LabelledQuery]:
    customers = np.array(sorted(wanted), np.int64)
    n = min(len(customers), config.training.max_queries_per_period)
    drawn = np.sort(rng.choice(customers, n, replace=False)) if n else customers
    return [LabelledQuery(int(customer), start, (), wanted[int(customer)]) for customer in drawn]


def _guest_queries(lines: Interactions, config: Config, n_customers: int, rng: np.random.Generator) -> list[LabelledQuery]:
    """Baskets of a period seen through a stranger's eyes: one item is looked at, the others of the basket are wanted."""
    baskets, first, counts = np.unique(lines.baskets, return_index=True, return_counts=True)
    large = np.flatnonzero((counts >= 2) & (baskets >= 0))
    n = min(len(large), round(config.training.guest_share * min(n_customers, config.training.max_queries_per_period)))
    drawn = np.sort(rng.choice(large, n, replace=False)) if n else large[:0]
    order = np.argsort(lines.baskets, kind="stable")
    bounds = np.searchsorted(lines.baskets[order], np.stack([baskets[drawn], baskets[drawn] + 1]))
    queries = []
    for row, from_, to in zip(drawn, *bounds, strict=True):
        items = np.unique(lines.items[order[from_:to]])
        looked_at = int(rng.choice(items))
        if len(items) > 1:
            queries.append(LabelledQuery(-1, lines.times[first[row]], (looked_at,), items[items != looked_at].astype(np.int32)))
    return queries

"""What to fit on and which queries to label: by time in production, by position in leave-one-out benchmarks; the same code after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.exposures import Shown
from recsys.data.leave_last import LeftOut, leave_last
from recsys.data.thinning import cut_down
from recsys.errors import DataError
from recsys.types import Interactions, Ints, Times

THIN_BASKETS = (1, 2, 3, 5)
MIN_SEQUENCE = 4
"""Distinct items of a customer who takes part in a split by position: one to know, one to learn, one to validate by, one to test."""
JUST_AFTER = np.timedelta64(1, "us")
NOTHING: Ints = np.empty(0, np.int32)
ITEM_BITS = 32
"""An item's number takes fewer."""


@dataclass(frozen=True)
class LabelledQuery:
    """A query of the ranker's training.

    customer: number, -1 = a guest
    time:     when it is asked; sources are fitted on nothing at or after the start of its period
    context:  items looked at
    wanted:   items that followed; int32
    forgotten: items of the customer's past that were cut away: known to be no discovery, though nothing else of them is; int32
    shown:    of what the customer was shown while it could be wanted, by item the best position, 1 = first
    """

    customer: int
    time: np.datetime64
    context: tuple[int, ...]
    wanted: Ints
    forgotten: Ints = field(default_factory=lambda: NOTHING)
    shown: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RankingPeriod:
    """One round of labels.

    start:   what the sources are fitted on ends here; by time the queries are asked now, by position each at a time of its own
    known:   what sources and features are fitted on
    seen:    the same with the past of some customers cut down: what the queries' customers are known by
    queries: with what followed them
    later:   items each customer wanted after the labels of this period end; trains nothing, the leak alarm compares with it
    """

    start: np.datetime64
    known: Dataset
    seen: Dataset
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
        before = dataset.before(start)
        seen = _thinned(before, config)
        forgotten = _forgotten(before, seen, config)
        shown = Shown.between(dataset, start, start + length)
        queries = [
            replace(query, forgotten=forgotten.get(query.customer, NOTHING), shown=shown.to(query.customer))
            for query in _customer_queries(wanted, start, config, rng)
        ]
        queries += _guest_queries(labels, config, len(wanted), rng)
        periods.append(RankingPeriod(start, before, seen, tuple(queries), later))
    return Split(tuple(periods), known, as_of)


def split_by_position(dataset: Dataset, config: Config, n_hidden: int, *, at_target: bool) -> Split:
    """Leave-one-out: the ranker learns the item before the last `n_hidden` of each customer, the shipped sources know all but those.

    With n_hidden = 2 the item next to the last trains nothing (the protocol called pure), with 1 only the last one is unseen (refit).
    Customers with fewer than MIN_SEQUENCE distinct items are known as they are, and ask nothing of that period. With more than one ranking
    period it learns the item before, too, of whoever has two or more left, with sources that know what was before it, and so on.

    Args:
        at_target: whether a query is asked at the time of the item that it wants, or just after what the customer bought before it
    """
    codes = dataset.event_codes(config.data.positive_events)
    known, later = leave_last(dataset, codes, n_hidden, MIN_SEQUENCE)
    past, labels = leave_last(dataset, codes, n_hidden + 1, MIN_SEQUENCE)
    periods = [_period_by_position(past, labels, later, at_target=at_target)]
    while len(periods) < config.training.n_ranking_periods:
        later = labels
        past, labels = leave_last(past, codes, 1, 2)
        periods.append(_period_by_position(past, labels, later, at_target=at_target))
    return Split(tuple(reversed(periods)), known, None)


def _period_by_position(past: Dataset, labels: LeftOut, later: LeftOut, *, at_target: bool) -> RankingPeriod:
    times = query_times(past, labels, at_target=at_target)
    columns = zip(labels.customers, times, labels.items, strict=True)
    queries = [LabelledQuery(int(customer), time, (), np.array([item], np.int32)) for customer, time, item in columns]
    following = {int(customer): np.array([item], np.int32) for customer, item in zip(later.customers, later.items, strict=True)}
    return RankingPeriod(past.interactions.times[-1] + JUST_AFTER, past, past, tuple(queries), following)


def query_times(known: Dataset, wanted: LeftOut, *, at_target: bool) -> Times:
    """When each of the customers asks, so that all that is known of them is past; datetime64[us] (n,)."""
    lines = known.interactions
    latest = np.full(len(known.customers), lines.times[0])
    mine = lines.customers >= 0
    latest[lines.customers[mine]] = lines.times[mine]  # in time order: the last one stays
    asked = np.maximum(latest[wanted.customers], wanted.times) if at_target else latest[wanted.customers]
    return np.asarray(asked + JUST_AFTER)


def positive_lines(dataset: Dataset, config: Config) -> Interactions:
    """Interactions whose event is one of ``data.positive_events``."""
    lines = dataset.interactions
    return lines.take(np.isin(lines.events, dataset.event_codes(config.data.positive_events)))


def _thinned(known: Dataset, config: Config) -> Dataset:
    """With the past of some customers cut down, so that a shop of old customers teaches how to serve new ones.

    Drawn by the seed and the end of the view: the same customers whichever training it is part of.
    """
    rng = np.random.default_rng([config.training.seed, int(known.end.astype(np.int64))])
    n_baskets = rng.choice(THIN_BASKETS, len(known.customers))
    n_baskets[rng.random(len(known.customers)) >= config.training.thin_share] = 0
    return cut_down(known, positive_lines(known, config), n_baskets) if n_baskets.any() else known


def _forgotten(known: Dataset, seen: Dataset, config: Config) -> dict[int, Ints]:
    """By customer, the items of its past that are in none of the lines that were left."""
    whole, left = (_wanted(positive_lines(view, config)) for view in (known, seen))
    return {customer: np.setdiff1d(items, left.get(customer, NOTHING)).astype(np.int32) for customer, items in whole.items()}


def _wanted(lines: Interactions) -> dict[int, Ints]:
    """Distinct items of each customer, by customer number."""
    lines = lines.take(lines.customers >= 0)
    pairs = np.sort((lines.customers.astype(np.int64) << ITEM_BITS) + lines.items)  # numbers sort far quicker than rows
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    customers = pairs >> ITEM_BITS
    starts = np.flatnonzero(np.diff(customers, prepend=-1))
    items = (pairs & ((1 << ITEM_BITS) - 1)).astype(np.int32)
    return dict(zip(customers[starts].tolist(), np.split(items, starts[1:]), strict=True)) if len(pairs) else {}


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

"""Ways to set aside what a system has to foretell: what to fit on, whom to ask when, what was wanted, and what each way may leak.

A split by time can be asked of any bundle that ends at its time. `narrowed` gives the ones that only choose among the queries and wanted
items after a bundle's time; the others need a fit of their own, on `Split.known`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offline_eval.answers import Gains
from offline_eval.evaluate import Recommend
from offline_eval.relevance import NothingRelevant, Truth, relevant_items
from recsys.data.dataset import Dataset
from recsys.data.leave_last import leave_last
from recsys.types import MAX_K, Interactions, Query

BUNDLE_SPLITS = {
    "time": "everybody who bought after the bundle's time",
    "customers:I/K": "the I-th of K groups of customers, drawn by their ids",
    "cold-customers": "customers who had bought nothing before",
    "cold-items": "only items that nobody had bought before",
    "sessions": "only what each customer bought on the first occasion after the bundle's time",
}
"""What `narrowed` understands, with what is asked."""

_BY_TIME = "items, texts, stock and categories are as the shop has them now, not as they were at the time"
_PERIODIC = "one period has its season, prices and promotions; how a system does in another is not seen"
_FITTED_ON = "the bundle was fitted on these customers' earlier purchases: this is a sample of customers, not of strangers"
_FOLD = (
    "what other customers bought at the same time is known: seasons and new items are learnt from them",
    "what the held-out customers wrote stays among the reviews and messages that are read",
)
_BY_POSITION = (
    "purchases of other customers made after a query stay in what is fitted, and so do trends, new items and co-purchases of its future",
    "lines of one moment have no order: where a file sorts them by id, ids tell the item left out",
    "reviews and messages are not cut by position: read none of them",
)
_REFUSED = {
    "leave-last-out": "a bundle knows all before one time, and here each customer's last item has its own; fit on what `leave_last_out` "
    "says is known, as `python -m benchmarks.quality` does",
    "rolling": "a bundle knows one cut only; train one as of each time of `rolling_cuts`, measure each, and pool the results",
}
_SAMPLED = (
    "metrics over sampled negatives are refused: the rank among {n} drawn items is about {n} / {rest} of that among all, so hits count "
    "that no customer would see, and of two systems the worse may come out ahead (Krichene & Rendle 2020, KDD); rank all, or insist"
)


@dataclass(frozen=True)
class AskedQuery:
    """One query of a split. time: the history that may be known ends strictly before it; wanted: gains of the relevant items."""

    customer: str
    time: np.datetime64
    wanted: Gains


@dataclass(frozen=True)
class Split:
    """What is known and what is asked.

    known:    what to fit on
    time:     one time that all queries have and `known` ends at; None = queries have times of their own
    queries:  one per customer
    may_leak: in what respect a system that is fitted on `known` knows more than it would at the time of the query, in sentences
    """

    name: str
    known: Dataset
    time: np.datetime64 | None
    queries: tuple[AskedQuery, ...]
    may_leak: tuple[str, ...]

    @property
    def truth(self) -> dict[str, Gains]:
        """What each customer wanted."""
        return {query.customer: query.wanted for query in self.queries}


def global_time(dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str]) -> Split:
    """One cut for everybody: known is all before `start`, wanted what each customer bought in [start, end). As a shop lives.

    May leak: what has no date. Nobody's future is known.

    Raises:
        ValueError, NothingRelevant: see `relevant_items`.
    """
    known = dataset.before(start)
    truth = relevant_items(dataset, start, end, positive_events, known.catalogue().recommendable)
    return Split("time", known, start, _asked(truth, start), (_BY_TIME, _PERIODIC))


def rolling_cuts(dataset: Dataset, times: Sequence[np.datetime64], days: float, positive_events: Sequence[str]) -> list[Split]:
    """`global_time` at several cuts, oldest first, each with so many days after it. Each needs a fit of its own; results are pooled.

    May leak: as `global_time`; and settings chosen while looking at an earlier cut have seen what a later one is fitted on, so choose
    them before the first cut's period.
    """
    length = np.timedelta64(round(days * 86_400), "s")
    splits = [global_time(dataset, time, time + length, positive_events) for time in sorted(times)]
    also = "settings chosen on the period of one cut know what happened before the later ones: choose them before the first"
    return [replace(split, name=f"time {split.time}", may_leak=(_BY_TIME, also)) for split in splits]


def leave_last_out(dataset: Dataset, positive_events: Sequence[str], *, place: int = 1, least: int = 3) -> Split:
    """Of each customer with at least `least` distinct items the item at this place from the end (1 = the last); see `leave_last`.

    May leak: a lot. Other customers' later purchases are known, and reviews are not cut at all, so this compares systems under the
    published protocol and does not say how well one will do. It cannot be asked of a bundle, which has a time.

    Raises:
        NothingRelevant: nobody has so many items.
    """
    known, left_out = leave_last(dataset, dataset.event_codes(positive_events), place, least)
    customers, items = dataset.customers.ids, dataset.item_ids.ids
    rows = zip(left_out.customers.tolist(), left_out.items.tolist(), left_out.times, strict=True)
    queries = tuple(AskedQuery(customers[customer], time, {items[item]: 1.0}) for customer, item, time in rows)
    if not queries:
        raise NothingRelevant(f"no customer has {least} distinct items")
    return Split(f"leave-last-out, place {place}", known, None, queries, _BY_POSITION)


def customer_folds(
    dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str], n_folds: int, seed: int = 0
) -> Iterator[Split]:
    """`global_time` for one part of the customers after another, whose lines are in no part of what is fitted.

    What a fold's customers did before `start` is theirs to be asked with, as a server would know it of a customer it never trained on:
    it is in `dataset.before(start)`, not in `known`. Folds depend on ids and seed alone, so a customer stays in its fold when others come.

    May leak: as `global_time`; what others bought at the same time is known, from which seasons and new items are learnt; and what the
    held-out customers wrote is still read.
    """
    whole = global_time(dataset, start, end, positive_events)
    for fold in range(n_folds):
        held_out = np.array([_fold_of(customer, n_folds, seed) == fold for customer in whole.known.customers.ids] + [False])
        lines = whole.known.interactions
        known = replace(whole.known, interactions=lines.take(~held_out[lines.customers]))  # -1, nobody, is the last place
        queries = tuple(query for query in whole.queries if _fold_of(query.customer, n_folds, seed) == fold)
        if queries:
            yield Split(f"customers:{fold + 1}/{n_folds}", known, start, queries, (*whole.may_leak, *_FOLD))


def narrowed(
    split: str, truth: Truth, dataset: Dataset, start: np.datetime64, end: np.datetime64, positive_events: Sequence[str], seed: int = 0
) -> Split:
    """Some of the queries and wanted items of a period, for a bundle that ends where the period begins.

    Args:
        split: one of BUNDLE_SPLITS; "time" takes all.
        truth: of [start, end), from `relevant_items` or `new_items`.

    Raises:
        ValueError: there is no such split, or it cannot be asked of a bundle; says why.
        NothingRelevant: nobody is left.
    """
    lines = _positive(dataset, positive_events)
    before, after = lines.between(None, start), lines.between(start, end)
    kept: Truth = truth
    more: tuple[str, ...] = ()
    if split == "cold-customers":
        kept, more = _cold_customers(truth, dataset, before)
    elif split == "cold-items":
        kept, more = _cold_items(truth, dataset, before)
    elif split == "sessions":
        kept, more = _first_sessions(truth, dataset, after)
    elif split != "time":
        kept, more = _fold(truth, *_parsed_fold(split), seed)
    if not kept:
        raise NothingRelevant(f"nothing of the period from {start} to {end} is left under the split {split!r}")
    return Split(split, dataset.before(start), start, _asked(kept, start), (_BY_TIME, _PERIODIC, *more))


def sampled(recommend: Recommend, truth: Truth, items: Sequence[str], n_negatives: int, seed: int, *, insist: bool = False) -> Recommend:
    """The same system, ranking for each customer only what it wanted and `n_negatives` items drawn from all others.

    Lists keep their order and lose what was not drawn, so ask for deep ones: what the system does not list is ranked below all it lists.

    Raises:
        ValueError: not insisted on; says why such metrics mislead. Or there are no so many other items.
    """
    if not insist:
        raise ValueError(_SAMPLED.format(n=n_negatives, rest=len(items)))
    if n_negatives >= len(items) - max(map(len, truth.values())):
        raise ValueError(f"{n_negatives} negatives cannot be drawn from {len(items)} items beside those wanted")

    def drawn(customer: str) -> set[str]:
        rng = np.random.default_rng([seed, *hashlib.sha256(customer.encode()).digest()])
        wanted = truth[customer]
        places = rng.choice(len(items), n_negatives + len(wanted), replace=False).tolist()
        return {*wanted, *[items[place] for place in places if items[place] not in wanted][:n_negatives]}

    def ask(queries: Sequence[Query]) -> list[list[str]]:
        deep = recommend([replace(query, k=MAX_K) for query in queries])
        kept = [drawn(query.customer_id or "") for query in queries]
        asked = zip(queries, deep, kept, strict=True)
        return [[item for item in ranked if item in those][: query.k] for query, ranked, those in asked]

    return ask


def _cold_customers(truth: Truth, dataset: Dataset, before: Interactions) -> tuple[Truth, tuple[str, ...]]:
    known = {dataset.customers.ids[customer] for customer in np.unique(before.customers).tolist()}
    kept = {customer: wanted for customer, wanted in truth.items() if customer not in known}
    return kept, ("what these customers viewed before they ever bought is known, where the shop has views",)


def _cold_items(truth: Truth, dataset: Dataset, before: Interactions) -> tuple[Truth, tuple[str, ...]]:
    sold = {dataset.item_ids.ids[item] for item in np.unique(before.items).tolist()}
    kept = _of_items(truth, lambda customer, item: item not in sold)
    return kept, ("an item without created_time is in the catalogue before it was ever sold: that it is there tells that it will be",)


def _first_sessions(truth: Truth, dataset: Dataset, after: Interactions) -> tuple[Truth, tuple[str, ...]]:
    customers, rows = np.unique(after.customers, return_index=True)  # lines are in time order: the first of each
    first = np.full(int(customers.max(initial=-1)) + 1, -1, np.int64)
    first[customers] = after.baskets[rows]
    lines = after.take(after.baskets == first[after.customers])
    bought = set(zip(lines.customers.tolist(), lines.items.tolist(), strict=True))
    numbers, items = dataset.customers.number, dataset.item_ids.number
    kept = _of_items(truth, lambda customer, item: (numbers(customer), items(item)) in bought)
    return kept, ("the time of the occasion is not told: the query is asked when the bundle ends, days before some of them",)


def _fold(truth: Truth, fold: int, n_folds: int, seed: int) -> tuple[Truth, tuple[str, ...]]:
    return {customer: wanted for customer, wanted in truth.items() if _fold_of(customer, n_folds, seed) == fold}, (_FITTED_ON,)


def _parsed_fold(split: str) -> tuple[int, int]:
    """Number, from 0, and count of the folds in "customers:2/5"."""
    name = split.partition(":")[0].partition(" ")[0]
    if name in _REFUSED:
        raise ValueError(f"the split {split!r} cannot be asked of a bundle: {_REFUSED[name]}")
    match = re.fullmatch(r"customers:(\d+)/(\d+)", split)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"there is no split {split!r}; there are: {', '.join(BUNDLE_SPLITS)}, with I from 1 to K")
    return int(match[1]) - 1, int(match[2])


def _fold_of(customer: str, n_folds: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{customer}".encode()).digest()[:8], "big") % n_folds


def _of_items(truth: Truth, is_kept: Callable[[str, str], bool]) -> dict[str, Gains]:
    """The truth with some of its items; who has none of them is left out."""
    kept = {customer: {item: gain for item, gain in wanted.items() if is_kept(customer, item)} for customer, wanted in truth.items()}
    return {customer: wanted for customer, wanted in kept.items() if wanted}


def _asked(truth: Truth, time: np.datetime64) -> tuple[AskedQuery, ...]:
    return tuple(AskedQuery(customer, time, wanted) for customer, wanted in truth.items())


def _positive(dataset: Dataset, positive_events: Sequence[str]) -> Interactions:
    """Lines of known customers that count as wanting an item."""
    lines = dataset.interactions
    return lines.take(np.isin(lines.events, dataset.event_codes(positive_events)) & (lines.customers >= 0))

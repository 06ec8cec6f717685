"""The values that cross the engine's borders: frozen dataclasses around numpy arrays, checked at the door.

Times inside arrays are ``datetime64[us]`` in UTC. A `Query` carries an aware ``datetime``; `utc64` turns it into the former.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.bool_]
Times: TypeAlias = NDArray[np.datetime64]

MAX_K = 500

VIEW, CART, PURCHASE, RETURN = 0, 1, 2, 3
STANDARD_EVENTS = ("view", "cart", "purchase", "return")
"""Event names with fixed codes (their position); a shop's own event names get the codes after these."""


def utc64(time: dt.datetime) -> np.datetime64:
    """An aware time as ``datetime64[us]`` in UTC; a naive one raises ``ValueError``, for nobody knows which zone was meant."""
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone; use for example {time.isoformat()}+00:00")
    return np.datetime64(time.astimezone(dt.UTC).replace(tzinfo=None), "us")


def aware(time: np.datetime64) -> dt.datetime:
    """The inverse of `utc64`."""
    moment: dt.datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Interactions:
    """Interactions as parallel arrays of length n, oldest first; equal times keep the order of the file.

    customers:  customer numbers, -1 = no customer is known; int32
    items:      item numbers; int32
    events:     event codes, see STANDARD_EVENTS; int8
    times:      datetime64[us], UTC
    baskets:    lines with an equal number belong together (one order or session); int32
    quantities: as the shop wrote them, NaN = unknown; may be absurd (fuel in litres); float32
    values:     money of the line, NaN = unknown; float32
    """

    customers: Ints
    items: Ints
    events: NDArray[np.int8]
    times: Times
    baskets: Ints
    quantities: Floats
    values: Floats

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of interactions differ in length: {lengths}")
        if len(self.times) and (np.diff(self.times) < np.timedelta64(0)).any():
            raise ValueError("interactions must be sorted by time, oldest first")

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[np.intp] | Flags | slice) -> Interactions:
        """The given rows, in their order here."""
        return Interactions(**{name: column[rows] for name, column in vars(self).items()})

    def between(self, start: np.datetime64 | None, end: np.datetime64 | None) -> Interactions:
        """Rows with start <= time < end, without a copy; None = open."""
        first = 0 if start is None else int(np.searchsorted(self.times, start, side="left"))
        last = len(self) if end is None else int(np.searchsorted(self.times, end, side="left"))
        return self.take(slice(first, max(first, last)))


@dataclass(frozen=True)
class History:
    """What one customer did before the query's time, as parallel arrays of length n, newest first.

    items: item numbers, int32; events: codes, int8; times: datetime64[us]; values: money, float32, NaN = unknown.
    """

    items: Ints
    events: NDArray[np.int8]
    times: Times
    values: Floats

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of a history differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def empty() -> History:
        """The history of somebody we have never seen."""
        return History(np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, "datetime64[us]"), np.empty(0, np.float32))

    def of_events(self, events: NDArray[np.int8]) -> History:
        """The rows whose event is one of the given codes."""
        keep = np.isin(self.events, events)
        if keep.all():
            return self
        return History(self.items[keep], self.events[keep], self.times[keep], self.values[keep])

    def before(self, time: np.datetime64) -> History:
        """The rows strictly earlier than the time."""
        first = int(np.searchsorted(-self.times.astype(np.int64), -time.astype(np.int64), side="right"))
        if first == 0:
            return self
        return History(self.items[first:], self.events[first:], self.times[first:], self.values[first:])


@dataclass(frozen=True)
class Filters:
    """Which items a caller wants to see; an empty field asks nothing. All fields must hold (AND), values inside one are alternatives (OR).

    brands, categories: names as in the catalogue; a category matches at every level of its path
    min_price, max_price: in the shop's currency, inclusive; an item without a price does not match
    """

    brands: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    min_price: float | None = None
    max_price: float | None = None


@dataclass(frozen=True)
class Query:
    """All that is known when a recommendation is asked for.

    customer_id:       None = a guest
    k:                 items wanted, 1 to 500
    time:              aware; nothing later is used to answer
    context_item_ids:  items being looked at, newest first; never recommended
    cart_item_ids:     items in the cart; never recommended
    excluded_item_ids: never recommended
    strategy:          name of a strategy; None = the engine chooses by tier and segment
    explain:           reasons from what each feature added to the ranker's score, which takes some milliseconds; else from the sources
    """

    k: int
    time: dt.datetime
    customer_id: str | None = None
    request_id: str = ""
    visitor_id: str | None = None
    placement: str = "home"
    context_item_ids: tuple[str, ...] = ()
    cart_item_ids: tuple[str, ...] = ()
    excluded_item_ids: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    strategy: str | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"k must be between 1 and {MAX_K}, got {self.k}")
        utc64(self.time)


@dataclass(frozen=True)
class Scored:
    """Items with scores, best first; what a source proposes. items: int32 (n,), no repeats; scores: float32 (n,), finite."""

    items: Ints
    scores: Floats

    def __post_init__(self) -> None:
        if len(self.items) != len(self.scores):
            raise ValueError(f"{len(self.items)} items but {len(self.scores)} scores")

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def empty() -> Scored:
        """No proposal."""
        return Scored(np.empty(0, np.int32), np.empty(0, np.float32))


@dataclass(frozen=True)
class Candidates:
    """Items in play for one query, as parallel arrays of length n.

    items:         item numbers, without repeats; int32, shape (n,)
    scores:        higher is better, comparable within this object only; float32, shape (n,); NaN = not scored
    source_scores: what each source said; float32, shape (n, n_sources); NaN = not proposed by it
    source_ranks:  the position each source gave, 1 is best; float32, shape (n, n_sources); NaN = not proposed by it
    sources:       names of the columns
    """

    items: Ints
    scores: Floats
    source_scores: Floats
    source_ranks: Floats
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = (len(self.items), len(self.sources))
        if len(self.scores) != shape[0] or self.source_scores.shape != shape or self.source_ranks.shape != shape:
            raise ValueError(
                f"{shape[0]} items from {shape[1]} sources, but scores {self.scores.shape}, "
                f"source_scores {self.source_scores.shape}, source_ranks {self.source_ranks.shape}"
            )

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.intp]) -> Candidates:
        """The given rows, in the given order."""
        return Candidates(self.items[rows], self.scores[rows], self.source_scores[rows], self.source_ranks[rows], self.sources)

    def with_scores(self, scores: Floats) -> Candidates:
        """The same candidates with other scores."""
        return Candidates(self.items, scores, self.source_scores, self.source_ranks, self.sources)

    def followed_by(self, others: Scored, source: str) -> Candidates:
        """These, then items that one more source adds; they score below all of these."""
        n, more = len(self), len(others)
        lowest = np.min(self.scores, where=np.isfinite(self.scores), initial=0.0)
        table = np.full((n + more, len(self.sources) + 1), np.nan, np.float32)
        source_scores, source_ranks = table, table.copy()
        source_scores[:n, :-1], source_ranks[:n, :-1] = self.source_scores, self.source_ranks
        source_scores[n:, -1], source_ranks[n:, -1] = others.scores, np.arange(1, more + 1)
        scores = np.concatenate([self.scores, (lowest - np.arange(1, more + 1)).astype(np.float32)])
        return Candidates(np.concatenate([self.items, others.items]), scores, source_scores, source_ranks, (*self.sources, source))

    def best_first(self) -> NDArray[np.intp]:
        """Rows by descending score; non-finite scores are left out, ties keep their order."""
        finite = np.flatnonzero(np.isfinite(self.scores))
        return finite[np.argsort(-self.scores[finite], kind="stable")]


class ReasonCode(StrEnum):
    """Why an item is shown; each kind of source has one, and so have the features that a shopper can be told of."""

    BOUGHT_BEFORE = "bought_before"
    BOUGHT_TOGETHER = "bought_together"
    SIMILAR_TEXT = "similar_text"
    SIMILAR_CUSTOMERS = "similar_customers"
    POPULAR = "popular"
    POPULAR_IN_SEGMENT = "popular_in_segment"
    PINNED = "pinned"
    LAST_RESORT = "last_resort"
    OFTEN_NEXT = "often_next"
    BOUGHT_AGAIN = "bought_again"
    SAME_BRAND = "same_brand"
    SAME_CATEGORY = "same_category"
    USUAL_PRICE = "usual_price"
    MENTIONED = "mentioned"


@dataclass(frozen=True)
class Mention:
    """Something that several reviewers of an item mention.

    quote:       a clause of one of their reviews that says it
    time:        when that review was written; aware
    n_reviewers: how many of the item's reviewers mention it, at least 2
    """

    quote: str
    time: dt.datetime
    n_reviewers: int


@dataclass(frozen=True)
class Reason:
    """A reason, and what it rests on.

    because_item_id: the item of the customer that it rests on; None = none in particular
    name:            the brand, category, segment id, tier or term that it speaks of; None = none
    strength:        its share of all that spoke for the item in the ranker, in (0, 1]; None where no contributions were asked for
    mention:         where the term `name` is mentioned of the item itself; None for other reasons
    """

    code: ReasonCode
    because_item_id: str | None = None
    name: str | None = None
    strength: float | None = None
    mention: Mention | None = None


@dataclass(frozen=True)
class RecommendedItem:
    """One line of an answer.

    score: in (0, 1], comparable within this answer only
    rank:  1 is best
    rules: names of the strategy's rules that acted on it; see `RuleEffect`
    probability: that the customer buys it in the time of one ranking period, if it buys anything; comparable between answers; None where
           the ranker did not score the item, cannot tell, or nobody knows who asks
    """

    item_id: str
    score: float
    rank: int
    sources: tuple[str, ...]
    reasons: tuple[Reason, ...]
    rules: tuple[str, ...] = ()
    probability: float | None = None


@dataclass(frozen=True)
class RuleEffect:
    """What one rule of the strategy did to a list.

    rule:     its place in the strategy: "exclude[0]", "boosts[1]", "diversity", "max_per.brand" or "pins.3"
    shown:    items of the answer that it acted on: it changed their score (boosts) or place (diversity), or put them there (pins)
    left_out: items that it kept out. exclude: all that could be recommended but for it; max_per: candidates passed over before the
              list was full; boosts, diversity: of the best k before it acted, those it acted on and that are not shown
    """

    rule: str
    shown: int
    left_out: int


@dataclass(frozen=True)
class Trace:
    """How an answer came about. degraded: names of the parts left out and why; missing_item_ids: ids the catalogue does not have.

    segment, its name, tier and stage are None when nothing is known of the customer. rules: every rule of the strategy, in the order in
    which they act.
    """

    strategy: str
    strategy_version: str
    bundle_version: str
    segment: str | None = None
    segment_name: str | None = None
    tier: str | None = None
    stage: str | None = None
    experiment: str | None = None
    variant: str | None = None
    degraded: tuple[str, ...] = ()
    missing_item_ids: tuple[str, ...] = ()
    is_known_customer: bool = False
    rules: tuple[RuleEffect, ...] = ()


@dataclass(frozen=True)
class Recommendation:
    """One answer: items best first, and how they were found.

    features: what the ranker saw of each item; float32 (n_items, n_features), columns named by the bundle's feature names;
              NaN for items added after ranking (pinned, last resort); shape (n_items, 0) where no ranker ran
    """

    query: Query
    items: tuple[RecommendedItem, ...]
    trace: Trace
    features: Floats = field(repr=False, default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of the items, best first."""
        return tuple(item.item_id for item in self.items)

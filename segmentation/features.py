"""What a customer's purchases before a time say about the period after it: the columns that value and churn are predicted from.

One function computes them for training and for serving. Whatever single customers are compared with or drawn to is measured once, in
a `Population`, so a customer's columns depend on no other customer. Windows are multiples of the period that is predicted.

An order of negative value is a refund: it counts as money, not as a purchase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentation.bgnbd import BgNbd, GammaGamma, Repeats, fit_bgnbd, fit_gamma_gamma
from segmentation.purchases import DAY, Ints, Orders, Purchases, Reals, Times, orders_of
from segmentation.rfm import Rfm, orders_to_rfm, purchases_among

Columns: TypeAlias = dict[str, Reals]

WINDOWS = (0.25, 0.5, 1.0, 2.0, 4.0)
HALF_LIVES = (0.5, 2.0, 8.0)
YEAR_DAYS, MONTH_DAYS = 365.0, 28.0
PRIOR_GAPS, PRIOR_TOPIC_GAPS = 2.0, 1.0
OVER_AFTER = 1.5
"""A topic bought this many own intervals ago begins to look given up."""
GIANT_QUANTILE = 0.995
"""Who spent more than this share of customers did is seen as one of the size of that quantile, several times over."""


@dataclass(frozen=True)
class History:
    """Purchases of customers 0 .. n_customers - 1, sorted once for any number of cuts.

    orders:           as `orders_of` gives them; a basket belongs to the time of its first line
    topic_customers, topics, topic_times: lines with a topic, sorted by customer, then topic, then time; refunds are left out
    """

    n_customers: int
    orders: Orders
    topic_customers: Ints
    topics: Ints
    topic_times: Times

    @staticmethod
    def of(purchases: Purchases, n_customers: int) -> History:
        """The history in some purchase lines."""
        kept = purchases.take((purchases.topics >= 0) & ~(purchases.values < 0))
        rows = np.lexsort((kept.times, kept.topics, kept.customers))
        return History(n_customers, orders_of(purchases), kept.customers[rows], kept.topics[rows], kept.times[rows])

    def span_days(self, as_of: np.datetime64) -> float:
        """Days from the first purchase to the time; 0 without any."""
        times = purchases_among(self.orders).times
        return float((as_of - times.min()) / DAY) if len(times) else 0.0

    def before(self, time: np.datetime64) -> History:
        """What was known at the time."""
        rows = self.topic_times < time
        topical = self.topic_customers[rows], self.topics[rows], self.topic_times[rows]
        return History(self.n_customers, self.orders.before(time), *topical)


@dataclass(frozen=True)
class Population:
    """What all customers have in common, measured once.

    interval_days:       typical mean time between two orders; median over customers who came back
    topic_interval_days: the same between two purchases of one topic
    giant_spend:         net spend above which a customer counts as several, see GIANT_QUANTILE; above 0
    is_seasoned:         whether there was more than a year of history, so that last year's season can be looked up
    """

    period_days: float
    interval_days: float
    topic_interval_days: float
    giant_spend: float
    is_seasoned: bool
    orders: BgNbd
    money: GammaGamma


@dataclass(frozen=True)
class Extra:
    """Columns that the caller adds, from texts for example.

    names: distinct, letters, digits and underscores; as_of: the columns of all customers from what was before a time, shape
    (n_customers, len(names)), NaN = unknown
    """

    names: tuple[str, ...]
    as_of: Callable[[np.datetime64], Reals]


@dataclass(frozen=True)
class Features:
    """Columns of those who have bought.

    customers: their numbers, rising; int (n,)
    columns:   float64, shape (n, len(names)); NaN = unknown. those named in MONEY_NAMES are divided by `giant`
    giant:     how many times a customer is the size of the largest usual one; at least 1, shape (n,)
    repeats:   the history as the probabilistic standard sees it
    """

    customers: NDArray[np.intp]
    names: tuple[str, ...]
    columns: Reals
    giant: Reals
    repeats: Repeats

    def take(self, rows: NDArray[np.intp]) -> Features:
        """The given rows."""
        repeats = Repeats(*(column[rows] for column in vars(self.repeats).values()))
        return Features(self.customers[rows], self.names, self.columns[rows], self.giant[rows], repeats)


@dataclass(frozen=True)
class Examples:
    """Features of customers at earlier times, with what followed in the period after them.

    returned: whether a purchase followed; bool (n,)
    spent:    money of what followed, refunds taken off; float64 (n,)
    """

    features: Features
    returned: NDArray[np.bool_]
    spent: Reals

    def take(self, rows: NDArray[np.intp]) -> Examples:
        """The given rows."""
        return Examples(self.features.take(rows), self.returned[rows], self.spent[rows])


def joined(parts: Sequence[Examples]) -> Examples:
    """All examples, one part below the other; at least one."""
    features = [part.features for part in parts]
    repeats = Repeats(*(np.concatenate(columns) for columns in zip(*(vars(part.repeats).values() for part in features), strict=True)))
    return Examples(
        Features(
            customers=np.concatenate([part.customers for part in features]),
            names=features[0].names,
            columns=np.concatenate([part.columns for part in features]),
            giant=np.concatenate([part.giant for part in features]),
            repeats=repeats,
        ),
        np.concatenate([part.returned for part in parts]),
        np.concatenate([part.spent for part in parts]),
    )


def fit_population(history: History, as_of: np.datetime64, period_days: float) -> Population | None:
    """Measure what all customers have in common on a history, all of it before `as_of`; None = nobody came back for money."""
    repeats = repeats_of(history.orders, history.n_customers, as_of)
    if not repeats.money.any():
        return None
    rfm = orders_to_rfm(history.orders, history.n_customers, as_of)
    bought, _, topic_intervals = _topic_rhythm(history, as_of)
    return Population(
        period_days=period_days,
        interval_days=_typical(rfm.interval_days, period_days),
        topic_interval_days=_typical(topic_intervals[bought > 1], period_days),
        giant_spend=max(float(np.quantile(rfm.spend[rfm.has_bought], GIANT_QUANTILE)), 1e-9),
        is_seasoned=bool((as_of - history.orders.times.min()) / DAY > YEAR_DAYS),
        orders=fit_bgnbd(repeats),
        money=fit_gamma_gamma(repeats),
    )


def repeats_of(orders: Orders, n_customers: int, as_of: np.datetime64) -> Repeats:
    """The history of each customer who has bought, by rising number, in days; several orders of one day are one purchase."""
    bought = purchases_among(orders)
    days = bought.times.astype("datetime64[D]")
    is_new = np.ones(len(bought), np.bool_)
    is_new[1:] = (np.diff(bought.customers) != 0) | (np.diff(days) != np.timedelta64(0, "D"))
    first_rows = np.flatnonzero(is_new)
    money = np.add.reduceat(bought.values, first_rows) if len(bought) else bought.values
    starts: Times = days[first_rows].astype("datetime64[us]")
    ages = np.asarray((as_of - starts) / DAY, np.float64)

    customers, first, counts = np.unique(bought.customers[first_rows], return_index=True, return_counts=True)
    x = np.asarray(counts - 1, np.float64)
    total = np.bincount(bought.customers[first_rows], money, n_customers)[customers] - money[first]
    mean = np.maximum(total, 0.0) / np.maximum(x, 1.0)  # a rounding error is no repeat
    return Repeats(x, ages[first] - ages[first + counts - 1], ages[first], np.where(x > 0, mean, 0.0))


def features_of(
    history: History, as_of: np.datetime64, population: Population, extra: Reals | None, extra_names: tuple[str, ...]
) -> Features:
    """Columns of all who have bought, from a history that ends before `as_of`.

    extra: the caller's columns for all customers, shape (n_customers, len(extra_names)); None = all unknown
    """
    rfm = orders_to_rfm(history.orders, history.n_customers, as_of)
    customers = np.flatnonzero(rfm.has_bought)
    repeats = repeats_of(history.orders, history.n_customers, as_of)
    bought = purchases_among(history.orders)
    giant = np.maximum(rfm.spend[customers] / population.giant_spend, 1.0)

    standard = _standard(replace(repeats, money=repeats.money / giant), population)
    money = _money(history.orders, bought, rfm) | _windows(bought, history.n_customers, as_of, population, bought.values, "spend")
    counts = _windows(bought, history.n_customers, as_of, population, np.ones(len(bought)), "orders")
    times = _rhythm(bought, rfm, as_of, population) | counts | _topics(history, as_of, population)
    own = {name: column[customers] for name, column in (times | money).items()}
    columns = {name: column / giant if name in MONEY_NAMES else column for name, column in own.items()} | standard

    added = np.full((history.n_customers, len(extra_names)), np.nan) if extra is None else extra
    table = np.concatenate([np.stack(list(columns.values()), axis=1), added[customers]], axis=1)
    return Features(customers, (*columns, *extra_names), table, giant, repeats)


def _standard(repeats: Repeats, population: Population) -> Columns:
    """What the probabilistic standard says of the period."""
    orders, value = population.orders.expected(repeats, population.period_days), population.money.expected(repeats)
    return {
        "standard_orders": orders,
        "standard_return": population.orders.returns(repeats, population.period_days),
        "standard_alive": population.orders.alive(repeats),
        "standard_order_value": value,
        "standard_spend": orders * value,
    }


def _rhythm(bought: Orders, rfm: Rfm, as_of: np.datetime64, population: Population) -> Columns:
    """How often a customer comes, and how long ago that was; the own interval is drawn to the typical one."""
    n_customers = len(rfm.n_orders)
    ages = bought.ages_days(as_of)
    follows = bought.customers[1:] == bought.customers[:-1]
    who, gaps = bought.customers[1:][follows], -np.diff(ages)[follows]
    n_gaps = np.maximum(rfm.n_orders - 1, 0)
    last, longest = np.full(n_customers, np.nan), np.full(n_customers, -np.inf)
    last[who] = gaps  # the last assignment stays
    np.maximum.at(longest, who, gaps)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(who, gaps, n_customers) / n_gaps
        variance = np.bincount(who, gaps**2, n_customers) / n_gaps - mean**2
    own = own_intervals(rfm, population.interval_days)
    months = np.unique(bought.customers.astype(np.int64) << 32 | (ages / MONTH_DAYS).astype(np.int64)) >> 32
    return {
        "n_orders": rfm.n_orders.astype(np.float64),
        "recency_days": rfm.recency_days,
        "tenure_days": rfm.tenure_days,
        "own_interval_days": own,
        "overdue": rfm.recency_days / own,
        "interval_deviation": np.where(n_gaps > 1, np.sqrt(np.maximum(variance, 0)), np.nan),
        "last_interval_days": last,
        "longest_interval_days": np.where(n_gaps > 0, longest, np.nan),
        "months_active": np.bincount(months, minlength=n_customers).astype(np.float64),
    }


def own_intervals(rfm: Rfm, typical_days: float) -> Reals:
    """Each customer's mean time between orders, drawn to the typical one as if PRIOR_GAPS such gaps had been seen."""
    gaps = np.maximum(rfm.n_orders - 1, 0)
    span = np.where(rfm.has_bought, rfm.tenure_days - rfm.recency_days, 0.0)
    return np.asarray((span + PRIOR_GAPS * typical_days) / (gaps + PRIOR_GAPS))


def _money(orders: Orders, bought: Orders, rfm: Rfm) -> Columns:
    n_customers = len(rfm.n_orders)
    paid = bought.sum_per_customer(bought.values, n_customers)
    refunded = orders.sum_per_customer(np.maximum(-orders.values, 0.0), n_customers)
    first, last, largest = np.full(n_customers, np.nan), np.full(n_customers, np.nan), np.zeros(n_customers)
    first[bought.customers[::-1]] = bought.values[::-1]
    last[bought.customers] = bought.values
    np.maximum.at(largest, bought.customers, bought.values)
    total = paid + refunded
    return {
        "net_spend": rfm.spend,
        "paid": paid,
        "paid_per_order": paid / np.maximum(rfm.n_orders, 1),
        "first_order_value": first,
        "last_order_value": last,
        "largest_order_value": largest,
        "refunded_share": np.divide(refunded, total, out=np.zeros(n_customers), where=total > 0),
    }


def _windows(bought: Orders, n_customers: int, as_of: np.datetime64, population: Population, amounts: Reals, name: str) -> Columns:
    """Sums over the last WINDOWS, rates fading with HALF_LIVES, both in periods; the trend; the same season a year ago."""
    period, ages = population.period_days, bought.ages_days(as_of)

    def summed(rows: NDArray[np.bool_]) -> Reals:
        return bought.sum_per_customer(amounts * rows, n_customers)

    columns = {f"{name}_{window:g}": summed(ages <= window * period) for window in WINDOWS}
    oldest = np.zeros(n_customers)
    np.maximum.at(oldest, bought.customers, ages)
    for half_life in HALF_LIVES:
        mean_life = half_life * period / np.log(2)
        seen_days = -np.expm1(-oldest / mean_life) * mean_life
        faded = bought.sum_per_customer(amounts * 0.5 ** (ages / (half_life * period)), n_customers)
        columns[f"{name}_fading_{half_life:g}"] = faded / (seen_days + period / 2)
    a_year_ago = (ages <= YEAR_DAYS) & (ages > YEAR_DAYS - period)
    columns[f"{name}_a_year_ago"] = summed(a_year_ago) if population.is_seasoned else np.full(n_customers, np.nan)
    return columns


def _topics(history: History, as_of: np.datetime64, population: Population) -> Columns:
    """Breadth, and how many topics are due: each topic bought again has a rhythm of its own."""
    n_customers, period = history.n_customers, population.period_days
    bought, (who, span, silence), _ = _topic_rhythm(history, as_of)
    own = (span + PRIOR_TOPIC_GAPS * population.topic_interval_days) / (bought - 1 + PRIOR_TOPIC_GAPS)
    given_up = np.exp(-np.maximum(silence / own - OVER_AFTER, 0.0))
    repeated = bought > 1
    due = repeated * np.minimum(period / own, WINDOWS[-1]) * given_up
    n_topics = np.bincount(who, minlength=n_customers).astype(np.float64)
    n_repeated = np.bincount(who, repeated.astype(np.float64), n_customers).astype(np.float64)
    return {
        "n_lines": np.bincount(history.topic_customers, minlength=n_customers).astype(np.float64),
        "n_topics": n_topics,
        "n_repeated_topics": n_repeated,
        "repeated_share": n_repeated / np.maximum(n_topics, 1),
        "n_recent_topics": np.bincount(who[silence < 2 * period], minlength=n_customers).astype(np.float64),
        "topics_due": np.bincount(who, due, n_customers).astype(np.float64),
    }


def _topic_rhythm(history: History, as_of: np.datetime64) -> tuple[Reals, tuple[Ints, Reals, Reals], Reals]:
    """Per customer and topic: days on which it was bought; whose, days from the first to the last, days since; mean interval."""
    days = history.topic_times.astype("datetime64[D]")
    pair = history.topic_customers.astype(np.int64) << 32 | history.topics
    is_new_pair = np.diff(pair, prepend=-1) != 0
    is_new_day = is_new_pair | (np.diff(days, prepend=days[:1]) != np.timedelta64(0, "D"))
    first = np.flatnonzero(is_new_pair)
    bought = np.add.reduceat(is_new_day, first, dtype=np.float64) if len(first) else np.zeros(0)
    last = np.append(first[1:], len(days))[: len(first)] - 1
    span = np.asarray((days[last] - days[first]) / DAY, np.float64)
    silence = np.asarray((as_of - history.topic_times[last]) / DAY, np.float64)
    return bought, (history.topic_customers[first], span, silence), span / np.maximum(bought - 1, 1)


def _typical(intervals: Reals, otherwise: float) -> float:
    """Median of the known intervals, at least one day."""
    known = intervals[np.isfinite(intervals)]
    return max(float(np.median(known)) if len(known) else otherwise, 1.0)


_SUMS = (*(f"{window:g}" for window in WINDOWS), *(f"fading_{half_life:g}" for half_life in HALF_LIVES), "a_year_ago")
MONEY_NAMES = frozenset(
    {"net_spend", "paid", "paid_per_order", "first_order_value", "last_order_value", "largest_order_value"}
    | {"standard_order_value", "standard_spend"}
    | {f"spend_{name}" for name in _SUMS}
)
"""Columns in currency: nobody is expected to spend less for having spent more."""

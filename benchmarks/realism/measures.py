"""The statistics of one shop: figures (one number each), samples (whole distributions) and profiles (curves)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.realism.purchases import Counts, Purchases
from benchmarks.realism.statistics import Numbers, gini, grouped_variation, mean, summary, variation, zipf_exponent
from recsys.types import Times

DAY = np.timedelta64(1, "D")
RATE_DAYS = 30
MIN_GAPS = 5
"""A customer's own rhythm needs so many gaps."""
MAX_BASKETS = 50
MIN_CUSTOMERS = 30
"""A point of the repeat curve needs so many customers."""
MIN_LINES = 10
"""An item's prices vary visibly from so many lines on."""
PRICE_STEP = 0.05
MIN_MONTH_DAYS = 20
"""A month with fewer days in the data says little of what is new in a month."""


@dataclass(frozen=True)
class Measured:
    """All that is measured of one shop.

    figures:  one number per name; what the shop cannot give is NaN or missing
    samples:  the values behind them, in no order, per name
    profiles: curves as (x, y) per name
    """

    figures: dict[str, float] = field(default_factory=dict)
    samples: dict[str, Numbers] = field(default_factory=dict)
    profiles: dict[str, tuple[Numbers, Numbers]] = field(default_factory=dict)

    @staticmethod
    def joined(parts: Iterable[Measured]) -> Measured:
        """All parts in one, in their order."""
        whole = Measured()
        for part in parts:
            whole.figures.update(part.figures)
            whole.samples.update(part.samples)
            whole.profiles.update(part.profiles)
        return whole


def measure(purchases: Purchases) -> Measured:
    """Everything that purchases tell."""
    tails = tail("items", purchases.per_item()), tail("customers", purchases.per_customer())
    return Measured.joined((*tails, *(part(purchases) for part in (size, baskets, gaps, rhythm, repeats, calendar, novelty, prices))))


def size(purchases: Purchases) -> Measured:
    """How much there is."""
    figures = {
        "customers": len(purchases.per_customer()),
        "items": len(purchases.per_item()),
        "baskets": len(purchases.basket_times),
        "lines": len(purchases.line_items),
        "days": float((purchases.end - purchases.start) / DAY),
    }
    return Measured({name: float(value) for name, value in figures.items()})


def tail(of: str, counts: Counts) -> Measured:
    """How unequally lines are spread over items, or over customers."""
    descending = np.sort(counts)[::-1].astype(np.float64)
    shares = np.concatenate([[0.0], np.cumsum(descending) / descending.sum()])
    at = np.linspace(0, 1, len(shares))
    figures = {f"gini_{of}": gini(counts), f"per_{of}_median": float(np.median(counts))}
    figures |= {f"top{percent}_{of}": float(np.interp(percent / 100, at, shares)) for percent in (1, 10, 20)}
    if of == "items":
        figures |= {"zipf_items": zipf_exponent(counts), "once_items": mean(counts == 1)}
    ranks = np.arange(1, len(descending) + 1) / len(descending)
    profiles = {f"lorenz_{of}": (at, 1 - shares[::-1]), f"ranks_{of}": (ranks, descending / descending.mean())}
    return Measured(figures, {f"per_{of}": counts.astype(np.float64)}, profiles)


def baskets(purchases: Purchases) -> Measured:
    """Distinct items and money of a basket."""
    sizes = np.bincount(purchases.line_baskets).astype(np.float64)
    money = purchases.basket_money[purchases.basket_money > 0]  # NaN compares as False
    figures = summary("basket_items", sizes, (50, 90, 99)) | {"single_baskets": mean(sizes == 1)}
    figures |= summary("basket_money", money, (50, 90, 99)) | {"basket_money_cv": variation(money)}
    return Measured(figures, {"basket_items": sizes, "basket_money": money})


def gaps(purchases: Purchases) -> Measured:
    """Days between one basket of a customer and the next."""
    same = np.flatnonzero(np.diff(purchases.basket_customers) == 0)
    days = np.diff(purchases.basket_times)[same] / DAY
    figures = summary("gap", days) | {"gap_cv": variation(days)}
    figures["gap_own_cv"] = grouped_variation(purchases.basket_customers[same], days, MIN_GAPS)
    figures["gap_same_day"] = mean(np.diff(purchases.basket_times.astype("datetime64[D]"))[same] == np.timedelta64(0))
    return Measured(figures, {"gap": days})


def rhythm(purchases: Purchases) -> Measured:
    """How often customers come, and whether they stay."""
    first = np.flatnonzero(np.diff(purchases.basket_customers, prepend=-1))
    counts = np.diff(first, append=len(purchases.basket_customers))
    days = (purchases.end - purchases.basket_times[first]) / DAY
    rates = RATE_DAYS * counts[days >= RATE_DAYS] / days[days >= RATE_DAYS]
    figures = summary("rate", rates) | {"one_basket": mean(counts == 1), "baskets_median": float(np.median(counts))}
    return Measured(figures | {"stayed": stayed(purchases)}, {"rate": rates, "baskets_per_customer": counts.astype(np.float64)})


def stayed(purchases: Purchases) -> float:
    """Share of the customers of the first half of the time who buy in its last quarter too."""
    span = purchases.end - purchases.start
    early = np.unique(purchases.basket_customers[purchases.basket_times < purchases.start + span // 2])
    late = np.unique(purchases.basket_customers[purchases.basket_times >= purchases.end - span // 4])
    return mean(np.isin(early, late))


def repeats(purchases: Purchases) -> Measured:
    """How much of a basket its customer had bought before, and after how many days an item is bought again."""
    customers = purchases.basket_customers[purchases.line_baskets].astype(np.int64)
    pairs = customers * (int(purchases.line_items.max()) + 1) + purchases.line_items
    order = np.argsort(pairs, kind="stable")  # lines are in order of basket, so of time within a customer
    follows = np.concatenate([[False], np.diff(pairs[order]) == 0])
    is_repeat = np.empty(len(order), np.bool_)
    is_repeat[order] = follows
    days = np.diff(purchases.line_times()[order])[follows[1:]] / DAY
    nth = nth_basket(purchases.basket_customers)
    curve = repeat_curve(nth, nth[purchases.line_baskets], is_repeat)
    figures = {"repeat_share": mean(is_repeat[nth[purchases.line_baskets] >= 2])}
    figures |= {f"repeat_at_{k}": float(curve[1][k - 1]) for k in (2, 5, 10, 20, 50) if k <= len(curve[1])}
    figures |= summary("repeat_gap", days) | {"repeat_gap_cv": variation(days)}
    return Measured(figures, {"repeat_gap": days}, {"repeat_share": curve})


def nth_basket(basket_customers: NDArray[Any]) -> Counts:
    """1 for a customer's first basket, 2 for the second, ...; baskets are ordered by customer and time."""
    starts = np.flatnonzero(np.diff(basket_customers, prepend=-1))
    lengths = np.diff(starts, append=len(basket_customers))
    return np.arange(len(basket_customers)) - np.repeat(starts, lengths) + 1


def repeat_curve(basket_nth: Counts, line_nth: Counts, is_repeat: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Share of repeat lines in the k-th basket, k = 1, 2, ..., as far as enough customers have so many."""
    reached = np.bincount(basket_nth)[1:]  # never rises: who has a k-th basket has all before it
    last = min(MAX_BASKETS, int(np.sum(reached >= MIN_CUSTOMERS)))
    n_lines, n_repeats = np.bincount(line_nth)[1:], np.bincount(line_nth, is_repeat)[1:]
    return np.arange(1.0, last + 1), n_repeats[:last] / n_lines[:last]


def calendar(purchases: Purchases) -> Measured:
    """When baskets are bought: share of each weekday, and baskets per day of each month over those of a mean day."""
    dates = purchases.basket_times.astype("datetime64[D]")
    weekdays = np.bincount((dates.astype(np.int64) + 3) % 7, minlength=7) / len(dates)  # the epoch was a Thursday
    covered = np.arange(dates.min(), dates.max() + 1)
    with np.errstate(invalid="ignore"):
        per_day = np.bincount(months_of(dates) % 12, minlength=12) / np.bincount(months_of(covered) % 12, minlength=12)
    months = per_day / (len(dates) / len(covered))
    figures = {
        "weekend_share": float(weekdays[5:].sum()),
        "best_weekday": float(weekdays.max() * 7),
        "worst_weekday": float(weekdays.min() * 7),
        "best_month": float(np.nanmax(months)),
        "worst_month": float(np.nanmin(months)),
    }
    return Measured(figures, {}, {"weekday": (np.arange(7.0), weekdays), "month": (np.arange(1.0, 13.0), months)})


def months_of(times: Times) -> Counts:
    """Months since January 1970."""
    return times.astype("datetime64[M]").astype(np.int64)


def novelty(purchases: Purchases) -> Measured:
    """Items sold for the first time: their share of the items, and of the lines, of each whole month after the first."""
    start = months_of(purchases.basket_times).min()
    months = months_of(purchases.line_times()) - start
    n_months = int(months.max()) + 1
    first = np.full(int(purchases.line_items.max()) + 1, n_months)
    np.minimum.at(first, purchases.line_items, months)
    is_new = first[purchases.line_items] == months
    sold, place = np.unique(months * len(first) + purchases.line_items, return_index=True)
    covered = np.arange(purchases.start.astype("datetime64[D]"), purchases.end.astype("datetime64[D]") + 1)
    whole = np.flatnonzero(np.bincount(months_of(covered) - start) >= MIN_MONTH_DAYS)
    whole = whole[whole > 0]
    profiles = {
        "new_items": (whole.astype(np.float64), share_by(sold // len(first), is_new[place], n_months)[whole]),
        "new_lines": (whole.astype(np.float64), share_by(months, is_new, n_months)[whole]),
    }
    return Measured({name: mean(share[whole >= n_months // 2]) for name, (_, share) in profiles.items()}, {}, profiles)


def share_by(groups: Counts, is_so: NDArray[np.bool_], n_groups: int) -> Numbers:
    """Share of rows that are so in each group; NaN where a group has no rows."""
    with np.errstate(invalid="ignore"):
        return np.bincount(groups, is_so, n_groups) / np.bincount(groups, minlength=n_groups)


def prices(purchases: Purchases) -> Measured:
    """Prices that lines were sold at: how far they reach, and how much one item's price moves."""
    order = np.lexsort((purchases.prices, purchases.priced_items))
    paid, items = purchases.prices[order], purchases.priced_items[order]
    starts = np.flatnonzero(np.diff(items, prepend=-1))
    n = np.diff(starts, append=len(items))
    middle = (paid[starts + (n - 1) // 2] + paid[starts + n // 2]) / 2
    often = np.repeat(n >= MIN_LINES, n)
    relative = (paid / np.repeat(middle, n))[often]
    figures = summary("price", paid, (10, 50, 90)) | {
        "price_log_sd": float(np.std(np.log(paid))) if len(paid) else float("nan"),
        "item_price_cv": grouped_variation(items[often], paid[often], MIN_LINES),
        "reduced_lines": mean(relative < 1 - PRICE_STEP),
        "raised_lines": mean(relative > 1 + PRICE_STEP),
    }
    return Measured(figures, {"price": paid, "relative_price": relative})

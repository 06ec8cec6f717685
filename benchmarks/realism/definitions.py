"""What every number is called and how it is defined: one place for the tables, the report and the sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["count", "number", "share", "days"]


@dataclass(frozen=True)
class FigureDefinition:
    """One number of a shop.

    label:       what it is, fit to stand before a colon
    meaning:     how it is computed where the label does not say; may be empty
    is_compared: whether a planted shop should come near the real ones; sizes and money in a currency of its own need not
    """

    name: str
    label: str
    kind: Kind
    meaning: str = ""
    is_compared: bool = True


@dataclass(frozen=True)
class Group:
    """Figures that belong together, in the order in which they are shown."""

    title: str
    figures: tuple[FigureDefinition, ...]


@dataclass(frozen=True)
class ShapeDefinition:
    """A distribution or a profile that shops are compared by.

    measure: KS = Kolmogorov-Smirnov distance of values over their median; TV = share of baskets that would have to move;
             mean = mean difference of two curves
    """

    name: str
    label: str
    measure: Literal["KS", "TV", "mean"]
    are_counts: bool = False


_F = FigureDefinition

GROUPS = (
    Group(
        "size",
        (
            _F("customers", "customers", "count", "customers with at least one purchase", False),
            _F("items", "items bought", "count", "items of at least one purchase", False),
            _F("baskets", "baskets", "count", "rows with an equal basket_id, else session, else customer and time", False),
            _F("lines", "lines", "count", "distinct items of each basket; a line is what all shares below count", False),
            _F("days", "days from the first to the last basket", "number", "", False),
        ),
    ),
    Group(
        "long tail of items",
        (
            _F("gini_items", "Gini coefficient of lines per item", "number", "over items bought at least once; 0 = all alike"),
            _F("top1_items", "share of lines in the top 1 % of items", "share"),
            _F("top10_items", "share of lines in the top 10 % of items", "share"),
            _F("top20_items", "share of lines in the top 20 % of items", "share"),
            _F(
                "zipf_items",
                "Zipf exponent of items",
                "number",
                "minus the slope of log lines over log rank, from rank 10 to the top fifth, at even steps of log rank",
            ),
            _F("once_items", "share of items bought once", "share"),
            _F("per_items_median", "median lines per item", "count", "", False),
        ),
    ),
    Group(
        "long tail of customers",
        (
            _F("gini_customers", "Gini coefficient of lines per customer", "number"),
            _F("top1_customers", "share of lines of the top 1 % of customers", "share"),
            _F("top10_customers", "share of lines of the top 10 % of customers", "share"),
            _F("top20_customers", "share of lines of the top 20 % of customers", "share"),
            _F("per_customers_median", "median lines per customer", "count", "", False),
        ),
    ),
    Group(
        "baskets",
        (
            _F("basket_items_median", "median items per basket", "number", "distinct items"),
            _F("basket_items_mean", "mean items per basket", "number"),
            _F("basket_items_p90", "items per basket, 90th percentile", "number"),
            _F("basket_items_p99", "items per basket, 99th percentile", "number"),
            _F("single_baskets", "share of baskets with one item", "share"),
            _F(
                "basket_money_median",
                "median money per basket",
                "number",
                "baskets whose lines all have a value, with a sum above 0",
                False,
            ),
            _F("basket_money_mean", "mean money per basket", "number", "", False),
            _F("basket_money_p90", "money per basket, 90th percentile", "number", "", False),
            _F("basket_money_p99", "money per basket, 99th percentile", "number", "", False),
            _F("basket_money_cv", "coefficient of variation of money per basket", "number"),
        ),
    ),
    Group(
        "time between baskets",
        (
            _F("gap_median", "median days between baskets", "days", "from one basket of a customer to the next"),
            _F("gap_mean", "mean days between baskets", "days"),
            _F("gap_p90", "days between baskets, 90th percentile", "days"),
            _F("gap_cv", "coefficient of variation of days between baskets", "number", "over all customers' gaps together"),
            _F(
                "gap_own_cv",
                "coefficient of variation of a customer's own gaps",
                "number",
                "median over customers with at least 5 gaps; 1 = as irregular as chance, 0 = like a clock",
            ),
            _F("gap_same_day", "share of gaps within one day", "share", "both baskets on one date (UTC)"),
        ),
    ),
    Group(
        "how often customers come",
        (
            _F(
                "rate_median",
                "median baskets per 30 days",
                "number",
                "from a customer's first basket to the end, where that is 30 days or more",
            ),
            _F("rate_mean", "mean baskets per 30 days", "number"),
            _F("rate_p90", "baskets per 30 days, 90th percentile", "number"),
            _F("baskets_median", "median baskets per customer", "number"),
            _F("one_basket", "share of customers with one basket", "share"),
            _F(
                "stayed",
                "share of customers who stayed",
                "share",
                "of those who bought in the first half of the time, who bought in its last quarter too",
            ),
        ),
    ),
    Group(
        "buying again",
        (
            _F(
                "repeat_share",
                "share of repeat lines",
                "share",
                "lines of a second or later basket whose item its customer had bought in an earlier one",
            ),
            _F(
                "repeat_at_2",
                "share of repeat lines in the 2nd basket",
                "share",
                "needs 30 customers with so many baskets, like those below",
            ),
            _F("repeat_at_5", "share of repeat lines in the 5th basket", "share"),
            _F("repeat_at_10", "share of repeat lines in the 10th basket", "share"),
            _F("repeat_at_20", "share of repeat lines in the 20th basket", "share"),
            _F("repeat_at_50", "share of repeat lines in the 50th basket", "share"),
            _F(
                "repeat_gap_median",
                "median days until an item is bought again",
                "days",
                "from one basket of a customer to their next with the item",
            ),
            _F("repeat_gap_mean", "mean days until an item is bought again", "days"),
            _F("repeat_gap_p90", "days until an item is bought again, 90th percentile", "days"),
            _F("repeat_gap_cv", "coefficient of variation of days until an item is bought again", "number"),
        ),
    ),
    Group(
        "calendar",
        (
            _F("weekend_share", "share of baskets on Saturday and Sunday", "share", "in UTC"),
            _F("best_weekday", "busiest weekday over the mean weekday", "number"),
            _F("worst_weekday", "quietest weekday over the mean weekday", "number"),
            _F("best_month", "busiest month over the mean day", "number", "baskets per day of the month over baskets per day of all"),
            _F("worst_month", "quietest month over the mean day", "number"),
        ),
    ),
    Group(
        "new items",
        (
            _F(
                "new_items",
                "share of a month's items that are new",
                "share",
                "first sold in that month; mean over whole months of the second half",
            ),
            _F("new_lines", "share of a month's lines that are of new items", "share"),
        ),
    ),
    Group(
        "prices",
        (
            _F("price_median", "median price of a line", "number", "money per piece", False),
            _F("price_mean", "mean price of a line", "number", "", False),
            _F("price_p10", "price of a line, 10th percentile", "number", "", False),
            _F("price_p90", "price of a line, 90th percentile", "number", "", False),
            _F("price_log_sd", "spread of the prices of lines", "number", "standard deviation of the natural logarithm"),
            _F("item_price_cv", "coefficient of variation of an item's price", "number", "median over items with at least 10 lines"),
            _F(
                "reduced_lines",
                "share of lines below their item's price",
                "share",
                "more than 5 % below the item's median price; same items",
            ),
            _F("raised_lines", "share of lines above their item's price", "share", "more than 5 % above it"),
        ),
    ),
    Group(
        "sessions",
        (
            _F("sessions", "sessions", "count", "rows with an equal session_id that hold a view", False),
            _F("session_views_median", "median views per session", "number"),
            _F("session_views_mean", "mean views per session", "number"),
            _F("session_views_p90", "views per session, 90th percentile", "number"),
            _F("session_carts", "share of sessions that put something into the cart", "share"),
            _F("session_buys", "share of sessions that buy", "share"),
        ),
    ),
)

_S = ShapeDefinition

SHAPES = (
    _S("per_items", "lines per item", "KS", are_counts=True),
    _S("per_customers", "lines per customer", "KS", are_counts=True),
    _S("basket_items", "items per basket", "KS", are_counts=True),
    _S("basket_money", "money per basket", "KS"),
    _S("gap", "days between baskets", "KS"),
    _S("rate", "baskets per 30 days", "KS"),
    _S("baskets_per_customer", "baskets per customer", "KS", are_counts=True),
    _S("repeat_gap", "days until an item is bought again", "KS"),
    _S("price", "price of a line", "KS"),
    _S("relative_price", "price of a line over its item's median price", "KS"),
    _S("repeat_share", "share of repeat lines over the k-th basket", "mean"),
    _S("new_items", "share of new items over the months", "mean"),
    _S("new_lines", "share of lines of new items over the months", "mean"),
    _S("weekday", "baskets over the week", "TV"),
    _S("month", "baskets over the year", "TV"),
)

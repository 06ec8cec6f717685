"""The data contract, once: the tables of a shop, their columns, and what a value may be.

Everything else that knows a column's name or bounds (reading, checking, writing, the documentation of `segrec import`) takes it from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Kind = Literal["id", "event", "text", "number", "count", "flag", "time", "path", "attributes"]

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "id": pa.string(),
    "event": pa.string(),
    "text": pa.string(),
    "number": pa.float64(),
    "count": pa.int64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
    "path": pa.list_(pa.string()),
    "attributes": pa.map_(pa.string(), pa.string()),
}

EXPECTED: dict[Kind, str] = {
    "id": "an id is a non-empty string or a whole number",
    "event": "an event is a name such as view, cart, purchase or return",
    "text": "a text is a string",
    "number": "a number looks like 12, -3.5 or 1e3",
    "count": "a count is a whole number",
    "flag": "a flag is true or false (also 1 or 0, yes or no)",
    "time": "a time looks like 2024-05-31, 2024-05-31T18:30:00+02:00 or 1717173000 (without a zone: UTC; other forms: time_format)",
    "path": "a path is a list of names, or one string with its parts set apart by > or |",
    "attributes": 'attributes are names with values, such as {"colour": "red"}',
}
"""What would be right, per kind; the last words of every refusal."""

EARLIEST = "1990-01-01"
"""No time of a shop is earlier; what is, is a unit mistaken (seconds read as milliseconds) or a default of some system."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    required: the column must be there and no row may leave it empty, unless there is a default
    default:  what an empty value means; a column with a default is always written
    low, high: inclusive bounds of a number; above: exclusive lower bound
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    default: str | bool | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None

    @property
    def bounds(self) -> str:
        """The bounds in words; empty when there are none."""
        words = (("at least", self.low), ("more than", self.above), ("at most", self.high))
        return " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)


@dataclass(frozen=True)
class Table:
    """One table of a shop.

    required: a shop without it is refused
    one_of:   columns of which each row must fill at least one; empty = no such rule
    unique:   the column whose filled values may not repeat; the first row stays, later ones are refused
    is_open:  any further column is kept, as a string
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    required: bool = False
    one_of: tuple[str, ...] = ()
    unique: str | None = None
    is_open: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in their order."""
        return tuple(column.name for column in self.columns)

    def arrow_schema(self, filled: Iterable[str]) -> pa.Schema:
        """The schema of the canonical Parquet file when a source fills these columns."""
        filled = list(filled)
        fields = [
            pa.field(column.name, ARROW_TYPES[column.kind])
            for column in self.columns
            if column.name in filled or column.default is not None
        ]
        extra = [pa.field(name, pa.string()) for name in filled if name not in self.names] if self.is_open else []
        return pa.schema(fields + extra)


_WHO = ("customer_id", "visitor_id", "basket_id")
_CUSTOMER = Column("customer_id", "id", "the customer, where one is known")
_VISITOR = Column("visitor_id", "id", "the browser or device, where no customer is known")
_ITEM = Column("item_id", "id", "the item", required=True)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "items",
            "what the shop sells, one row per item",
            (
                _ITEM,
                Column("title", "text", "the name shown to customers; may be empty", required=True, default=""),
                Column("description", "text", "what it is, in sentences"),
                Column("brand", "text", "the maker, as customers know it"),
                Column("category", "path", "names from the department down to the product type"),
                Column("price", "number", "price of one piece, in the shop's currency", low=0, high=1e9),
                Column("cost", "number", "what one piece costs the shop", low=0, high=1e9),
                Column("attributes", "attributes", "further properties: colour, size, ..."),
                Column("group_id", "id", "variants of one product share it"),
                Column("available", "flag", "in stock; empty = yes", default=True),
                Column("recommendable", "flag", "may be recommended at all; empty = yes", default=True),
                Column("created_time", "time", "when the shop first offered it"),
                Column("valid_from", "time", "since when this row's price holds"),
            ),
            required=True,
            unique="item_id",
        ),
        Table(
            "customers",
            "what is known of customers beside what they do; any further column is kept as a string",
            (Column("customer_id", "id", "the customer", required=True),),
            unique="customer_id",
            is_open=True,
        ),
        Table(
            "interactions",
            "what customers did, one row per line of a basket, view, return, ...",
            (
                _ITEM,
                _CUSTOMER,
                _VISITOR,
                Column("event", "event", "view, cart, purchase, return, or the shop's own word; lower-cased", required=True),
                Column("event_time", "time", "when it happened", required=True),
                Column("basket_id", "id", "lines with an equal id are one order"),
                Column("session_id", "id", "rows with an equal id are one visit"),
                Column("event_id", "id", "tells rows apart; a repeat is refused"),
                Column("quantity", "number", "pieces, or litres, or grams: never trusted raw", low=-1e9, high=1e9),
                Column("value", "number", "money of the whole line", low=-1e9, high=1e9),
                Column("currency", "text", "of the value, where the shop has several"),
            ),
            required=True,
            one_of=_WHO,
            unique="event_id",
        ),
        Table(
            "reviews",
            "what customers wrote about items",
            (
                Column("customer_id", "id", "the customer", required=True),
                _ITEM,
                Column("text", "text", "the review; may be empty", required=True, default=""),
                Column("title", "text", "its headline"),
                Column("rating", "number", "stars", low=1, high=5),
                Column("event_time", "time", "when it was written; without one it never feeds as-of values"),
                Column("helpful_count", "count", "readers who found it helpful", low=0, high=1e9),
            ),
        ),
        Table(
            "messages",
            "questions to customer service",
            (
                Column("customer_id", "id", "the customer", required=True),
                Column("text", "text", "the message; may be empty", required=True, default=""),
                Column("event_time", "time", "when it was sent"),
                Column("channel", "text", "mail, chat, phone, ..."),
            ),
        ),
        Table(
            "exposures",
            "items that were shown, one row per item of an answer",
            (
                Column("request_id", "id", "rows with an equal id are one answer", required=True),
                _ITEM,
                Column("position", "count", "1 is the first", required=True, low=1, high=1e6),
                Column("event_time", "time", "when it was shown", required=True),
                _CUSTOMER,
                _VISITOR,
                Column("placement", "text", "where it was shown: home, cart, ..."),
                Column("propensity", "number", "probability that it was shown there", above=0, high=1),
                Column("strategy", "text", "what chose the item"),
                Column("experiment", "text", "the A/B test the answer belonged to"),
                Column("variant", "text", "its arm"),
            ),
            one_of=("customer_id", "visitor_id"),
        ),
    )
}
"""All tables by name, items first: whatever names an item comes after them."""

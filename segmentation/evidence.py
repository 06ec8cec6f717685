"""What profiles rest on: the customer's own orders, what it bought that tells its segment, and where the cut points lie."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import SegmentationError
from segmentation.features import own_intervals
from segmentation.purchases import Floats, Ints, Orders, Reals, Times, duration
from segmentation.rfm import Rfm, purchases_among

NEVER = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class Facts:
    """One row of `Evidence`, in the same words.

    spend, recent_spend: None = the shop gives no money
    thing:               name; None = nothing that the customer bought speaks for its segment
    runner_up:           row of the segment; None = there is no other
    """

    n_orders: int
    first_order: dt.datetime
    last_order: dt.datetime
    interval_days: float
    spend: float | None
    recent_orders: int
    recent_spend: float | None
    tier_value: float
    thing: str | None
    thing_is_item: bool
    thing_lines: int
    thing_weight: float
    runner_up: int | None
    runner_up_probability: float


@dataclass(frozen=True)
class Evidence:
    """What is known of customers 0 .. n - 1, as parallel arrays; 0, NaN, NaT and -1 where a customer never bought.

    n_orders:      distinct orders that are not refunds; int32
    first_order, last_order: of these, when they began; datetime64[us]
    interval_days: the customer's usual time between orders, drawn to the typical one while orders are few (`lifecycle`); float32
    spend:         money of all lines whose value is known, less what was refunded; NaN where the shop gives no money; float32
    recent_orders, recent_spend: the same of the last horizon before the time of the profile
    tier_value:    what is expected over the horizon, by which the tier was cut: money, or lines where the shop gives none; float64
    thing:         row of thing_names: what the customer bought that speaks most for its segment, -1 = nothing does; int32
    thing_lines:   lines in which it bought that; int32
    thing_weight:  by how much that raises the log-likelihood of the segment above that of the average segment; above 0; float32
    runner_up:     row of the likeliest other segment, -1 = there is none; int16
    runner_up_probability: of that one, in [0, 1]; float32
    thing_names:   ids of items, then names of topics
    n_items:       how many of them are items
    tier_unit:     "money" or "lines", of `tier_value` and `tier_cuts`
    tier_cuts:     above the first a customer is of tier medium, above the second of tier high
    order_limits:  orders up to which a customer can be new, and from which it can be loyal
    typical_interval_days: what `interval_days` is drawn to
    """

    n_orders: Ints
    first_order: Times
    last_order: Times
    interval_days: Floats
    spend: Floats
    recent_orders: Ints
    recent_spend: Floats
    tier_value: Reals
    thing: Ints
    thing_lines: Ints
    thing_weight: Floats
    runner_up: NDArray[np.int16]
    runner_up_probability: Floats
    thing_names: tuple[str, ...]
    n_items: int
    tier_unit: str
    tier_cuts: tuple[float, float]
    order_limits: tuple[int, int]
    typical_interval_days: float

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of evidence differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.n_orders)

    @staticmethod
    def nobody() -> Evidence:
        """Of no customer anything is known."""
        counts, amounts, times = np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, "datetime64[us]")
        return Evidence(
            n_orders=counts,
            first_order=times,
            last_order=times,
            interval_days=amounts,
            spend=amounts,
            recent_orders=counts,
            recent_spend=amounts,
            tier_value=amounts.astype(np.float64),
            thing=counts,
            thing_lines=counts,
            thing_weight=amounts,
            runner_up=counts.astype(np.int16),
            runner_up_probability=amounts,
            thing_names=(),
            n_items=0,
            tier_unit="lines",
            tier_cuts=(0.0, 0.0),
            order_limits=(0, 0),
            typical_interval_days=1.0,
        )

    def of(self, customer_num: int) -> Facts | None:
        """The facts of one customer; None for one who never bought."""
        n_orders = int(self.n_orders[customer_num])
        if not n_orders:
            return None
        thing, runner_up = int(self.thing[customer_num]), int(self.runner_up[customer_num])
        return Facts(
            n_orders=n_orders,
            first_order=moment(self.first_order[customer_num]),
            last_order=moment(self.last_order[customer_num]),
            interval_days=float(self.interval_days[customer_num]),
            spend=_known(self.spend[customer_num]),
            recent_orders=int(self.recent_orders[customer_num]),
            recent_spend=_known(self.recent_spend[customer_num]),
            tier_value=float(self.tier_value[customer_num]),
            thing=None if thing < 0 else self.thing_names[thing],
            thing_is_item=0 <= thing < self.n_items,
            thing_lines=int(self.thing_lines[customer_num]),
            thing_weight=float(self.thing_weight[customer_num]),
            runner_up=None if runner_up < 0 else runner_up,
            runner_up_probability=float(self.runner_up_probability[customer_num]),
        )

    def save(self, folder: Path) -> None:
        """Write one .npy per column and evidence.json."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        rest = {name: value for name, value in vars(self).items() if name not in COLUMNS}
        (folder / "evidence.json").write_text(json.dumps(rest, ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Evidence:
        """Read what `save` wrote; columns are memory-mapped. SegmentationError: a file is missing or damaged."""
        try:
            columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS}
            rest = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
            rest |= {name: tuple(rest[name]) for name in ("thing_names", "tier_cuts", "order_limits")}
            return Evidence(**columns, **rest)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise SegmentationError(f"{folder} does not hold evidence as Evidence.save writes it: {error!r}") from error


_REST = ("thing_names", "n_items", "tier_unit", "tier_cuts", "order_limits", "typical_interval_days")
COLUMNS = tuple(field.name for field in fields(Evidence) if field.name not in _REST)


@dataclass(frozen=True)
class OrderFacts:
    """The columns of `Evidence` of the same names that come from orders."""

    n_orders: Ints
    first_order: Times
    last_order: Times
    interval_days: Floats
    spend: Floats
    recent_orders: Ints
    recent_spend: Floats


def order_facts(
    orders: Orders, known_values: Reals, rfm: Rfm, as_of: np.datetime64, horizon_days: float, typical_interval_days: float
) -> OrderFacts:
    """What orders before `as_of` say of each customer that `rfm` has.

    known_values: money of the lines of each order whose value is known, as Orders.values; all NaN = the shop gives no money
    """
    n_customers = len(rfm.n_orders)
    bought, start = purchases_among(orders), as_of - duration(horizon_days)
    first, last = np.full(n_customers, NEVER), np.full(n_customers, NEVER)
    first[bought.customers[::-1]] = bought.times[::-1]  # the last assignment stays
    last[bought.customers] = bought.times
    interval = np.where(rfm.has_bought, own_intervals(rfm, typical_interval_days), np.nan)
    recent_orders = np.bincount(bought.since(start).customers, minlength=n_customers)

    def summed(values: Reals) -> Floats:
        return np.where(rfm.has_bought, orders.sum_per_customer(values, n_customers), np.nan).astype(np.float32)

    return OrderFacts(
        n_orders=rfm.n_orders.astype(np.int32),
        first_order=first,
        last_order=last,
        interval_days=interval.astype(np.float32),
        spend=summed(known_values),
        recent_orders=recent_orders.astype(np.int32),
        recent_spend=summed(known_values * (orders.times >= start)),  # NaN stays NaN
    )


def moment(time: np.datetime64) -> dt.datetime:
    """The same as an aware time."""
    found: dt.datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=dt.UTC)


def _known(amount: np.float32) -> float | None:
    return None if np.isnan(amount) else float(amount)

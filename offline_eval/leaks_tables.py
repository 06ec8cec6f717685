"""What a shop's own tables give away: the same line before and after a cut, wanted items known already, ids that tell what came next.

Shares below a limit are told and pass: a few lines are never proof. The limits stand at the top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from offline_eval.leaks import Check, Finding
from offline_eval.relevance import Truth
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.types import Flags, Interactions

SECONDS = 10.0
"""The same customer, item and event so close together, or in one basket, are one line written twice."""
MAX_REPEATED, MAX_REVIEWED = 0.001, 0.01
"""Shares of the wanted items: those whose line stands on both sides of the cut, and those reviewed before they were first bought."""
MIN_LINES = 3
MAX_STEP, MIN_Z = 0.015, 4.0
"""Share of moments that hold the very next number, beyond what is usual; and its standard errors above 0."""
USUAL = (3, 4, 5, 6)
"""Steps that a purchase takes from number to number where neighbours are merely alike."""
UNDATED = ("available", "recommendable", "title", "description", "category", "brand", "attributes", "cost")
"""Columns of items that say how the shop is now."""


def repeated_lines(
    dataset: Dataset, time: np.datetime64, end: np.datetime64, positive_events: Sequence[str], seconds: float = SECONDS
) -> Check:
    """Wanted items of [time, end) whose line stands before the time too: one customer, item and event, within seconds or in one basket."""
    lines = _positive(dataset, positive_events)
    before, after = lines.between(None, time), lines.between(time, end)
    margin = np.timedelta64(round(seconds * 1e6), "us")
    near = np.isin(_keys(after.between(None, time + margin), dataset), _keys(before.between(time - margin, None), dataset))
    repeated = np.zeros(len(after), np.bool_)
    repeated[: len(near)] = near
    repeated |= np.isin(_keys_in_basket(after, dataset), _keys_in_basket(before, dataset)) & (after.baskets >= 0)
    n_wanted = len(np.unique(_keys(after, dataset)))
    n = len(np.unique(_keys(after.take(repeated), dataset)))
    looked_at = f"{n:,} of {n_wanted:,} wanted items as of {_day(time)} stand before it too"
    if n < MIN_LINES or n <= MAX_REPEATED * n_wanted:
        return Check("repeated lines", looked_at)
    example = after.take(np.flatnonzero(repeated)[:1])
    what = f"{looked_at}, for example customer {_customer(dataset, example)}, item {dataset.item_ids.ids[example.items[0]]!r}"
    mend = "import each line once: give lines an event_id, and see whether two exports overlap"
    return Check("repeated lines", looked_at, (Finding("interactions", what, mend),))


def known_targets(truth: Truth, dataset: Dataset, time: np.datetime64, positive_events: Sequence[str]) -> Check:
    """Of a truth that says "new to the customer": wanted items that the customer had before the time."""
    lines = _positive(dataset, positive_events).between(None, time)
    known = set(zip(lines.customers.tolist(), lines.items.tolist(), strict=True))
    numbers, items = dataset.customers.number, dataset.item_ids.number
    had = [(customer, item) for customer, wanted in truth.items() for item in wanted if (numbers(customer), items(item)) in known]
    n_wanted = sum(map(len, truth.values()))
    looked_at = f"{len(had):,} of {n_wanted:,} items that are to be new to the customer as of {_day(time)} are not"
    if not had:
        return Check("new means new", looked_at)
    what = f"{looked_at}, for example {had[0][1]!r} of customer {had[0][0]!r}"
    return Check(
        "new means new", looked_at, (Finding("truth", what, "take the wanted items from `new_items`, or leave out what was bought before"),)
    )


def id_order(dataset: Dataset, positive_events: Sequence[str]) -> Check:
    """Whether an item's id tells what the same customer buys next; its place in the items table is read by nothing.

    Counted are the moments of a customer at which an item is bought for the first time, right after a moment with the item of the number
    below, less those right after the number above: where neighbours are alike (a table sorted by category, or by when items were listed)
    other small steps are as one-sided, and are subtracted. Items numbered in the order in which customers bought them leave the step
    by one. Its error is over items, so that one popular pair proves nothing; sequels with ids in a row look like a leak.

    Also told: inside one moment, whether lines stand in the order of the ids, which matters only where a split goes by position.
    """
    lines = _first_purchases(_positive(dataset, positive_events))
    ids = np.array(dataset.item_ids.ids)
    by_id = np.empty(len(ids), np.int64)
    by_id[np.lexsort((ids, np.char.str_len(ids)))] = np.arange(len(ids))  # i9 before i10
    moments = _moments(lines)
    share, z, n = _next_number(moments, lines.customers, by_id[lines.items], len(ids))
    told = f"item_id: {share:+.2%} of {n:,} moments hold the next number beyond what is usual"
    if share <= MAX_STEP or z <= MIN_Z:
        return Check("order of ids", told, (), _sorted_note(lines, moments, by_id))
    what = f"the next number is bought next in {share:.1%} of {n:,} moments, {z:.1f} standard errors beyond what is usual"
    found = Finding("item_id", what, "give items ids that no purchase decides, before anything reads them")
    return Check("order of ids", told, (found,), _sorted_note(lines, moments, by_id))


def early_reviews(dataset: Dataset, time: np.datetime64, end: np.datetime64, positive_events: Sequence[str]) -> Check:
    """Wanted items of [time, end) that the customer had never bought, yet reviewed before the time: reviews with a date too early."""
    lines = _first_purchases(_positive(dataset, positive_events)).between(time, end)
    reviews = read_reviews(dataset.before(time))
    reviewed = reviews.customers.astype(np.int64) * len(dataset.items) + reviews.items
    wanted = lines.customers.astype(np.int64) * len(dataset.items) + lines.items
    n, n_wanted = int(np.isin(wanted, reviewed[reviews.customers >= 0]).sum()), len(wanted)
    looked_at = f"{n:,} of {n_wanted:,} items first bought as of {_day(time)} were reviewed before it by their buyer"
    if n < MIN_LINES or n <= MAX_REVIEWED * n_wanted:
        return Check("dates of reviews", looked_at)
    mend = "give reviews the time at which they were written; without one leave event_time empty, and they feed nothing"
    return Check("dates of reviews", looked_at, (Finding("reviews", looked_at, mend),))


def undated(dataset: Dataset) -> Check:
    """What cannot be checked, for it has no date: it is taken as the shop has it now. Never a leak by itself."""
    columns = [name for name in UNDATED if name in dataset.items.column_names and dataset.items[name].null_count < len(dataset.items)]
    notes = [f"items: {', '.join(columns)} are known as they are now, whenever a query is asked"] if columns else []
    for name in ("reviews", "messages"):
        path = dataset.folder / f"{name}.parquet"
        if not path.is_file():
            continue
        schema = pq.read_schema(path)
        n = pq.ParquetFile(path).metadata.num_rows
        if "event_time" in schema.names:
            n = pq.read_table(path, columns=["event_time"])["event_time"].null_count
        if n:
            notes.append(f"{name}: {n:,} rows have no date and feed nothing")
        if "helpful_count" in schema.names and (pc.sum(pq.read_table(path, columns=["helpful_count"])["helpful_count"]).as_py() or 0) > 0:
            notes.append("reviews: helpful_count has no date: votes given later weigh too")
    return Check("without a date", f"kinds of values: {len(notes)}", (), tuple(notes))


def _positive(dataset: Dataset, positive_events: Sequence[str]) -> Interactions:
    lines = dataset.interactions
    return lines.take(np.isin(lines.events, dataset.event_codes(positive_events)) & (lines.customers >= 0))


def _keys(lines: Interactions, dataset: Dataset) -> NDArray[np.int64]:
    """One number for each customer, item and event."""
    return (lines.customers.astype(np.int64) * len(dataset.items) + lines.items) * len(dataset.event_names) + lines.events


def _keys_in_basket(lines: Interactions, dataset: Dataset) -> NDArray[np.int64]:
    """One number for each basket, item and event."""
    return (lines.baskets.astype(np.int64) * len(dataset.items) + lines.items) * len(dataset.event_names) + lines.events


def _first_purchases(lines: Interactions) -> Interactions:
    """The first line of each customer and item, in their order."""
    pairs = lines.customers.astype(np.int64) << 32 | lines.items
    return lines.take(np.sort(np.unique(pairs, return_index=True)[1]))


def _moments(lines: Interactions) -> NDArray[np.int64]:
    """A number for each customer and time; those of one customer follow each other in time without a gap. (n,)"""
    order = np.lexsort((lines.times, lines.customers))
    begins = np.diff(lines.customers[order], prepend=-1).astype(np.bool_) | (
        np.diff(lines.times[order], prepend=lines.times[order][:1]) != 0
    )
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(begins)
    return numbers


def _next_number(
    moments: NDArray[np.int64], customers: NDArray[np.int32], numbers: NDArray[np.int64], n_items: int
) -> tuple[float, float, int]:
    """Share of moments that hold the next number beyond what is usual, its standard errors above 0, and the moments that could."""
    room = n_items + 2 * max(USUAL)
    keys = np.sort(moments * room + numbers + max(USUAL))
    follows = _same_customer(moments, customers)

    def one_sided(step: int) -> NDArray[np.int64]:
        """For each item how often it came a moment after the number so far below, less after that so far above; (n_items,)"""
        sides = []
        for number in (numbers - step, numbers + step):
            wanted = (moments - 1) * room + number + max(USUAL)
            places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            sides.append(np.bincount(numbers[follows & (keys[places] == wanted)], minlength=n_items))
        return np.asarray(sides[0] - sides[1])

    n = len(np.unique(moments[follows]))
    if not n:
        return 0.0, 0.0, 0
    beyond = one_sided(1) - np.mean([one_sided(step) for step in USUAL], axis=0)
    return float(beyond.sum() / n), float(beyond.sum() / max(np.sqrt((beyond**2).sum()), 1.0)), n


def _same_customer(moments: NDArray[np.int64], customers: NDArray[np.int32]) -> Flags:
    """Whether the moment before a line's is the same customer's."""
    owner = np.full(int(moments.max(initial=0)) + 2, -1, np.int64)
    owner[moments] = customers
    return np.asarray(owner[moments - 1] == customers)


def _sorted_note(lines: Interactions, moments: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[str, ...]:
    order = np.argsort(moments, kind="stable")
    together = np.diff(moments[order]) == 0
    steps = np.diff(numbers[lines.items[order]])[together]
    n_up, n_down = int((steps > 0).sum()), int((steps < 0).sum())
    if _z(n_up, n_down) < MIN_Z:
        return ()
    share = n_up / (n_up + n_down)
    return (f"inside one moment {share:.0%} of the lines stand in the order of item_id: harmless by time, but no split may go by position",)


def _z(n_one: int, n_other: int) -> float:
    """Standard errors by which the one outnumbers the other, were both equally likely."""
    return (n_one - n_other) / math.sqrt(max(n_one + n_other, 1))


def _customer(dataset: Dataset, line: Interactions) -> str:
    return repr(dataset.customers.ids[line.customers[0]])


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).removesuffix("T00:00:00")

"""A shop's data as of a time: the only way in which training and evaluation see it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.data.catalogue import Catalogue
from recsys.data.vocabulary import Vocabulary, id_hashes
from recsys.errors import DataError
from recsys.types import PURCHASE, STANDARD_EVENTS, Flags, Floats, Interactions, Ints, Times, aware

BATCH_ROWS = 250_000
MAX_EVENTS = 127
_NO_TIME = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class Dataset:
    """Everything known in [start, end); numbers of items and customers are the same for every such view of one shop.

    interactions: sorted by time, see `Interactions`
    customers:    external ids of customers seen before `end`, in order of their first appearance; visitors without a customer id have none
    items:        the items table of the shop folder, in the order of the item numbers, which means nothing: of equal scores the lower
                  number goes first all over this package, and a shop's own order may know what sold later (many exports are written best
                  sellers first, or by first sale)
    event_names:  name of each event code
    folder:       the shop folder, for tables that are read on demand
    end:          nothing at or after this time is in here; NaT = open
    since:        of each customer, the time before which nothing of it is known; None = all is
    """

    interactions: Interactions
    customers: Vocabulary
    items: pa.Table
    event_names: tuple[str, ...]
    folder: Path
    end: np.datetime64 = _NO_TIME
    since: Times | None = None

    @staticmethod
    def load(folder: Path) -> Dataset:
        """Read an imported shop folder, a batch at a time; 30 bytes per interaction stay in memory, beside the ids.

        Raises:
            DataError: the folder was not made by ``segrec import``, or is damaged.
        """
        for name in ("interactions", "items"):
            if not (folder / f"{name}.parquet").is_file():
                raise DataError(f"{folder} has no {name}.parquet; make the folder with `segrec import` (see `segrec import --help`)")
        try:
            items = in_no_order(pq.read_table(folder / "items.parquet"))
            interactions, customers, event_names = _Encoder(items["item_id"]).read(folder / "interactions.parquet")
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{folder} cannot be read: {error}; make it again with `segrec import`") from error
        return Dataset(interactions, customers, items, event_names, folder)

    def before(self, time: np.datetime64) -> Dataset:
        """What was known strictly before the time."""
        return self._view(None, time)

    def between(self, start: np.datetime64, end: np.datetime64) -> Dataset:
        """What happened at or after start and strictly before end."""
        return self._view(start, end)

    def _view(self, start: np.datetime64 | None, end: np.datetime64) -> Dataset:
        n_seen = int(self.interactions.between(None, end).customers.max(initial=-1)) + 1  # they are numbered as they appear
        return replace(
            self,
            interactions=self.interactions.between(start, end),
            customers=Vocabulary(self.customers.ids[:n_seen]),
            end=end.astype("datetime64[us]"),
        )

    def event_codes(self, names: Sequence[str]) -> NDArray[np.int8]:
        """Codes of the named events.

        Raises:
            DataError: the shop has no such event.
        """
        unknown = [name for name in names if name not in self.event_names]
        if unknown:
            raise DataError(f"the shop has no event {unknown[0]!r}; it has: {', '.join(self.event_names)}")
        return np.array([self.event_names.index(name) for name in names], np.int8)

    @cached_property
    def item_ids(self) -> Vocabulary:
        """External ids of items."""
        return Vocabulary(self.items["item_id"].to_pylist())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all that training reads; equal contents give equal fingerprints."""
        digest = hashlib.sha256()
        for column in vars(self.interactions).values():
            digest.update(column.tobytes())
        seen_events = self.event_names[: int(self.interactions.events.max(initial=-1)) + 1]
        for ids in (self.customers.ids, seen_events, (str(self.end),)):
            digest.update("\0".join(ids).encode())
        digest.update(_table_bytes(self.items))
        return digest.hexdigest()

    def catalogue(self) -> Catalogue:
        """The items as they were at the end of this view.

        A price is the catalogue's where ``valid_from`` says that it held by then, else that of the last purchase line
        (value / quantity), else NaN. An item that did not exist yet (``created_time``) is not recommendable.
        """
        brands, brand_names = _codes(self._column("brand"))
        groups, _ = _codes(self._column("group_id"))
        categories, category_names = _paths(self._column("category"))
        recommendable = _flags(self._column("recommendable")) & self.existing()
        return Catalogue(
            items=self.item_ids,
            titles=[title or "" for title in self.items["title"].to_pylist()],
            brands=brands,
            groups=groups,
            brand_names=brand_names,
            categories=categories,
            category_names=category_names,
            prices=self._prices(),
            available=_flags(self._column("available")),
            recommendable=recommendable,
        )

    def existing(self) -> Flags:
        """Items that the shop had begun to offer by the end of this view, as far as ``created_time`` says; bool (n_items,)."""
        return ~self._is_later("created_time")

    def item_texts(self) -> list[str]:
        """What the encoder reads of each item: title, then description, then the category path, whatever there is."""
        paths = [" > ".join(path or ()) for path in self._column("category")]
        columns = zip(self._column("title"), self._column("description"), paths, strict=True)
        return ["; ".join(part for part in dict.fromkeys(parts) if part) for parts in columns]

    def price_of_lines(self) -> Floats:
        """Money per piece of each interaction, NaN where value or quantity is unknown or not positive; float32 (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            prices = self.interactions.values / self.interactions.quantities
        return np.where(np.isfinite(prices) & (prices > 0), prices, np.nan).astype(np.float32)

    def _prices(self) -> Floats:
        prices = np.full(len(self.items), np.nan, np.float32)
        lines = self.price_of_lines()
        known = np.flatnonzero(np.isfinite(lines) & (self.interactions.events == PURCHASE))
        prices[self.interactions.items[known]] = lines[known]  # rows are in time order: the last one stays
        if "price" in self.items.column_names and "valid_from" in self.items.column_names:
            listed = self.items["price"].to_numpy().astype(np.float32)
            since = self._times("valid_from")
            holds = np.isfinite(listed) & ~np.isnat(since) & ~self._is_later("valid_from")
            prices[holds] = listed[holds]
        return prices

    def _column(self, name: str) -> list[Any]:
        return self.items[name].to_pylist() if name in self.items.column_names else [None] * len(self.items)

    def _times(self, name: str) -> Times:
        return np.asarray(self.items[name].cast(pa.timestamp("us")).to_numpy(), "datetime64[us]")

    def _is_later(self, name: str) -> Flags:
        if name not in self.items.column_names or np.isnat(self.end):
            return np.zeros(len(self.items), np.bool_)
        return np.asarray(self._times(name) >= self.end)  # NaT compares as False

    def __repr__(self) -> str:
        span = f"{aware(self.interactions.times[0])} to {aware(self.interactions.times[-1])}" if len(self.interactions) else "empty"
        return f"Dataset({len(self.interactions):,} interactions, {len(self.customers):,} customers, {len(self.items):,} items, {span})"


def in_no_order(items: pa.Table) -> pa.Table:
    """The rows by a hash of the item's id: the same order wherever a row stood, and whichever others there are."""
    ids = items["item_id"].cast(pa.string()).to_numpy()
    return items.take(np.lexsort((ids, id_hashes(ids))))


class _Encoder:
    """Turns batches of string columns into numbers, remembering what it has seen."""

    def __init__(self, items: pa.ChunkedArray) -> None:
        self.items = items.cast(pa.string()).combine_chunks()
        self.seen: dict[str, dict[str, int]] = {name: {} for name in ("customer_id", "visitor_id", "basket_id", "session_id")}
        self.seen["event"] = {name: code for code, name in enumerate(STANDARD_EVENTS)}

    def read(self, path: Path) -> tuple[Interactions, Vocabulary, tuple[str, ...]]:
        """All interactions by time, ids of customers, names of events.

        Customers, baskets and events are numbered as they appear in time: what happens later changes no number of what was before.
        """
        coded = self._coded(pq.ParquetFile(path))
        times = coded["event_time"]
        if not len(times):
            raise DataError(f"{path} holds no interactions; at least one row is needed")
        order = np.argsort(times, kind="stable")
        for name in coded:
            coded[name] = coded[name][order]  # one column at a time: twice the table would not fit where the table does
        del order, times
        customers, customer_ids = self._renumbered(coded, "customer_id")
        events, event_names = self._renumbered(coded, "event", len(STANDARD_EVENTS))
        if len(event_names) > MAX_EVENTS:
            raise DataError(f"{path} has {len(event_names)} different events, at most {MAX_EVENTS} are possible; map them to fewer")
        baskets = _baskets(coded, {name: len(seen) for name, seen in self.seen.items()})
        lines = Interactions(
            customers, coded["item_id"], events.astype(np.int8), coded["event_time"], baskets, coded["quantity"], coded["value"]
        )
        return lines, Vocabulary(customer_ids), event_names

    def _coded(self, file: pq.ParquetFile) -> dict[str, NDArray[Any]]:
        """Every column as numbers, in the order of the file."""
        n = file.metadata.num_rows
        coded: dict[str, NDArray[Any]] = {name: np.empty(n, np.int32) for name in (*self.seen, "item_id")}
        coded |= {"event_time": np.empty(n, "datetime64[us]"), "quantity": np.empty(n, np.float32), "value": np.empty(n, np.float32)}
        start = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[name for name in file.schema_arrow.names if name in coded]):
            rows = slice(start, start + len(batch))
            for name, seen in self.seen.items():
                coded[name][rows] = _code(_strings(batch, name), seen)
            coded["item_id"][rows] = self._items(_strings(batch, "item_id"))
            coded["event_time"][rows] = batch["event_time"].cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
            for name in ("quantity", "value"):
                coded[name][rows] = _numbers(batch, name)
            start += len(batch)
        return coded

    def _renumbered(self, coded: dict[str, NDArray[Any]], name: str, n_fixed: int = 0) -> tuple[Ints, tuple[str, ...]]:
        names = tuple(self.seen[name])
        codes, order = _renumbered(coded[name], len(names), n_fixed)
        return codes, tuple(names[at] for at in order)

    def _items(self, ids: pa.Array) -> Ints:
        numbers = pc.fill_null(pc.index_in(ids, value_set=self.items), -1)
        if (first := pc.index(numbers, -1).as_py()) >= 0:
            raise DataError(f"interactions name item {ids[first].as_py()!r}, which the items table lacks; import the shop again")
        return np.asarray(numbers.to_numpy(zero_copy_only=False), np.int32)


def _baskets(coded: dict[str, NDArray[Any]], n: dict[str, int]) -> Ints:
    """Lines belong together by basket, else session, else by who (the visitor, else the customer) and when; columns are sorted by time."""
    baskets, sessions, visitors, customers = (coded[name] for name in ("basket_id", "session_id", "visitor_id", "customer_id"))
    codes = np.where(baskets >= 0, baskets, np.where(sessions >= 0, sessions + n["basket_id"], -1))
    n_codes = n["basket_id"] + n["session_id"]
    rows = np.flatnonzero((codes < 0) & ((visitors >= 0) | (customers >= 0)))
    if len(rows):
        times = coded["event_time"][rows]
        moments = np.cumsum(np.diff(times, prepend=times[:1]) > np.timedelta64(0))
        who = np.where(visitors[rows] >= 0, visitors[rows], customers[rows] + n["visitor_id"])
        occasions, occasion = np.unique(moments * (n["visitor_id"] + n["customer_id"]) + who, return_inverse=True)
        codes[rows] = occasion + n_codes
        n_codes += len(occasions)
    return _renumbered(codes, n_codes)[0]


def _renumbered(codes: Ints, n: int, n_fixed: int = 0) -> tuple[Ints, NDArray[np.intp]]:
    """Codes 0 .. n - 1 in the order of their first appearance, after `n_fixed` that stay, and the old code of each new one; -1 stays."""
    first = np.full(n + 1, len(codes))  # the last place is for -1
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the earliest row is written last
    first[:n_fixed] = np.arange(n_fixed) - n_fixed
    order = np.argsort(first[:-1], kind="stable")
    numbers = np.full(n + 1, -1, np.int32)
    numbers[order] = np.arange(n)
    return numbers[codes], order


def _strings(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(len(batch), pa.string())
    return batch[name].cast(pa.string())


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    if name not in batch.schema.names:
        return np.full(len(batch), np.nan, np.float32)
    return np.asarray(batch[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float32)


def _code(column: pa.Array, seen: dict[str, int]) -> Ints:
    """Codes in order of first appearance, -1 for null; `seen` grows."""
    encoded = column.dictionary_encode()
    codes = np.array([seen.setdefault(value, len(seen)) for value in encoded.dictionary.to_pylist()] + [-1], np.int32)
    return np.asarray(codes[encoded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)], np.int32)


def _codes(values: Iterable[object]) -> tuple[Ints, list[str]]:
    seen: dict[str, int] = {}
    codes = [-1 if value is None else seen.setdefault(str(value), len(seen)) for value in values]
    return np.array(codes, np.int32), list(seen)


def _paths(paths: list[object]) -> tuple[Ints, list[str]]:
    seen: dict[str, int] = {}
    coded = [[seen.setdefault(str(name), len(seen)) for name in path] if isinstance(path, list) else [] for path in paths]
    table = np.full((len(coded), max((len(path) for path in coded), default=0)), -1, np.int32)
    for row, path in enumerate(coded):
        table[row, : len(path)] = path
    return table, list(seen)


def _flags(values: Iterable[object]) -> Flags:
    return np.array([value is not False for value in values], np.bool_)


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.combine_chunks().replace_schema_metadata(None))
    return hashlib.sha256(sink.getvalue()).digest()

"""A shop in which nothing at or after a time ever happened, as a folder like the one that was imported."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.dataset import BATCH_ROWS
from recsys.types import aware

TIME, PRICE, SINCE = "event_time", "price", "valid_from"


def write_ended(shop: Path, time: np.datetime64, out: Path) -> Path:
    """Write the tables of a shop without its future; returns the folder.

    Rows of dated tables at or after the time are left out, and so are rows without a date, which could be of any time. Items keep their
    rows, hence their numbers; a price that is not said to hold before the time (``valid_from``) is another one. Other columns of items
    and customers have no date, and stay.
    """
    out.mkdir(parents=True)
    for table in sorted(shop.glob("*.parquet")):
        if table.stem == "items":
            pq.write_table(_repriced(pq.read_table(table), time), out / table.name)
        elif TIME in pq.read_schema(table).names:
            _write_earlier(table, time, out / table.name)
        else:
            shutil.copyfile(table, out / table.name)
    return out


def _write_earlier(path: Path, time: np.datetime64, out: Path) -> None:
    file = pq.ParquetFile(path)
    with pq.ParquetWriter(out, file.schema_arrow) as writer:
        for batch in file.iter_batches(BATCH_ROWS):
            writer.write_batch(batch.filter(_is_earlier(batch[TIME], time)))


def _repriced(items: pa.Table, time: np.datetime64) -> pa.Table:
    if PRICE not in items.column_names:
        return items
    prices = items[PRICE].cast(pa.float64())
    other = pc.add(pc.multiply(prices, 2.0), 1.0)
    kept = pc.if_else(_is_earlier(items[SINCE], time), prices, other) if SINCE in items.column_names else other
    return items.set_column(items.column_names.index(PRICE), PRICE, kept.cast(items.schema.field(PRICE).type))


def _is_earlier(times: pa.Array | pa.ChunkedArray, time: np.datetime64) -> pa.Array | pa.ChunkedArray:
    known = times.cast(pa.timestamp("us", "UTC"))
    return pc.fill_null(pc.less(known, pa.scalar(aware(time), pa.timestamp("us", "UTC"))), False)

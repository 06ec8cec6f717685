"""Tables of dated rows beside the interactions, as of a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import Ints, Times, aware


def read_dated(known: Dataset, name: str, columns: Sequence[str]) -> tuple[dict[str, list[Any]], Times]:
    """Rows of a table that are of before the end of the view, in the order of the file: values by column, and their times.

    Rows without a time could be of any and are left out. A column that the table lacks is all None; a shop without the table has no rows.

    Raises:
        DataError: the table is there and cannot be read.
    """
    path = known.folder / f"{name}.parquet"
    table = pa.table({"event_time": pa.array([], pa.timestamp("us"))})
    if path.is_file():
        try:
            there = pq.read_schema(path).names
            if "event_time" in there:
                table = _before(pq.read_table(path, columns=[column for column in (*columns, "event_time") if column in there]), known.end)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}; make the shop folder again with `segrec import`") from error
    values = {column: table[column].to_pylist() if column in table.column_names else [None] * len(table) for column in columns}
    return values, np.asarray(table["event_time"].to_numpy(), "datetime64[us]")


def customer_numbers(known: Dataset, ids: Sequence[str | None]) -> Ints:
    """Numbers of customers; -1 = nobody who was seen before the end of the view."""
    numbers = (None if id_ is None else known.customers.number(id_) for id_ in ids)
    return np.array([-1 if number is None else number for number in numbers], np.int32)


def _before(table: pa.Table, end: np.datetime64) -> pa.Table:
    times = table["event_time"].cast(pa.timestamp("us", "UTC"))
    wanted = pc.is_valid(times) if np.isnat(end) else pc.less(times, pa.scalar(aware(end)))
    table = table.set_column(table.column_names.index("event_time"), "event_time", times.cast(pa.timestamp("us")))
    return table.filter(pc.fill_null(wanted, False))

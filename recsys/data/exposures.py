"""What customers were shown, and how far up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import Ints, aware


@dataclass(frozen=True)
class Shown:
    """Items that customers were shown in some time, each pair once, by customer and then item; parallel arrays of length n.

    customers, items: numbers; int32
    positions:        the best one at which the item was shown to the customer, 1 = first; int32
    """

    customers: Ints
    items: Ints
    positions: Ints

    @staticmethod
    def between(dataset: Dataset, start: np.datetime64, end: np.datetime64) -> Shown:
        """What known customers were shown in [start, end); nothing in a shop without exposures. Visitors are nobody that is known.

        Raises:
            DataError: the table is there and cannot be read.
        """
        path = dataset.folder / "exposures.parquet"
        if not path.is_file():
            return Shown(*(np.empty(0, np.int32) for _ in range(3)))
        utc = pa.timestamp("us", "UTC")
        times = pc.field("event_time")
        in_time = (times >= pa.scalar(aware(start), utc)) & (times < pa.scalar(aware(end), utc))
        try:
            names = ["item_id", "position"] + [name for name in pq.read_schema(path).names if name == "customer_id"]
            table = pq.read_table(path, columns=names, filters=in_time)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}; make the shop folder again with `segrec import`") from error
        if "customer_id" not in table.column_names:
            table = table.append_column("customer_id", pa.nulls(len(table), pa.string()))
        customers = _numbers(table["customer_id"], dataset.customers.ids)
        items = _numbers(table["item_id"], dataset.item_ids.ids)
        return Shown._best(customers, items, np.asarray(table["position"].to_numpy(), np.int32))

    @staticmethod
    def _best(customers: Ints, items: Ints, positions: Ints) -> Shown:
        order = np.lexsort((positions, items, customers))
        order = order[(customers[order] >= 0) & (items[order] >= 0)]
        pairs = np.stack([customers[order], items[order]])
        first = np.flatnonzero(np.append(True, (np.diff(pairs) != 0).any(axis=0))) if len(order) else order
        return Shown(customers[order][first], items[order][first], positions[order][first])

    def to(self, customer: int) -> dict[int, int]:
        """Items that one customer was shown, with their positions."""
        rows = slice(*np.searchsorted(self.customers, [customer, customer + 1]))
        return dict(zip(self.items[rows].tolist(), self.positions[rows].tolist(), strict=True))


def _numbers(ids: pa.ChunkedArray, known: Sequence[str]) -> Ints:
    """Place of each id among the known ones, -1 = not there."""
    found = pc.fill_null(pc.index_in(ids.cast(pa.string()), value_set=pa.array(known, pa.string())), -1)
    return np.asarray(found.to_numpy(), np.int32)

"""What customers wrote to the shop, as of a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.dated import customer_numbers, read_dated
from recsys.types import Ints, Times


@dataclass(frozen=True)
class Messages:
    """Dated messages, oldest first, as parallel arrays of length n.

    customers: int32, -1 = nobody who was seen before the end of the view
    texts:     may be empty
    """

    customers: Ints
    texts: NDArray[np.object_]
    times: Times

    def __len__(self) -> int:
        return len(self.customers)

    def take(self, rows: NDArray[Any]) -> Messages:
        """Those at the given positions, or where a mask is true."""
        return Messages(*(column[rows] for column in vars(self).values()))


def read_messages(known: Dataset) -> Messages:
    """The messages that were sent before the end of the view; those without a date could be of any time and are left out.

    Raises:
        DataError: the table is there and cannot be read.
    """
    columns, times = read_dated(known, "messages", ("customer_id", "text"))
    texts = np.array([text or "" for text in columns["text"]], np.object_)
    found = Messages(customer_numbers(known, columns["customer_id"]), texts, times)
    return found.take(np.argsort(found.times, kind="stable"))

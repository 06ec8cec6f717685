"""Which customers bought each item: whether anybody else did what a reason says that others do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.types import Interactions, Ints

_AT_ONCE = 1024
"""Customers looked up at once: of two popular items the first few have bought both."""


@dataclass(frozen=True)
class Buyers:
    """Those of item i are rows offsets[i] to offsets[i + 1], rising, each once.

    offsets: int64 (n_items + 1,); customers: int32
    """

    offsets: NDArray[np.int64]
    customers: Ints

    @staticmethod
    def of_interactions(lines: Interactions, n_items: int) -> Buyers:
        """From lines that mean that a customer wanted the item; guests are left out, for nobody knows who they are."""
        known = lines.customers >= 0
        pairs = np.unique((lines.items[known].astype(np.int64) << 32) | lines.customers[known])
        offsets = np.searchsorted(pairs, np.arange(n_items + 1, dtype=np.int64) << 32)
        return Buyers(offsets.astype(np.int64), (pairs & 0xFFFFFFFF).astype(np.int32))

    def of(self, item: int) -> Ints:
        """The customers who bought an item, rising, without a copy."""
        return self.customers[self.offsets[item] : self.offsets[item + 1]]

    def share_another(self, item: int, other: int, customer: int) -> bool:
        """Whether somebody but the customer (-1 = a guest) bought both items."""
        few, many = sorted((self.of(item), self.of(other)), key=len)
        for start in range(0, len(few), _AT_ONCE):
            asked = few[start : start + _AT_ONCE]
            found = many[np.minimum(np.searchsorted(many, asked), len(many) - 1)] == asked
            if (found & (asked != customer)).any():
                return True
        return False

    def save(self, folder: Path) -> None:
        """Two arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "customers.npy", self.customers)

    @staticmethod
    def load(folder: Path) -> Buyers:
        """Memory-mapped."""
        return Buyers(mapped(folder / "offsets.npy"), mapped(folder / "customers.npy"))

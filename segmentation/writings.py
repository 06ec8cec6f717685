"""What customers wrote, reviews and messages alike, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Floats, Ints, Times

KINDS = ("review", "message")


class Reader(Protocol):
    """Reads texts; one that answers equal texts alike."""

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the classes of each head, in the order of its columns; empty = no heads."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings of unit norm, float32 (n, dim)."""
        ...

    def classify(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Probabilities of the classes of each head, float32 (n, n_classes)."""
        ...


@dataclass(frozen=True)
class Writings:
    """Texts of customers, oldest first, as parallel arrays of length n.

    customers: customer numbers, 0 or more; int32
    texts:     may be empty strings; object
    times:     datetime64[us], UTC
    stars:     1 to 5, NaN = none given, as with messages; float32
    kinds:     rows of KINDS; int8
    """

    customers: Ints
    texts: NDArray[np.object_]
    times: Times
    stars: Floats
    kinds: NDArray[np.int8]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of writings differ in length: {lengths}")
        if not len(self):
            return
        if self.customers.min() < 0:
            raise ValueError(f"customers must be at least 0, got {self.customers.min()}; leave out texts of nobody known")
        if not (np.diff(self.times) >= np.timedelta64(0)).all() or np.isnat(self.times).any():
            raise ValueError("writings must be oldest first, each with a time; use Writings.in_order")
        if (stars := self.stars[np.isfinite(self.stars)]).size and not 1 <= stars.min() <= stars.max() <= 5:
            raise ValueError(f"stars must be 1 to 5 or NaN, got {stars.min()} to {stars.max()}")
        if not 0 <= self.kinds.min() <= self.kinds.max() < len(KINDS):
            raise ValueError(f"kinds must be rows of {KINDS}, got {self.kinds.min()} to {self.kinds.max()}")

    def __len__(self) -> int:
        return len(self.customers)

    @staticmethod
    def in_order(customers: Any, texts: Sequence[str], times: Any, stars: Any, kinds: Any) -> Writings:
        """Writings from parallel sequences in any order; those of one moment keep theirs. Raises as `Writings`."""
        words = np.empty(len(texts), np.object_)
        words[:] = list(texts)
        moments: Times = np.asarray(times, "datetime64[us]")
        columns: list[NDArray[Any]] = [
            np.asarray(customers, np.int32),
            words,
            moments,
            np.asarray(stars, np.float32),
            np.asarray(kinds, np.int8),
        ]
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"columns of writings differ in length: {[len(column) for column in columns]}")
        rows = np.argsort(moments, kind="stable")
        return Writings(*(column[rows] for column in columns))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Writings:
        """The given texts; rows must keep the order of time."""
        columns: list[NDArray[Any]] = list(vars(self).values())
        return Writings(*(column[rows] for column in columns))

    def before(self, time: np.datetime64) -> Writings:
        """The texts strictly earlier than the time."""
        return self.take(self.times < time)

    def check(self, n_customers: int, as_of: np.datetime64) -> None:
        """Refuse texts that are not strictly earlier than `as_of`, and customers outside 0 .. n_customers - 1, with a ``ValueError``."""
        if len(self) and not (latest := self.times[-1]) < as_of:
            raise ValueError(f"a text of {latest} is not before as_of {as_of}; hand over writings.before(as_of)")
        if len(self) and (largest := self.customers.max()) >= n_customers:
            raise ValueError(f"customer number {largest} is outside 0 .. {n_customers - 1}")

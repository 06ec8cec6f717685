"""What customers wrote of items, as of a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.dated import customer_numbers, read_dated
from recsys.types import Floats, Ints, Times

_COLUMNS = ("customer_id", "item_id", "text", "title", "rating", "helpful_count")


@dataclass(frozen=True)
class Reviews:
    """Dated reviews of known items, oldest first, as parallel arrays of length n.

    customers: int32, -1 = nobody who was seen before the end of the view; items: int32
    texts:     headline and text, as `review_text` joins them; may be empty
    stars:     1 to 5, NaN where none were given; float32
    helpful:   votes, 0 where they are not known; float32. They have no date: a view has them as they were when the shop was exported
    """

    customers: Ints
    items: Ints
    texts: NDArray[np.object_]
    stars: Floats
    times: Times
    helpful: Floats

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[Any]) -> Reviews:
        """Those at the given positions, or where a mask is true."""
        return Reviews(*(column[rows] for column in vars(self).values()))

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it."""
        digest = hashlib.sha256()
        for column in (self.customers, self.items, self.stars, self.times, self.helpful):
            digest.update(column.tobytes())
        for text in self.texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()


def read_reviews(known: Dataset) -> Reviews:
    """The reviews of a shop that were written before the end of the view; those without a date could be of any time and are left out.

    Raises:
        DataError: the table is there and cannot be read.
    """
    columns, times = read_dated(known, "reviews", _COLUMNS)
    items = [known.item_ids.number(id_) for id_ in columns["item_id"]]
    texts = [review_text(title, text) for title, text in zip(columns["title"], columns["text"], strict=True)]
    found = Reviews(
        customers=customer_numbers(known, columns["customer_id"]),
        items=np.array([-1 if number is None else number for number in items], np.int32),
        texts=np.array(texts, np.object_),
        stars=np.array([np.nan if stars is None else stars for stars in columns["rating"]], np.float32),
        times=times,
        helpful=np.nan_to_num(np.array([votes or 0 for votes in columns["helpful_count"]], np.float32)).clip(0),
    )
    found = found.take(found.items >= 0)
    return found.take(np.argsort(found.times, kind="stable"))


def review_text(title: str | None, text: str | None) -> str:
    """What the encoder reads of a review: its headline, then its text, whatever there is."""
    return ". ".join(part for part in (title, text) if part)

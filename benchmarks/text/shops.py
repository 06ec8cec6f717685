"""The public data as the measurements want them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.data.reviews import review_text
from recsys.types import Ints

INSTRUMENTS = "amazon2014_musical_instruments"
BOXES = "amazon2023_subscription_boxes"
OFFICE = "amazon2018_office_products"


@dataclass(frozen=True)
class Shop:
    """Distinct item texts, what is known of each, and each customer's items as positions among them, oldest first.

    titles, attributes: of the first item that has the text; attributes are its brand and categories, broad to narrow
    """

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    attributes: tuple[tuple[str, ...], ...]
    sequences: list[Ints]


def read_shop(data: Path, name: str) -> Shop:
    """Beauty or Sports and Outdoors."""
    items = pd.read_parquet(data / f"amazon2014_{name}_items.parquet").sort_values("item_idx")
    lines = pd.read_parquet(data / f"amazon2014_{name}_interactions.parquet").sort_values(["user_idx", "position"])
    names = [f"{title}. {', '.join(attributes)}" for title, attributes in zip(items.short_title, items.attributes, strict=True)]
    texts, first, text_of = np.unique(np.array(names, object), return_index=True, return_inverse=True)
    documents = text_of[np.searchsorted(items.item_idx, lines.item_idx)].astype(np.int32)
    return Shop(
        texts=tuple(texts.tolist()),
        titles=tuple(items.short_title.iloc[first]),
        attributes=tuple(tuple(found) for found in items.attributes.iloc[first]),
        sequences=np.split(documents, np.flatnonzero(np.diff(lines.user_idx)) + 1),
    )


def item_texts(data: Path, name: str) -> pd.DataFrame:
    """Items of Musical Instruments or Subscription Boxes that have a title: item, title, document (what the shop says of it)."""
    items = pd.read_parquet(data / f"{name}_items.parquet").dropna(subset="title")
    if name == INSTRUMENTS:
        ids, said = items.item_id, items.category.fillna("")
    else:
        ids, said = items.parent_asin, items.features.map(lambda lines: " ".join(lines))
    documents = [f"{title}; {more}" if more else title for title, more in zip(items.title, said, strict=True)]
    return pd.DataFrame({"item": ids.to_numpy(), "title": items.title.to_numpy(), "document": documents})


def written(data: Path, name: str) -> pd.DataFrame:
    """Reviews of Musical Instruments or Subscription Boxes by time: text, item, customer, rating, days (since 1970), helpful."""
    rows = pd.read_parquet(data / f"{name}_reviews.parquet").sort_values("timestamp", kind="stable")
    is_instruments = name == INSTRUMENTS
    seconds = rows.timestamp.to_numpy() if is_instruments else rows.timestamp.to_numpy().astype("datetime64[s]").astype(np.int64)
    return pd.DataFrame(
        {
            "text": [review_text(title, text) for title, text in zip(rows.review_title, rows.review_text, strict=True)],
            "item": rows["item_id" if is_instruments else "parent_asin"].to_numpy(),
            "customer": rows.user_id.to_numpy(),
            "rating": rows.rating.to_numpy(),
            "days": seconds / 86_400,
            "helpful": rows["helpful_votes" if is_instruments else "helpful_vote"].to_numpy(),
        }
    )


def by_time(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first four fifths, and the last; texts that were written before are left out of the last."""
    cut = len(rows) * 4 // 5
    early, late = rows.iloc[:cut], rows.iloc[cut:]
    return early, late[~late.text.isin(early.text)]

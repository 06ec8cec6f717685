"""The items of a shop as the engine sees them at one time: ids, titles, groupings, prices, what may be recommended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.data.vocabulary import Vocabulary
from recsys.feature_config import Attribute
from recsys.types import Filters, Flags, Floats, Ints

EVERY_ITEM = slice(None)


@dataclass(frozen=True)
class Catalogue:
    """Items 0 .. n - 1 as of a time.

    items:          external ids
    titles:         one per item, "" = none
    brands, groups: code of each item's brand and variant group, -1 = none; int32 (n,)
    brand_names:    name of each brand code
    categories:     codes of each item's category path, top level first, padded with -1; int32 (n, depth)
    category_names: name of each category code; one name has one code at every level and place
    prices:         in the shop's currency, NaN = unknown at the time; float32 (n,)
    available:      in stock; bool (n,)
    recommendable:  may be shown as a recommendation at all; bool (n,)
    """

    items: Vocabulary
    titles: Sequence[str]
    brands: Ints
    groups: Ints
    brand_names: Sequence[str]
    categories: Ints
    category_names: Sequence[str]
    prices: Floats
    available: Flags
    recommendable: Flags

    def __post_init__(self) -> None:
        columns = (self.titles, self.brands, self.groups, self.categories, self.prices, self.available, self.recommendable)
        if any(len(column) != len(self.items) for column in columns):
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]} for {len(self.items)} items")

    def __len__(self) -> int:
        return len(self.items)

    def codes(self, attribute: Attribute) -> Ints:
        """One code per item, equal for items that share the attribute; -1 = the item has none. int32 (n,)"""
        return self._codes[attribute]

    @cached_property
    def _codes(self) -> dict[str, Ints]:
        filled = (self.categories >= 0).sum(axis=1)
        level = np.concatenate([self.categories, np.full((len(self), 1), -1, np.int32)], axis=1)  # column -1: no category at all
        rows = np.arange(len(self))
        return {
            "item": np.arange(len(self), dtype=np.int32),
            "group": np.where(self.groups >= 0, self.groups, -1).astype(np.int32),
            "brand": self.brands,
            "product_type": level[rows, filled - 1],
            "category": level[rows, np.minimum(filled, 2) - 1],
            "department": level[rows, np.minimum(filled, 1) - 1],
        }

    def in_categories(self, names: Sequence[str], among: Ints | slice = EVERY_ITEM) -> Flags:
        """Which of the items have one of the categories at any level of their path; letter case counts. bool, one per item of `among`"""
        codes = self._category_codes.numbers(names)
        return np.asarray(np.isin(self.categories[among], codes).any(axis=1), np.bool_)

    def of_brands(self, names: Sequence[str], among: Ints | slice = EVERY_ITEM) -> Flags:
        """Which of the items are of one of the brands. bool, one per item of `among`"""
        return np.isin(self.brands[among], self._brand_codes.numbers(names))

    @cached_property
    def _category_codes(self) -> Vocabulary:
        return Vocabulary(self.category_names)

    @cached_property
    def _brand_codes(self) -> Vocabulary:
        return Vocabulary(self.brand_names)

    def matching(self, filters: Filters) -> Flags | None:
        """Items that a caller's filters let through, bool (n,); None = all, for no filter is set."""
        if filters == Filters():
            return None
        keep = np.ones(len(self), np.bool_)
        if filters.brands:
            keep &= self.of_brands(filters.brands)
        if filters.categories:
            keep &= self.in_categories(filters.categories)
        with np.errstate(invalid="ignore"):  # an unknown price is NaN and matches no bound
            if filters.min_price is not None:
                keep &= self.prices >= filters.min_price
            if filters.max_price is not None:
                keep &= self.prices <= filters.max_price
        return keep

    def save(self, folder: Path) -> None:
        """Write into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        self.items.save(folder / "item_ids.json")
        names = {"titles": list(self.titles), "brands": list(self.brand_names), "categories": list(self.category_names)}
        (folder / "names.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path) -> Catalogue:
        """Read what `save` wrote; arrays are memory-mapped."""
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        arrays: dict[str, NDArray[np.generic]] = {name: mapped(folder / f"{name}.npy") for name in _ARRAYS}
        return Catalogue(
            items=Vocabulary.load(folder / "item_ids.json"),
            titles=names["titles"],
            brand_names=names["brands"],
            category_names=names["categories"],
            **arrays,  # type: ignore[arg-type]  # each array has the type of its field
        )


_ARRAYS = ("brands", "groups", "categories", "prices", "available", "recommendable")

"""The items of a shop: groupings, filters, and what survives saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from handmade import catalogue

from recsys.data.catalogue import Catalogue
from recsys.feature_config import Attribute
from recsys.types import Filters

SHELVES = catalogue(
    4,
    titles=["green tea", "black tea", "mug", ""],
    brands=[0, 1, 0, -1],
    brand_names=["Leaf", "Cup"],
    groups=[2, 2, -1, -1],
    categories=[[0, 1, 2], [0, 1, -1], [3, -1, -1], [-1, -1, -1]],
    category_names=["drinks", "tea", "green", "home"],
    prices=np.array([4.0, 3.0, 10.0, np.nan], np.float32),
)


@pytest.mark.parametrize(
    ("attribute", "codes"),
    [
        ("item", [0, 1, 2, 3]),
        ("group", [2, 2, -1, -1]),
        ("brand", [0, 1, 0, -1]),
        ("product_type", [2, 1, 3, -1]),
        ("category", [1, 1, 3, -1]),
        ("department", [0, 0, 3, -1]),
    ],
)
def test_the_levels_of_a_category_path(attribute: Attribute, codes: list[int]) -> None:
    assert SHELVES.codes(attribute).tolist() == codes


def test_a_shop_without_categories_has_none_at_any_level() -> None:
    bare = catalogue(2)
    assert [bare.codes(level).tolist() for level in ("product_type", "category", "department")] == [[-1, -1]] * 3
    assert not bare.in_categories(["tea"]).any()


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(brands=("Leaf",)), [0, 2]),
        (Filters(brands=("Leaf", "Cup")), [0, 1, 2]),
        (Filters(brands=("leaf",)), []),
        (Filters(categories=("tea",)), [0, 1]),
        (Filters(categories=("green", "home")), [0, 2]),
        (Filters(min_price=4.0), [0, 2]),
        (Filters(max_price=4.0), [0, 1]),
        (Filters(min_price=0.0), [0, 1, 2]),
        (Filters(brands=("Leaf",), max_price=5.0), [0]),
    ],
)
def test_filters_must_all_hold_and_an_unknown_price_holds_no_bound(filters: Filters, kept: list[int]) -> None:
    matching = SHELVES.matching(filters)
    assert matching is not None
    assert np.flatnonzero(matching).tolist() == kept


def test_no_filter_lets_everything_through() -> None:
    assert SHELVES.matching(Filters()) is None


def test_a_catalogue_survives_saving(tmp_path: Path) -> None:
    SHELVES.save(tmp_path)
    loaded = Catalogue.load(tmp_path)
    assert (loaded.items.ids, loaded.titles) == (SHELVES.items.ids, SHELVES.titles)
    assert (loaded.brand_names, loaded.category_names) == (SHELVES.brand_names, SHELVES.category_names)
    for name in ("brands", "groups", "categories", "prices", "available", "recommendable"):
        assert isinstance(getattr(loaded, name).base, np.memmap)
        np.testing.assert_array_equal(getattr(loaded, name), getattr(SHELVES, name))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        catalogue(3, titles=["one", "two"])

"""A shop's data as of a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import at, load_shop, table, write_shop

from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.types import CART, PURCHASE, VIEW

BREAD, TEA = {"item_id": "bread", "title": "Bread"}, {"item_id": "tea", "title": "Tea"}


def bought(item: str, day: float, customer: str | None = "ann", **more: Any) -> dict[str, Any]:
    return {"item_id": item, "day": day, "customer_id": customer, **more}


# what loading makes of the tables


def test_rows_are_sorted_by_time_and_rows_of_one_time_keep_their_order(tmp_path: Path) -> None:
    shop = load_shop(tmp_path, [bought("c", 2), bought("b", 1), bought("d", 2), bought("a", 2), bought("e", 0)])
    ids = shop.item_ids.ids
    assert [ids[item] for item in shop.interactions.items] == ["e", "b", "c", "d", "a"]


def test_where_an_item_stands_in_the_shops_table_does_not_matter(tmp_path: Path) -> None:
    names = [f"i{n:03}" for n in range(200)]
    rows = [bought(name, day) for day, name in enumerate(names)]
    shops = [
        Dataset.load(write_shop(tmp_path / str(number), rows, [{"item_id": name, "title": name} for name in order]))
        for number, order in enumerate([names, names[::-1]])
    ]
    assert shops[0].item_ids.ids == shops[1].item_ids.ids
    assert shops[0].interactions.items.tolist() == shops[1].interactions.items.tolist()
    assert abs(np.corrcoef(np.arange(200), shops[0].interactions.items)[0, 1]) < 0.2


def test_numbers_come_as_they_are_and_what_is_missing_is_nan(tmp_path: Path) -> None:
    rows = [bought("tea", 0, quantity=3, value=4.5), bought("tea", 1, quantity=-1), bought("tea", 2, value=0.0)]
    lines = load_shop(tmp_path, rows).interactions
    np.testing.assert_array_equal(lines.quantities, np.array([3, -1, np.nan], np.float32))
    np.testing.assert_array_equal(lines.values, np.array([4.5, np.nan, 0], np.float32))


def test_without_the_columns_every_quantity_and_value_is_unknown(tmp_path: Path) -> None:
    lines = load_shop(tmp_path, [bought("tea", 0), bought("tea", 1)]).interactions
    assert np.isnan(lines.quantities).all()
    assert np.isnan(lines.values).all()


def test_a_visitor_without_a_customer_id_has_no_customer_number(tmp_path: Path) -> None:
    rows = [bought("tea", 0, None, visitor_id="v1"), bought("tea", 1, "ann", visitor_id="v1"), bought("tea", 2, "bob")]
    shop = load_shop(tmp_path, rows)
    assert shop.interactions.customers.tolist() == [-1, 0, 1]
    assert shop.customers.ids == ("ann", "bob")


def test_a_shop_that_knows_no_customers_loads(tmp_path: Path) -> None:
    shop = load_shop(tmp_path, [{"item_id": "tea", "day": 0, "basket_id": "1"}, {"item_id": "bread", "day": 0, "basket_id": "1"}])
    assert shop.customers.ids == ()
    assert shop.interactions.customers.tolist() == [-1, -1]
    assert shop.before(at(9)).customers.ids == ()


BASKETS: dict[str, tuple[list[dict[str, Any]], list[int]]] = {
    "by basket": ([{"basket_id": "x"}, {"basket_id": "y"}, {"basket_id": "x"}], [0, 1, 0]),
    "else by session": ([{"session_id": "x"}, {"session_id": "y"}, {"session_id": "x"}], [0, 1, 0]),
    "a basket is no session of that name": ([{"basket_id": "x"}, {"session_id": "x"}], [0, 1]),
    "a basket counts more than a session": ([{"basket_id": "x", "session_id": "s"}, {"basket_id": "y", "session_id": "s"}], [0, 1]),
    "else by visitor and time": (
        [{"visitor_id": "v"}, {"visitor_id": "v"}, {"visitor_id": "w"}, {"visitor_id": "v", "day": 1}],
        [0, 0, 1, 2],
    ),
    "else by customer and time": ([{"customer_id": "c"}, {"customer_id": "d"}, {"customer_id": "c"}], [0, 1, 0]),
    "a visitor counts more than a customer": ([{"visitor_id": "v", "customer_id": "c"}, {"visitor_id": "w", "customer_id": "c"}], [0, 1]),
    "a visitor is no customer of that name": ([{"visitor_id": "x"}, {"customer_id": "x"}], [0, 1]),
    "lines of nobody stand alone": ([{}, {"customer_id": "c"}, {}], [-1, 0, -1]),
    "all at once": (
        [{"customer_id": "c"}, {"session_id": "s"}, {"basket_id": "b"}, {"customer_id": "c"}, {"session_id": "s"}],
        [0, 1, 2, 0, 1],
    ),
}


@pytest.mark.parametrize(("rows", "expected"), BASKETS.values(), ids=BASKETS)
def test_what_belongs_together(rows: list[dict[str, Any]], expected: list[int], tmp_path: Path) -> None:
    shop = load_shop(tmp_path, [{"item_id": "tea", "day": 0, **row} for row in rows])
    assert shop.interactions.baskets.tolist() == expected


def test_standard_events_have_fixed_codes_and_own_events_follow_in_order_of_time(tmp_path: Path) -> None:
    rows = [bought("tea", day, event=event) for day, event in [(3, "wish"), (1, "purchase"), (2, "gift"), (0, "view"), (4, "cart")]]
    shop = load_shop(tmp_path, rows)
    assert shop.interactions.events.tolist() == [VIEW, PURCHASE, 4, 5, CART]
    assert shop.event_names[4:] == ("gift", "wish")
    assert shop.event_codes(["wish", "purchase"]).tolist() == [5, PURCHASE]


def test_an_event_that_the_shop_does_not_have_is_named_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no event 'order'; it has: view, cart, purchase, return, gift"):
        load_shop(tmp_path, [bought("tea", 0, event="gift")]).event_codes(["purchase", "order"])


def test_more_events_than_codes_are_refused(tmp_path: Path) -> None:
    rows = [bought("tea", n, event=f"event {n}") for n in range(124)]
    with pytest.raises(DataError, match="128 different events, at most 127"):
        load_shop(tmp_path, rows)
    assert load_shop(tmp_path, rows[:123]).interactions.events.max() == 126


# folders that cannot be loaded


def test_an_interaction_with_an_unknown_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="item 'rye', which the items table lacks"):
        load_shop(tmp_path, [bought("tea", 0), bought("rye", 0)], [BREAD, TEA])


def test_a_shop_without_interactions_is_refused(tmp_path: Path) -> None:
    write_shop(tmp_path, [bought("tea", 0)])
    pq.write_table(table([bought("tea", 0) | {"event": "view", "event_time": at(0)}])[:0], tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match="holds no interactions"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("missing", ["interactions", "items"])
def test_what_is_no_shop_folder_says_how_to_make_one(missing: str, tmp_path: Path) -> None:
    (write_shop(tmp_path, [bought("tea", 0)]) / f"{missing}.parquet").unlink()
    with pytest.raises(DataError, match=rf"{missing}\.parquet; make the folder with `segrec import`"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("name", ["interactions", "items"])
def test_a_damaged_file_says_how_to_make_it_again(name: str, tmp_path: Path) -> None:
    path = write_shop(tmp_path, [bought("tea", 0)]) / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cannot be read.*segrec import"):
        Dataset.load(tmp_path)


def test_a_file_without_a_column_that_is_needed_is_refused(tmp_path: Path) -> None:
    write_shop(tmp_path, [{"item_id": "tea", "customer_id": "ann"}], [TEA])
    with pytest.raises(DataError, match="event_time"):
        Dataset.load(tmp_path)


# views of a time


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Lines on days 0 to 9, two each, of customers who come in the order c0, c1, ..."""
    rows = [bought(f"i{day}", day, f"c{day // 2}") for day in range(10) for _ in range(2)]
    return load_shop(tmp_path_factory.mktemp("diary"), rows)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(hours=st.tuples(st.integers(-24, 264), st.integers(-24, 264)))
def test_before_and_between_are_exact_at_their_borders(diary: Dataset, hours: tuple[int, int]) -> None:
    start, end = at(min(hours) / 24), at(max(hours) / 24)
    times = diary.interactions.times
    assert diary.before(end).interactions.times.tolist() == times[times < end].tolist()
    assert diary.between(start, end).interactions.times.tolist() == times[(times >= start) & (times < end)].tolist()
    assert len(diary.before(start).interactions) + len(diary.between(start, end).interactions) == len(diary.before(end).interactions)


def test_a_view_knows_its_end_and_only_the_customers_seen_by_then(diary: Dataset) -> None:
    view = diary.before(at(5))
    assert view.end == at(5)
    assert view.customers.ids == ("c0", "c1", "c2")
    assert diary.between(at(4), at(7)).customers.ids == ("c0", "c1", "c2", "c3")


def test_numbers_are_the_same_in_every_view(diary: Dataset) -> None:
    early, late = diary.before(at(5)), diary.between(at(4), at(10))
    assert early.customers.ids == late.customers.ids[: len(early.customers)]
    assert early.item_ids.ids == late.item_ids.ids
    assert late.customers.ids[late.interactions.customers[0]] == "c2"


def test_numbers_follow_time_even_where_the_file_does_not(tmp_path: Path) -> None:
    rows = [bought("tea", 3, "zoe", basket_id="late"), bought("tea", 1, "bob", basket_id="early"), bought("tea", 2, "ann", basket_id="mid")]
    shop = load_shop(tmp_path, rows)
    assert shop.customers.ids == ("bob", "ann", "zoe")
    assert shop.interactions.baskets.tolist() == [0, 1, 2]


def test_nothing_is_copied_for_a_view(diary: Dataset) -> None:
    assert np.shares_memory(diary.before(at(5)).interactions.items, diary.interactions.items)


# fingerprints

PAST = [bought("tea", 0, basket_id="1", quantity=1, value=2), bought("bread", 1, "bob", basket_id="2", quantity=2, value=3)]


def test_equal_contents_have_equal_fingerprints(tmp_path: Path) -> None:
    first, second = (load_shop(tmp_path / name, PAST) for name in "ab")
    assert first.fingerprint == second.fingerprint
    assert first.before(at(1)).fingerprint == second.before(at(1)).fingerprint


@pytest.mark.parametrize(
    "change", [{"day": 0.5}, {"customer_id": "cid"}, {"item_id": "tea"}, {"event": "view"}, {"value": 4}, {"quantity": 1}]
)
def test_any_other_content_has_another_fingerprint(change: dict[str, Any], tmp_path: Path) -> None:
    items = [BREAD, TEA]
    changed = load_shop(tmp_path / "b", [PAST[0], {**PAST[1], **change}], items)
    assert load_shop(tmp_path / "a", PAST, items).fingerprint != changed.fingerprint


def test_another_item_text_or_end_is_another_content(tmp_path: Path) -> None:
    shop = load_shop(tmp_path / "a", PAST, [BREAD, TEA])
    assert shop.fingerprint != load_shop(tmp_path / "b", PAST, [BREAD, TEA | {"title": "Black tea"}]).fingerprint
    assert shop.fingerprint != shop.before(at(9)).fingerprint != shop.before(at(8)).fingerprint


def test_the_fingerprint_of_a_view_knows_nothing_of_what_came_later(tmp_path: Path) -> None:
    items = [BREAD, TEA]
    future = [bought("bread", 5, "aaa", basket_id="0", event="gift", value=9), bought("tea", 6, None, visitor_id="v")]
    plain, longer = load_shop(tmp_path / "a", PAST, items), load_shop(tmp_path / "b", [*future, *PAST], items)
    assert plain.before(at(5)).fingerprint == longer.before(at(5)).fingerprint


# the catalogue as of a time


def prices_at(shop: Dataset, day: float) -> dict[str, float]:
    catalogue = shop.before(at(day)).catalogue()
    return dict(zip(catalogue.items.ids, catalogue.prices.tolist(), strict=True))


def test_the_price_is_that_of_the_last_line_before_the_time(tmp_path: Path) -> None:
    rows = [bought("tea", 1, quantity=2, value=6), bought("tea", 3, quantity=1, value=5), bought("bread", 9, quantity=1, value=1)]
    shop = load_shop(tmp_path, rows)
    assert [prices_at(shop, day)["tea"] for day in (2, 3, 4)] == [3, 3, 5]
    assert np.isnan([prices_at(shop, 1)["tea"], prices_at(shop, 9)["bread"]]).all()


@pytest.mark.parametrize(
    "line",
    [
        {"quantity": 0, "value": 5},
        {"value": 5},
        {"quantity": 1, "value": -5},
        {"quantity": 1},
        {"event": "return", "quantity": 1, "value": 9},
    ],
)
def test_lines_that_give_no_price_leave_the_one_before(line: dict[str, Any], tmp_path: Path) -> None:
    shop = load_shop(tmp_path, [bought("tea", 0, quantity=1, value=3), bought("tea", 1, **line)])
    assert prices_at(shop, 2)["tea"] == 3


def test_a_catalogue_price_counts_from_the_day_it_holds(tmp_path: Path) -> None:
    items = [TEA | {"price": 7.0, "valid_from": at(4)}, BREAD | {"price": 2.0}]
    shop = load_shop(tmp_path, [bought("tea", 0, quantity=1, value=3), bought("bread", 5, quantity=1, value=1)], items)
    assert [prices_at(shop, day)["tea"] for day in (3, 4, 5)] == [3, 3, 7]
    assert np.isnan(prices_at(shop, 5)["bread"])
    assert prices_at(shop, 6)["bread"] == 1


def test_an_item_is_recommendable_from_its_creation_on(tmp_path: Path) -> None:
    items = [TEA | {"created_time": at(4)}, BREAD, {"item_id": "fuel", "title": "Fuel", "recommendable": False}]
    shop = load_shop(tmp_path, [bought("bread", 0)], items)
    assert [shop.before(at(day)).catalogue().recommendable.tolist() for day in (4, 5)] == [[False, True, False], [True, True, False]]


def test_a_bare_items_table_gives_a_catalogue_of_unknowns(tmp_path: Path) -> None:
    catalogue = load_shop(tmp_path, [bought("tea", 0)], [TEA, BREAD]).catalogue()
    assert catalogue.brands.tolist() == [-1, -1]
    assert catalogue.categories.shape == (2, 0)
    assert catalogue.available.tolist() == [True, True]


def test_names_of_brands_categories_and_groups_become_codes(tmp_path: Path) -> None:
    items = [
        TEA | {"brand": "Leaf", "category": ["drinks", "tea"], "group_id": "g1", "available": False},
        BREAD | {"brand": None, "category": ["bakery"], "group_id": None, "available": True},
        {"item_id": "mate", "brand": "Leaf", "category": None, "group_id": "g1", "available": None},
    ]
    catalogue = load_shop(tmp_path, [bought("tea", 0)], items).catalogue()
    assert [catalogue.brand_names[code] for code in catalogue.brands[[0, 2]]] == ["Leaf", "Leaf"]
    assert catalogue.brands[1] == -1
    assert [[catalogue.category_names[code] for code in path if code >= 0] for path in catalogue.categories] == [
        ["drinks", "tea"],
        ["bakery"],
        [],
    ]
    assert catalogue.groups[0] == catalogue.groups[2] != catalogue.groups[1] == -1
    assert catalogue.available.tolist() == [False, True, True]
    assert catalogue.titles == ["Tea", "Bread", ""]


def test_item_texts_say_everything_once(tmp_path: Path) -> None:
    items = [
        TEA | {"description": "Green leaves", "category": ["Drinks", "Hot"]},
        BREAD | {"description": "Bread", "category": ["Bread"]},
        {"item_id": "stub", "title": "", "description": None, "category": None},
        {"item_id": "only", "title": "", "description": "words", "category": []},
    ]
    texts = load_shop(tmp_path, [bought("tea", 0)], items).item_texts()
    assert texts == ["Tea; Green leaves; Drinks > Hot", "Bread", "", "words"]


def test_ids_of_any_arrow_string_type_are_read(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [bought("tea", 0), bought("bread", 1)]) / "interactions.parquet"
    rows = pq.read_table(path)
    wide = rows.set_column(0, "item_id", rows["item_id"].cast(pa.large_string()))
    pq.write_table(wide.set_column(1, "customer_id", rows["customer_id"].dictionary_encode()), path)
    assert Dataset.load(tmp_path).interactions.items.tolist() == [1, 0]


def test_a_dataset_describes_itself(diary: Dataset) -> None:
    assert repr(diary) == "Dataset(20 interactions, 5 customers, 10 items, 2024-01-01 00:00:00+00:00 to 2024-01-10 00:00:00+00:00)"
    assert repr(replace(diary, interactions=diary.interactions.take(slice(0, 0)))).endswith("10 items, empty)")

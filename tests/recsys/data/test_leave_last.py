"""Leaving the last items of customers out, and cutting pasts down, on a shop whose every line is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lines import at, load_shop

from recsys.data.dataset import Dataset
from recsys.data.leave_last import leave_last
from recsys.data.thinning import basket_numbers, cut_down

LINES: list[dict[str, Any]] = [
    {"customer_id": "long", "item_id": "a", "day": 1, "basket_id": "1"},
    {"customer_id": "long", "item_id": "b", "day": 1, "basket_id": "1"},
    {"customer_id": "short", "item_id": "a", "day": 1},
    {"customer_id": "long", "item_id": "c", "day": 2, "event": "view"},
    {"customer_id": "long", "item_id": "c", "day": 3},
    {"visitor_id": "guest", "item_id": "d", "day": 4},
    {"customer_id": "long", "item_id": "a", "day": 5},
    {"customer_id": "long", "item_id": "d", "day": 5},
    {"customer_id": "long", "item_id": "e", "day": 6},
    {"customer_id": "short", "item_id": "b", "day": 7},
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_shop(tmp_path_factory.mktemp("shop"), LINES, [{"item_id": name, "title": name} for name in "abcde"])


def told(dataset: Dataset, customer: str) -> list[tuple[str, str]]:
    """Items and events of a customer, oldest first."""
    lines, ids = dataset.interactions, dataset.item_ids.ids
    mine = lines.take(lines.customers == dataset.customers.number(customer))
    return [(ids[item], dataset.event_names[event]) for item, event in zip(mine.items, mine.events, strict=True)]


def codes(shop: Dataset) -> np.ndarray[Any, np.dtype[np.int8]]:
    return shop.event_codes(["purchase"])


@pytest.mark.parametrize(("place", "item", "day", "n_known"), [(1, "e", 6, 6), (2, "d", 5, 5), (3, "c", 3, 3)])
def test_a_sequence_holds_each_item_where_it_was_first_bought(shop: Dataset, place: int, item: str, day: int, n_known: int) -> None:
    known, left = leave_last(shop, codes(shop), place, 4)
    assert [shop.customers.ids[customer] for customer in left.customers] == ["long"]
    assert [shop.item_ids.ids[number] for number in left.items] == [item]
    assert left.times.tolist() == [at(day).item()]
    assert told(known, "long") == told(shop, "long")[:n_known]


def test_short_customers_and_guests_lose_nothing(shop: Dataset) -> None:
    known, left = leave_last(shop, codes(shop), 1, 4)
    assert len(left) == 1
    assert told(known, "short") == told(shop, "short")
    assert (known.interactions.customers < 0).sum() == 1


def test_whoever_has_enough_items_takes_part(shop: Dataset) -> None:
    assert len(leave_last(shop, codes(shop), 1, 2)[1]) == 2


def test_everything_of_a_customer_cannot_be_left_out(shop: Dataset) -> None:
    with pytest.raises(ValueError, match="below least"):
        leave_last(shop, codes(shop), 4, 4)


def test_baskets_are_numbered_from_the_last_one(shop: Dataset) -> None:
    lines = shop.interactions
    bought = lines.take(np.isin(lines.events, codes(shop)))
    by_day = dict(zip(((bought.times - at(0)) / np.timedelta64(1, "D")).astype(int).tolist(), basket_numbers(bought).tolist(), strict=True))
    assert by_day == {1: 1, 3: 2, 4: -1, 5: 1, 6: 0, 7: 0}  # day 1 ends with the other customer's line


def test_a_past_is_cut_down_to_the_last_baskets(shop: Dataset) -> None:
    lines = shop.interactions
    bought = lines.take(np.isin(lines.events, codes(shop)))
    n = np.zeros(len(shop.customers), np.int64)
    n[shop.customers.number("long")] = 2
    cut = cut_down(shop, bought, n)
    assert [item for item, _ in told(cut, "long")] == ["a", "d", "e"]
    assert told(cut, "short") == told(shop, "short")
    assert (cut.interactions.customers < 0).sum() == 1
    assert told(cut_down(shop, bought, n * 0), "long") == told(shop, "long")

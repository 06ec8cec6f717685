"""A shop without its future, how fits are compared, and what tables give away; whole trainings: tests/segrec/test_leaks.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop, write_shop

from offline_eval.leaks import Fit, differences, refit
from offline_eval.leaks_ended import write_ended
from offline_eval.leaks_tables import early_reviews, id_order, known_targets, repeated_lines, undated
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.errors import LeakError

BUYING = ["purchase"]
CUT, END = at(10), at(20)


def line(customer: str, item: str, day: float, **more: Any) -> dict[str, Any]:
    return {"customer_id": customer, "item_id": item, "day": day, **more}


# the shop that ends


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    items = [
        {"item_id": "a", "title": "A", "price": 1.0, "valid_from": at(1), "created_time": at(0)},
        {"item_id": "b", "title": "B", "price": 2.0, "valid_from": at(10), "created_time": at(12)},
        {"item_id": "c", "title": "C", "price": 3.0},
    ]
    folder = write_shop(tmp_path / "shop", [line("ann", "a", 9.999), line("ann", "b", 10), line("bob", "c", 15)], items)
    times = pa.array([at(3).item(), None, at(10).item()], pa.timestamp("us", "UTC"))
    reviews = {"customer_id": ["ann"] * 3, "item_id": ["a"] * 3, "text": ["early", "undated", "late"], "event_time": times}
    pq.write_table(pa.table(reviews), folder / "reviews.parquet")
    pq.write_table(pa.table({"customer_id": ["ann", "bob"]}), folder / "customers.parquet")
    return folder


def test_nothing_at_or_after_the_time_is_left_and_nothing_without_a_date(shop: Path, tmp_path: Path) -> None:
    ended = Dataset.load(write_ended(shop, CUT, tmp_path / "ended"))
    assert ended.interactions.times.tolist() == [at(9.999).item()]
    assert read_reviews(ended).texts.tolist() == ["early"]
    assert pq.read_table(tmp_path / "ended" / "reviews.parquet")["text"].to_pylist() == ["early"]
    assert pq.read_table(tmp_path / "ended" / "customers.parquet").num_rows == 2


def test_items_keep_their_numbers_and_lose_prices_that_did_not_hold_yet(shop: Path, tmp_path: Path) -> None:
    ended = Dataset.load(write_ended(shop, CUT, tmp_path / "ended"))
    assert ended.item_ids.ids == Dataset.load(shop).item_ids.ids
    assert dict(zip(ended.item_ids.ids, ended.items["price"].to_pylist(), strict=True)) == {"a": 1.0, "b": 5.0, "c": 7.0}
    assert ended.items.drop_columns("price") == Dataset.load(shop).items.drop_columns("price")


# fitting again


def fitting(count: Callable[[Dataset, np.datetime64], Any]) -> Fit:
    """Fits one number or row, as an array."""

    def fit(dataset: Dataset, time: np.datetime64, work: Path) -> Path:
        folder = work / str(time)[:10]
        (folder / "sources" / "popular").mkdir(parents=True)
        np.save(folder / "sources" / "popular" / "counts.npy", np.array(count(dataset, time)))
        return folder

    return fit


def test_what_is_fitted_on_the_past_passes_and_what_knows_more_is_named(shop: Path, tmp_path: Path) -> None:
    honest = refit(Dataset.load(shop), [CUT, END], fitting(lambda data, time: [len(data.before(time).interactions)]), tmp_path / "honest")
    assert honest.check.findings == ()
    assert set(honest.whole) == {CUT, END}
    leaky = fitting(lambda data, time: np.bincount(data.interactions.items, minlength=3)[None])
    columns = {"sources/popular/counts.npy": [f"of {item}" for item in Dataset.load(shop).item_ids.ids]}
    (finding,) = refit(Dataset.load(shop), [CUT, END], leaky, tmp_path / "leaky", columns).check.findings
    assert finding.where == "sources/popular"
    assert "after 2024-01-11: counts.npy (1 of 1 rows differ, in of " in finding.what  # as of END nothing follows
    assert [f"of {item}" in finding.what for item in "abc"] == [False, True, True]


def test_a_part_that_is_never_the_same_cannot_be_judged(shop: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng()
    (finding,) = refit(Dataset.load(shop), [CUT], fitting(lambda data, time: rng.random(3)), tmp_path / "work").check.findings
    assert "differs between two trainings on the same shop" in finding.what


def test_a_training_that_finds_its_own_leak_is_told(shop: Path, tmp_path: Path) -> None:
    def fit(dataset: Dataset, time: np.datetime64, work: Path) -> Path:
        raise LeakError("source 'als' knew the labels")

    refitted = refit(Dataset.load(shop), [CUT], fit, tmp_path / "work")
    assert [finding.what for finding in refitted.check.findings] == ["source 'als' knew the labels"]
    assert refitted.whole == {}


def test_files_are_compared_bit_by_bit(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "features").mkdir(parents=True)
        np.save(folder / "features" / "same.npy", np.array([1.0, np.nan]))
        (folder / "manifest.json").write_text(str(folder))
    np.save(one / "features" / "wider.npy", np.zeros((2, 3)))
    np.save(other / "features" / "wider.npy", np.zeros((2, 2)))
    np.save(one / "features" / "zero.npy", np.array([0.0]))
    np.save(other / "features" / "zero.npy", np.array([-0.0]))
    (one / "names.json").write_text("[1]")
    found = {difference.file: difference.what for difference in differences(one, other, {})}
    assert set(found) == {"features/wider.npy", "features/zero.npy", "names.json"}
    assert found["names.json"] == "only there with the future"
    assert "(2, 3)" in found["features/wider.npy"]


# the same line on both sides


def repeats(tmp_path: Path, *again: dict[str, Any]) -> int:
    """How many of twenty wanted items stand on both sides of the cut, when some lines are added before it."""
    lines = [line(f"c{number}", "a", 10, basket_id=f"b{number}") for number in range(20)]
    check = repeated_lines(load_shop(tmp_path / "shop", [*lines, *again]), CUT, END, BUYING)
    assert bool(check.findings) == (int(check.looked_at.split()[0]) >= 3)
    return int(check.looked_at.split()[0])


def test_a_line_within_seconds_or_in_the_same_basket_is_the_same_line(tmp_path: Path) -> None:
    second = 1 / 86_400
    assert repeats(tmp_path, *[line(f"c{number}", "a", 10 - 5 * second, basket_id=f"x{number}") for number in range(7)]) == 7
    assert repeats(tmp_path, *[line(f"c{number}", "a", 9, basket_id=f"b{number}") for number in range(6)]) == 6


def test_buying_again_is_no_repeat(tmp_path: Path) -> None:
    again = [line(f"c{number}", "a", 9.9, basket_id=f"x{number}") for number in range(9)]
    other = [line(f"c{number}", "b", 9.99999, basket_id=f"b{number}") for number in range(9)]
    viewed = [line(f"c{number}", "a", 9.99999, basket_id=f"b{number}", event="view") for number in range(9)]
    assert repeats(tmp_path, *again, *other, *viewed) == 0


# new means new


def test_a_known_item_among_the_new_ones_is_named(tmp_path: Path) -> None:
    shop = load_shop(tmp_path / "shop", [line("ann", "a", 1), line("ann", "b", 2, event="view"), line("bob", "b", 3), line("ann", "c", 12)])
    assert known_targets({"ann": {"b": 1.0, "c": 1.0}, "stranger": {"a": 1.0}}, shop, CUT, BUYING).findings == ()
    (finding,) = known_targets({"ann": {"a": 1.0, "c": 1.0}}, shop, CUT, BUYING).findings
    assert "1 of 2" in finding.what
    assert "'a' of customer 'ann'" in finding.what


# ids that tell


def many_buyers(seed: int = 0) -> list[dict[str, Any]]:
    """Each of 150 customers buys two items of one of ten categories every other day; ids are random."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(600)
    rows = []
    for customer in range(150):
        for day in range(0, 20, 2):
            first = 60 * (customer % 10)
            rows += [line(f"c{customer}", f"i{names[item]:03}", day + 0.1) for item in first + rng.choice(60, 2, replace=False)]
    return rows


def items_in(order: list[str]) -> list[dict[str, Any]]:
    return [{"item_id": item, "title": item} for item in order]


def test_where_rows_of_items_stand_tells_nothing(tmp_path: Path) -> None:
    rows = many_buyers()
    as_bought = list(dict.fromkeys(row["item_id"] for row in rows))
    assert id_order(load_shop(tmp_path / "shop", rows, items_in(as_bought)), BUYING).findings == ()


def test_ids_by_category_are_not_named(tmp_path: Path) -> None:
    rows = many_buyers()
    category = {row["item_id"]: int(row["customer_id"][1:]) % 10 for row in rows}
    number = {item: place for place, item in enumerate(sorted(category, key=lambda item: (category[item], item)))}
    renamed = [{**row, "item_id": f"i{number[row['item_id']]}"} for row in rows]
    assert id_order(load_shop(tmp_path / "shop", renamed), BUYING).findings == ()


def test_ids_that_number_purchases_are_named_wherever_their_rows_are(tmp_path: Path) -> None:
    rows = many_buyers()
    numbers = {item: number for number, item in enumerate(dict.fromkeys(row["item_id"] for row in rows))}
    renamed = [{**row, "item_id": f"i{numbers[row['item_id']]}"} for row in rows]
    order = [f"i{number}" for number in np.random.default_rng(2).permutation(len(numbers))]
    check = id_order(load_shop(tmp_path / "shop", renamed, items_in(order)), BUYING)
    assert [finding.where for finding in check.findings] == ["item_id"]
    assert "standard errors beyond what is usual" in check.findings[0].what


def test_one_popular_pair_proves_nothing(tmp_path: Path) -> None:
    rows = [line(f"c{number}", item, day) for number in range(500) for item, day in (("i1", 1.0), ("i2", 2.0))]
    assert id_order(load_shop(tmp_path / "shop", rows), BUYING).findings == ()


def test_lines_sorted_by_id_inside_one_moment_are_noted(tmp_path: Path) -> None:
    rows = [line(f"c{number}", f"i{item}", 1) for number in range(30) for item in range(number % 5, number % 5 + 4)]
    check = id_order(load_shop(tmp_path / "shop", rows), BUYING)
    assert check.findings == ()
    assert "100% of the lines stand in the order of item_id" in check.notes[0]


# reviews and what has no date


def test_reviews_before_the_first_purchase_are_named(tmp_path: Path) -> None:
    rows = [line(f"c{number}", "a", 5, event="view") for number in range(10)] + [line(f"c{number}", "a", 12) for number in range(10)]
    folder = write_shop(tmp_path / "shop", rows)

    def write(day: float, n: int) -> Dataset:
        times = pa.array([at(day).item()] * n, pa.timestamp("us", "UTC"))
        customers = [f"c{number}" for number in range(n)]
        table = pa.table({"customer_id": customers, "item_id": ["a"] * n, "text": ["fine"] * n, "event_time": times})
        pq.write_table(table, folder / "reviews.parquet")
        return Dataset.load(folder)

    assert early_reviews(write(13, 10), CUT, END, BUYING).findings == ()
    assert early_reviews(write(6, 2), CUT, END, BUYING).findings == ()  # too few to prove anything
    (finding,) = early_reviews(write(6, 4), CUT, END, BUYING).findings
    assert (finding.where, "4 of 10" in finding.what) == ("reviews", True)


def test_what_has_no_date_is_told_and_is_no_leak(shop: Path) -> None:
    check = undated(Dataset.load(shop))
    assert check.findings == ()
    assert check.notes == (
        "items: title are known as they are now, whenever a query is asked",
        "reviews: 1 rows have no date and feed nothing",
    )

"""Who was shown what, and how far up, from a handful of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.data.dataset import Dataset
from recsys.data.exposures import Shown
from recsys.errors import DataError

LINES = [{"item_id": f"i{n}", "day": n, "customer_id": who} for n, who in enumerate(("ann", "bob", "cy"))]
Row = tuple[str | None, str, int, float]
"""customer, item, position, day"""


def shop_with(folder: Path, rows: Sequence[Row]) -> Dataset:
    shop = load_shop(folder, LINES)
    customers, items, positions, days = zip(*rows, strict=True)
    times = pa.array([at(day).item() for day in days], pa.timestamp("us", "UTC"))
    columns = {"request_id": ["r"] * len(rows), "item_id": items, "position": positions, "event_time": times}
    pq.write_table(
        pa.table({**columns, "customer_id": pa.array(customers, pa.string()), "visitor_id": ["v"] * len(rows)}),
        folder / "exposures.parquet",
    )
    return shop


def test_the_best_position_of_each_item_counts(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, [("bob", "i2", 4, 5), ("bob", "i2", 3, 6), ("ann", "i0", 9, 5), ("bob", "i1", 7, 5), ("bob", "i2", 8, 7)])
    shown = Shown.between(shop, at(0), at(10))
    assert shown.to(0) == {0: 9}
    assert shown.to(1) == {1: 7, 2: 3}
    assert shown.to(2) == {}


def test_only_what_was_shown_in_the_time_counts(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, [("ann", "i0", 1, 4.9999), ("ann", "i1", 2, 5), ("ann", "i2", 3, 9.9999), ("ann", "i0", 4, 10)])
    assert Shown.between(shop, at(5), at(10)).to(0) == {1: 2, 2: 3}


def test_visitors_strangers_and_unknown_items_are_left_out(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, [(None, "i0", 1, 5), ("dan", "i0", 1, 5), ("cy", "other", 1, 5), ("cy", "i0", 2, 5)])
    shown = Shown.between(shop, at(0), at(10))
    assert (shown.customers.tolist(), shown.items.tolist(), shown.positions.tolist()) == ([2], [0], [2])


def test_a_shop_without_exposures_has_shown_nothing(tmp_path: Path) -> None:
    assert Shown.between(load_shop(tmp_path, LINES), at(0), at(10)).to(0) == {}


def test_exposures_of_visitors_alone_name_no_customer(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, [("ann", "i0", 1, 5)])
    there = pq.read_table(tmp_path / "exposures.parquet").drop_columns(["customer_id"])
    pq.write_table(there, tmp_path / "exposures.parquet")
    assert not len(Shown.between(shop, at(0), at(10)).items)


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, [("ann", "i0", 1, 5)])
    (tmp_path / "exposures.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"exposures\.parquet cannot be read"):
        Shown.between(shop, at(0), at(10))

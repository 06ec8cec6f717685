"""UCI Online Retail: a small file of its layout, and the published file where it is at hand."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from shops import Import, Imported, Write

from recsys.data.importers import open_shop
from recsys.errors import DataError

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = """536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom
C536379,85123A,white hanging heart (damaged),-2,12/1/2010 9:41,2.55,17850,United Kingdom
536544,85123B,RED HANGING HEART,1,12/1/2010 14:32,5.1,,United Kingdom
536370,POST,POSTAGE,3,12/1/2010 8:45,18,12583,France
536370,22016,Gift Voucher £100.00,1,12/1/2010 8:45,83.33,12583,France
536414,22139,,56,12/1/2010 11:52,0,,United Kingdom
536589,21777,damages,-10,12/1/2010 16:50,0,,United Kingdom
537197,22841,ROUND CAKE TIN VINTAGE GREEN,1,12/5/2010 14:02,0,12647,Germany
A563185,B,Adjust bad debt,1,8/12/2011 14:50,11062.06,,United Kingdom
"""


@pytest.fixture
def imported(write: Write, import_source: Import) -> Imported:
    return import_source("online_retail", write({"data.csv": (HEADER + LINES).encode("cp1252")}) / "data.csv")


def test_lines_become_purchases_and_returns(imported: Imported) -> None:
    rows = imported.rows()
    assert rows[0] == {
        "item_id": "85123A",
        "customer_id": "17850",
        "event": "purchase",
        "event_time": dt.datetime(2010, 12, 1, 8, 26, tzinfo=dt.UTC),
        "basket_id": "536365",
        "quantity": 6.0,
        "value": pytest.approx(15.3),
        "currency": "GBP",
    }
    assert (rows[2]["event"], rows[2]["quantity"], rows[2]["value"], rows[2]["basket_id"]) == ("return", 2.0, pytest.approx(5.1), "C536379")
    assert [row["event"] for row in rows].count("return") == 1


def test_lines_without_a_customer_are_kept_as_part_of_their_basket(imported: Imported) -> None:
    assert [(row["item_id"], row["basket_id"]) for row in imported.rows() if row["customer_id"] is None] == [("85123B", "536544")]


def test_lines_that_sell_nothing_are_dropped_and_counted(imported: Imported) -> None:
    report = imported.report.tables["interactions"]
    assert (report.read, report.kept) == (10, 7)
    assert report.dropped == {"stock movement (neither price nor customer)": 2, "adjustment of bad debt (invoice A...)": 1}


def test_items_come_from_the_lines(imported: Imported) -> None:
    items = {row["item_id"]: row for row in imported.rows("items")}
    assert items["85123A"]["title"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert items["85123A"]["group_id"] == items["85123B"]["group_id"] == "85123"
    assert {item_id for item_id, item in items.items() if not item["recommendable"]} == {"POST", "22016"}
    assert items["22016"]["title"] == "Gift Voucher £100.00"
    assert imported.report.n_stubs == 0


def test_customers_come_with_their_country(imported: Imported) -> None:
    assert {row["customer_id"]: row["country"] for row in imported.rows("customers")} == {
        "12583": "France",
        "12647": "Germany",
        "17850": "United Kingdom",
    }


def test_the_second_edition_and_ids_written_as_decimals_are_read(write: Write, import_source: Import) -> None:
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    line = "489434,85048,CHRISTMAS GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n"
    done = import_source("online_retail", write({"online_retail_II.csv.gz": header + line}))
    assert (done.column("customer_id"), done.column("event_time")) == (["13085"], [dt.datetime(2009, 12, 1, 7, 45, tzinfo=dt.UTC)])


def test_numbers_that_cannot_be_read_are_refused_as_they_stand(write: Write, import_source: Import) -> None:
    bad = "1,85048,BALL,many,12/1/2010 8:26,1,2,UK\n1,85048,BALL,1,12/1/2010 8:26,cheap,2,UK\n"
    done = import_source("online_retail", write({"data.csv": HEADER + LINES + bad}), max_bad=0.5)
    assert done.refused() == {"quantity is no number": 1, "value is no number": 1}
    assert "'many'" in done.example("quantity is no number")
    assert "'cheap'" in done.example("value is no number")


def test_a_file_of_another_layout_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="has no column 'InvoiceNo'"):
        open_shop("online_retail", write({"data.csv": "a,b\n1,2\n"}))


def test_a_folder_with_several_files_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"holds 2 data files, a.csv, b.csv; give the one to read"):
        open_shop("online_retail", write({"a.csv": HEADER, "b.csv": HEADER}))


PUBLISHED = Path(os.environ.get("SEGREC_DATA", "no data folder")) / "uci_online_retail.parquet"


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="SEGREC_DATA names no folder with uci_online_retail.parquet")
def test_every_line_of_the_published_file_is_accounted_for(import_source: Import) -> None:
    done = import_source("online_retail", PUBLISHED)
    report = done.report.tables["interactions"]
    assert (report.read, report.kept, report.refused.total) == (541_909, 539_431, 0)
    assert report.dropped == {"stock movement (neither price nor customer)": 2_475, "adjustment of bad debt (invoice A...)": 3}
    assert done.column("event").count("return") == 9_288
    assert done.column("customer_id").count(None) == 135_080 - 2_475 - 3
    assert done.report.tables["customers"].kept == 4_372
    assert sum(not row["recommendable"] for row in done.rows("items")) == 20

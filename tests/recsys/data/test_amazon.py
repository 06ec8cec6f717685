"""Amazon Reviews: the layouts of 2014, 2018 and 2023."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from shops import Import, Write

from recsys.data.importers import open_shop
from recsys.errors import DataError

MIDNIGHT = dt.datetime(2014, 5, 1, tzinfo=dt.UTC)


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


REVIEW_2014 = {
    "reviewerID": "A1",
    "asin": "B1",
    "reviewerName": "J. Doe",
    "helpful": [2, 3],
    "reviewText": "Soft &#34;and&#34; gentle.",
    "overall": 5.0,
    "summary": "Great &amp; mild",
    "unixReviewTime": 1398902400,
    "reviewTime": "05 1, 2014",
}
META_2014 = {
    "asin": "B1",
    "title": "Soap &amp; Water",
    "description": "It's <b>clean</b>.<script>var x = '<p>';</script>",
    "price": 4.5,
    "imUrl": "http://example.invalid/1.jpg",
    "related": {"also_bought": ["B2"], "bought_together": ["B3"]},
    "salesRank": {"Beauty": 7},
    "brand": "Acme",
    "categories": [["Beauty", "Bath &amp; Body", "Soap"], ["Home"]],
}
FILES_2014 = {"reviews_Beauty_5.json.gz": lines(REVIEW_2014), "meta_Beauty.json.gz": repr(META_2014) + "\n"}


def test_2014(write: Write, import_source: Import) -> None:
    done = import_source("amazon", write(FILES_2014))
    assert done.rows() == [{"item_id": "B1", "customer_id": "A1", "event": "review", "event_time": MIDNIGHT}]
    assert done.rows("reviews") == [
        {"customer_id": "A1", "item_id": "B1", "text": 'Soft "and" gentle.', "title": "Great & mild", "rating": 5.0}
        | {"event_time": MIDNIGHT, "helpful_count": 2}
    ]
    item = done.rows("items")[0]
    assert (item["title"], item["description"], item["brand"], item["price"]) == ("Soap & Water", "It's clean .", "Acme", 4.5)
    assert item["category"] == ["Beauty", "Bath & Body", "Soap"]


def test_what_comes_from_co_purchases_is_never_read(write: Write, import_source: Import) -> None:
    done = import_source("amazon", write(FILES_2014))
    assert done.report.n_stubs == 0
    assert not any(other in str(done.rows("items")) for other in ("B2", "B3", "also_bought"))


def test_2018(write: Write, import_source: Import) -> None:
    review = {"overall": 4.0, "vote": "1,234", "verified": True, "reviewTime": "05 1, 2014", "reviewerID": "A1", "asin": "B1"}
    review |= {
        "style": {"Color:": " Red"},
        "reviewerName": "J",
        "reviewText": "Fine",
        "summary": "OK",
        "unixReviewTime": 1398902400,
        "image": ["x"],
    }
    bare = {"reviewerID": "A2", "asin": "B1", "unixReviewTime": 1398902400, "overall": 1.0}
    meta = {
        "category": [],
        "tech1": "",
        "description": ["One.", "Two."],
        "title": "Pen",
        "also_buy": ["B9"],
        "brand": "Acme",
        "rank": "9 in Office",
    }
    meta |= {"feature": ["Blue ink"], "main_cat": "Office &amp; School", "price": "$1,299.50", "asin": "B1"}
    other = meta | {"asin": "B2", "price": ".a-box-inner{background-color:#fff}", "category": ["Office", "Pens"]}
    done = import_source("amazon", write({"Office_5.json.gz": lines(review, bare), "meta_Office.json.gz": lines(meta, other, meta)}))
    assert [(row["helpful_count"], row["text"], row["rating"]) for row in done.rows("reviews")] == [(1234, "Fine", 4.0), (0, "", 1.0)]
    items = done.rows("items")
    assert [(row["item_id"], row["price"], row["category"]) for row in items] == [
        ("B1", 1299.5, ["Office & School"]),
        ("B2", None, ["Office", "Pens"]),
    ]
    assert items[0]["description"] == "One. Two. Blue ink"
    assert done.report.tables["items"].dropped == {"repeated line of an item": 1}


def test_2023(write: Write, import_source: Import) -> None:
    review = {
        "rating": 3.0,
        "title": "Okay",
        "text": "It works<br />well",
        "images": [],
        "asin": "B1red",
        "parent_asin": "B1",
        "user_id": "A1",
    }
    review |= {"timestamp": 1398902400123, "helpful_vote": 4, "verified_purchase": True}
    meta = {
        "main_category": "All Beauty",
        "title": "Brush",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Soft"],
        "description": [],
    }
    meta |= {"price": None, "images": [], "videos": [], "store": "Acme", "categories": [], "parent_asin": "B1", "bought_together": None}
    meta |= {"details": {"Color": "Red", "Best Sellers Rank": {"Brushes": 5}}}
    done = import_source("amazon", write({"All_Beauty.jsonl": lines(review), "meta_All_Beauty.jsonl": lines(meta)}))
    assert done.rows("reviews") == [
        {"customer_id": "A1", "item_id": "B1", "text": "It works well", "title": "Okay", "rating": 3.0}
        | {"event_time": MIDNIGHT + dt.timedelta(milliseconds=123), "helpful_count": 4}
    ]
    item = done.rows("items")[0]
    assert (item["item_id"], item["description"], item["brand"], item["price"]) == ("B1", "Soft", "Acme", None)
    assert (item["category"], item["attributes"]) == (["All Beauty"], [("Color", "Red")])


def test_malformed_lines_are_counted_in_both_tables_they_feed(write: Write, import_source: Import) -> None:
    done = import_source("amazon", write(FILES_2014 | {"reviews_Beauty_5.json": lines(REVIEW_2014) + "{'reviewerID': \n"}), max_bad=0.5)
    assert done.refused() == done.refused("reviews") == {"malformed line": 1}
    assert "line 2 of reviews_Beauty_5.json" in done.example("malformed line")


def test_a_truncated_gzip_names_the_file(write: Write, import_source: Import) -> None:
    folder = write(FILES_2014)
    path = folder / "reviews_Beauty_5.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"reviews_Beauty_5.json.gz is truncated or damaged"):
        import_source("amazon", folder)


@pytest.mark.parametrize(("missing", "words"), [("meta_Beauty.json.gz", "no metadata"), ("reviews_Beauty_5.json.gz", "no reviews")])
def test_both_kinds_of_files_are_needed(write: Write, missing: str, words: Any) -> None:
    folder = write({name: data for name, data in FILES_2014.items() if name != missing})
    with pytest.raises(DataError, match=words):
        open_shop("amazon", folder)


def test_lines_of_another_layout_are_an_error(write: Write, import_source: Import) -> None:
    with pytest.raises(DataError, match=r"table reviews: .*all.json has no column 'reviewerID'.* its columns are: 'asin', 'user'"):
        import_source("amazon", write({"all.json": lines({"asin": "B1", "user": "A1"}), "meta_Beauty.json.gz": repr(META_2014)}))

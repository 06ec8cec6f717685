"""What the measurement of reasons rests on: what counts as true, what as a fall, and that nothing untrue passes."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import profile
from lines import at, load_shop

from benchmarks import reasons
from benchmarks.reason_evidence import Evidence
from recsys.config import Config
from recsys.types import Mention, Reason, ReasonCode, aware

PROFILES = SimpleNamespace(segment_ids=("s0", "s1"), segment=np.array([0, 1, 0], np.int16), tier=np.array([0, 2, 0], np.int8), as_of=at(30))
"""Customers a and c are of segment s0 and tier low, b is of s1 and high."""


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Customer a bought items 0 and 1, c items 0 and 2, b item 2; of items 0 and 2 two reviewers each mention a handle."""
    items = [
        {"item_id": "i0", "title": "Mug", "brand": "Acme", "category": ["Home", "Mugs"], "group_id": "g", "price": 10.0},
        {"item_id": "i1", "title": "Cup", "brand": "Rill", "category": ["Home", "Cups"]},
        {"item_id": "i2", "title": "Jug", "brand": "Acme", "category": ["Home", "Jugs"], "group_id": "g"},
        {"item_id": "i3", "title": "Pen", "brand": "Bic", "category": ["Desk"]},
        *({"item_id": f"i{row}", "title": "Mug", "category": ["Home", "Mugs"], "price": 7.0 + row} for row in (4, 5)),
        {"item_id": "i6", "title": "Bowl", "category": ["Home", "Mugs"], "price": 99.0},
    ]
    items = [{**item, "valid_from": at(0)} for item in items]
    buying = [("a", "i0", 1), ("a", "i1", 2), ("b", "i2", 3), ("b", "i2", 9), ("c", "i0", 4), ("c", "i2", 6), ("a", "i3", 60)]
    known = load_shop(tmp_path, [{"customer_id": who, "item_id": item, "day": day} for who, item, day in buying], items)
    written = [("a", "i0"), ("b", "i0"), ("a", "i2"), ("b", "i2"), ("b", "i1")]
    texts = ["A fine handle, and strong."] * 4 + ["A fine handle"]
    times = pa.array([at(5 + row).item() for row in range(5)], pa.timestamp("us", "UTC"))
    columns = {"customer_id": [who for who, _ in written], "item_id": [item for _, item in written], "text": texts, "event_time": times}
    pq.write_table(pa.table(columns), tmp_path / "reviews.parquet")
    return Evidence.of(known.before(at(30)), Config(), PROFILES)


MENTIONED = Reason(ReasonCode.MENTIONED, "i0", "handle", 1.0, Mention("A fine handle", aware(at(7)), 2))


@pytest.mark.parametrize(
    ("reason", "item", "is_true"),
    [
        (Reason(ReasonCode.BOUGHT_BEFORE, "i0"), 0, True),
        (Reason(ReasonCode.BOUGHT_BEFORE, "i0"), 2, True),  # another variant
        (Reason(ReasonCode.BOUGHT_BEFORE, "i0"), 1, False),
        (Reason(ReasonCode.BOUGHT_TOGETHER, "i0"), 2, True),
        (Reason(ReasonCode.BOUGHT_TOGETHER, "i1"), 2, False),  # by nobody
        (Reason(ReasonCode.BOUGHT_TOGETHER, "i2"), 0, False),  # by others; a has no such jug
        (Reason(ReasonCode.SIMILAR_CUSTOMERS, "i0"), 2, True),
        (Reason(ReasonCode.SIMILAR_CUSTOMERS, "i0"), 1, False),  # bought both: a alone
        (Reason(ReasonCode.SIMILAR_CUSTOMERS), 2, False),
        (Reason(ReasonCode.OFTEN_NEXT, "i0"), 2, True),
        (Reason(ReasonCode.OFTEN_NEXT, "i1"), 2, False),
        (Reason(ReasonCode.SIMILAR_TEXT, "i1"), 4, True),
        (Reason(ReasonCode.SIMILAR_TEXT, "i3"), 1, False),  # bought later
        (Reason(ReasonCode.SIMILAR_TEXT), 1, False),
        (Reason(ReasonCode.POPULAR), 0, True),
        (Reason(ReasonCode.POPULAR), 1, False),
        (Reason(ReasonCode.POPULAR), 3, False),  # not bought by then
        (Reason(ReasonCode.BOUGHT_AGAIN), 2, True),
        (Reason(ReasonCode.BOUGHT_AGAIN), 0, False),
        (Reason(ReasonCode.SAME_BRAND, name="Acme"), 2, True),
        (Reason(ReasonCode.SAME_BRAND, name="Rill"), 2, False),
        (Reason(ReasonCode.SAME_CATEGORY, name="Home"), 2, True),
        (Reason(ReasonCode.SAME_CATEGORY, name="Jugs"), 2, False),
        (Reason(ReasonCode.USUAL_PRICE, name="Mugs"), 4, True),  # the second cheapest of four; a buys the cheapest
        (Reason(ReasonCode.USUAL_PRICE, name="Mugs"), 5, False),
        (Reason(ReasonCode.USUAL_PRICE, name="Mugs"), 6, False),
        (Reason(ReasonCode.USUAL_PRICE, name="Mugs"), 1, False),  # a cup
        (Reason(ReasonCode.USUAL_PRICE, name="Home"), 4, False),  # prices are not compared so widely
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s0"), 0, True),
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s0"), 2, True),  # not more than elsewhere, but among the most bought
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s0"), 4, False),
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s1"), 2, False),  # of b
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="low"), 0, True),
        (Reason(ReasonCode.POPULAR_IN_SEGMENT, name="low"), 2, False),  # no source counts within tiers
        (MENTIONED, 2, True),
        (MENTIONED, 1, False),
        (replace(MENTIONED, because_item_id="i1"), 2, False),  # of which one reviewer alone mentions it
        (replace(MENTIONED, because_item_id="i2"), 0, False),
        (replace(MENTIONED, name="lid"), 2, False),
        (replace(MENTIONED, mention=Mention("A fine handle", aware(at(6)), 2)), 2, False),  # no review of that time
        (replace(MENTIONED, mention=Mention("A poor handle", aware(at(7)), 2)), 2, False),
        (replace(MENTIONED, mention=Mention("A fine handle", aware(at(7)), 3)), 2, False),
    ],
)
def test_a_reason_is_true_when_the_shops_own_tables_say_so(evidence: Evidence, reason: Reason, item: int, is_true: bool) -> None:
    assert evidence.holds(reason, item, "a", profile(segment="s0")) is is_true


def test_a_stranger_has_no_evidence(evidence: Evidence) -> None:
    assert not evidence.holds(Reason(ReasonCode.SAME_BRAND, name="Acme"), 2, "nobody", None)


def test_ranks_are_counted_among_the_other_candidates() -> None:
    scores = np.array([3.0, 2.0, 1.0], np.float32)
    assert reasons._ranks(np.array([9.0, 2.5, 1.5, 0.0], np.float32), scores, row=0).tolist() == [1, 1, 2, 3]


def test_medians_are_of_the_candidates_that_have_a_feature() -> None:
    table = np.array([[1, np.nan, np.nan], [3, 5, np.nan], [8, 7, np.nan]], np.float32)
    np.testing.assert_array_equal(reasons._medians(table), np.array([3, 6, np.nan], np.float32))


def test_of_a_trained_bundle_every_reason_is_true_and_the_order_rests_on_it(
    small_bundle: Path, small_shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["reasons", str(small_bundle.parent), "--data", str(small_shop), "--customers", "12", "--strategy", "home"]
    )
    monkeypatch.setenv("COLUMNS", "140")
    reasons.main()
    printed = capsys.readouterr().out
    rows = {" ".join(line.split()[:2]): line.split() for line in printed.splitlines()}
    told = [line.split() for line in printed.splitlines() if line.split()[:1] and line.split()[0] in [*ReasonCode, "any"]]
    assert len(told) > 3
    assert {row[-1] for row in told} == {"0"}
    assert rows["another customer's"][-1] == rows["sources that"][-1] == "0"
    falls = [float(re.search(r"(-?[\d.]+) \[", line)[1]) for line in printed.splitlines() if " told" in line and "[" in line]
    assert falls[0] > falls[1]


def test_a_shop_that_is_not_there_is_named(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reasons", str(small_bundle.parent), "--data", "/nowhere"])
    with pytest.raises(SystemExit, match="there is no folder /nowhere"):
        reasons.main()

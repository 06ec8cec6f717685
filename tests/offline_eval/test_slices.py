"""Labels of customers as of a time, and what was wanted by category."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from world import DAY, END

from offline_eval.evaluate import evaluate
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import relevant_items
from offline_eval.result import summarise
from offline_eval.slices import HISTORY, by_category, customer_slices, measure_categories
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.types import Query, aware

AS_OF = END - 28 * DAY
NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


def test_everybody_has_a_label_of_what_was_known_then(loaded_bundle: Bundle, small_dataset: Dataset) -> None:
    slices = customer_slices(loaded_bundle, small_dataset, AS_OF, ["c0", "c7", "nobody"])
    assert set(slices) == {"segment", "tier", "stage", "history", "customer"}  # the shop shows nothing to anybody: no placements
    assert slices["customer"] == {"c0": "warm", "c7": "warm", "nobody": "cold"}
    assert "nobody" not in slices["tier"]
    profile = loaded_bundle.profile("c7")
    assert profile is not None
    assert (slices["segment"]["c7"], slices["tier"]["c7"], slices["stage"]["c7"]) == (profile.segment, profile.tier, profile.stage)
    lines = small_dataset.before(AS_OF).interactions
    baskets = len(np.unique(lines.baskets[lines.customers == small_dataset.customers.number("c7")]))
    assert slices["history"]["c7"] == next(label for least, label in reversed(HISTORY) if baskets >= least)
    assert slices["history"]["nobody"] == "0"


@pytest.mark.parametrize(("n", "label"), [(0, "0"), (1, "1"), (2, "2-4"), (4, "2-4"), (5, "5-9"), (19, "10-19"), (50, "50+"), (900, "50+")])
def test_histories_are_binned_by_occasions(n: int, label: str, loaded_bundle: Bundle, small_dataset: Dataset) -> None:
    few = small_dataset.interactions.take(np.zeros(2 * n, np.intp))  # one line again and again,
    few = replace(few, customers=np.zeros(2 * n, np.int32), baskets=np.repeat(np.arange(n), 2).astype(np.int32))  # two in a basket
    shop = replace(small_dataset, interactions=few)
    assert customer_slices(loaded_bundle, shop, END, [shop.customers.ids[0]])["history"] == {shop.customers.ids[0]: label}


def test_placement_is_where_most_had_been_shown_by_then(loaded_bundle: Bundle, small_shop: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(small_shop, tmp_path / "shop"))
    early, late = (AS_OF - DAY).item(), (AS_OF + DAY).item()
    shown = [("c0", "home", early), ("c0", "cart", early), ("c0", "cart", early), ("c1", "home", late), ("c2", None, early)]
    shown += [("c3", "home", early), ("c3", "cart", early)] + [("c3", "home", late)] * 5
    columns = dict(zip(("customer_id", "placement", "event_time"), zip(*shown, strict=True), strict=True))
    times = pa.array(columns.pop("event_time"), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()} | {"event_time": times}), shop / "exposures.parquet")
    slices = customer_slices(loaded_bundle, Dataset.load(shop), AS_OF, ["c0", "c1", "c2", "c3"])
    assert slices["placement"] == {"c0": "cart", "c3": "cart"}  # c3: as often in both, so the first by name


# by category


def test_what_was_wanted_falls_into_categories(small_dataset: Dataset) -> None:
    catalogue = small_dataset.catalogue()
    truth = {"ann": {"i0": 1.0, "i20": 2.0, "i21": 1.0}, "bob": {"i30": 1.0}, "eve": {"elsewhere": 1.0}}
    expected = {
        "Home": {"ann": {"i20": 2.0, "i21": 1.0}, "bob": {"i30": 1.0}},
        "Drinks": {"ann": {"i0": 1.0}},
        "none": {"eve": {"elsewhere": 1.0}},
    }
    assert by_category(truth, catalogue) == expected
    assert list(by_category(truth, catalogue)) == ["Home", "Drinks", "none"]
    assert list(by_category(truth, catalogue, "brand")) == ["brand 00", "brand 01", "brand 11", "none"]


def test_a_category_is_measured_on_what_was_wanted_of_it(small_dataset: Dataset) -> None:
    def system(queries: Sequence[Query]) -> list[list[str]]:
        return [["i20", "i0", "i5"] for _ in queries]

    truth = {"ann": {"i0": 1.0, "i20": 1.0, "i21": 1.0}, "bob": {"i5": 1.0}}
    metrics = parse_metrics("Recall@2,HitRate@3")
    measured = measure_categories({"fixed": system}, truth, small_dataset.catalogue(), NOON, metrics)
    assert {name: part.customers for name, part in measured.items()} == {"Drinks": ("ann", "bob"), "Home": ("ann",)}
    assert measured["Drinks"].values[0].tolist() == [[1, 0], [1, 1]]
    assert measured["Home"].values[0].tolist() == [[0.5], [1]]


def test_small_slices_are_shown_with_their_intervals(loaded_bundle: Bundle, small_dataset: Dataset) -> None:
    def system(queries: Sequence[Query]) -> list[list[str]]:
        return [["i0", "i2"] for _ in queries]

    truth = relevant_items(small_dataset, AS_OF, END, ["purchase"], small_dataset.catalogue().recommendable)
    slices = customer_slices(loaded_bundle, small_dataset, AS_OF, truth)
    slices["customer"]["c5"] = "cold"
    measured = evaluate({"fixed": system}, truth, aware(AS_OF), parse_metrics("NDCG@2"), slices=slices)
    result = summarise(measured, np.random.default_rng(1))
    assert {figure.slice.partition("=")[0] for figure in result.figures} == {"overall", *slices}
    assert result.figure("fixed", "NDCG@2", "customer=cold").n == 1
    for kind in slices:
        assert sum(figure.n for figure in result.figures if figure.slice.startswith(f"{kind}=")) == len(truth)

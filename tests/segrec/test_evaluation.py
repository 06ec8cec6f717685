"""Measuring a bundle on data that are not the very table it was trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval.relevance import NothingRelevant
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.training.stages import silent
from segrec import asking
from segrec.evaluation import METRICS, evaluate_bundle


def test_items_are_matched_by_id_so_their_order_and_later_additions_change_no_figure(
    small_shop: Path, small_dataset: Dataset, loaded_bundle: Bundle, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(small_shop, tmp_path / "shop"))
    items = pq.read_table(other / "items.parquet")
    added = pa.table({"item_id": ["brand-new"], "title": ["Brand new"]})
    pq.write_table(pa.concat_tables([added, items.take(list(range(len(items)))[::-1])], promote_options="default"), other / "items.parquet")
    expected = evaluate_bundle(loaded_bundle, small_dataset, METRICS, silent)
    found = evaluate_bundle(loaded_bundle, Dataset.load(other), METRICS, silent)
    for one, two in zip(expected, found, strict=True):
        assert one.figures[:2] == two.figures[:2]  # the engine's, overall


def test_without_a_new_purchase_there_is_no_discovery_table(
    small_dataset: Dataset, loaded_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object) -> None:
        raise NothingRelevant("everybody bought the same again")

    monkeypatch.setattr(asking, "new_items", nothing)
    (result,) = evaluate_bundle(loaded_bundle, small_dataset, METRICS, silent)
    assert result.measurements.title == "all purchases"
    assert "no discovery table" in capsys.readouterr().err

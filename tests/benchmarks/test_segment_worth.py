"""The study of what segments are worth, on the shop of even and odd: there a persona is the parity that a customer likes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from world import N_CUSTOMERS, QUICK

from benchmarks import segment_worth
from benchmarks.segment_worth import personas_of, told
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.errors import DataError


@pytest.fixture
def world(small_shop: Path, tmp_path: Path) -> Path:
    """The shop as a planted world would have it, and what is true of its customers."""
    folder = tmp_path / "world"
    shutil.copytree(small_shop, folder / "shop")
    (folder / "shop" / "import.json").write_text("{}")
    (folder / "truth").mkdir()
    numbers = range(N_CUSTOMERS)
    likes = pd.DataFrame({"customer_id": [f"c{n}" for n in numbers], "persona": [("even", "odd")[n % 2] for n in numbers]})
    likes[:50].to_parquet(folder / "truth" / "customers-00000.parquet")
    likes[50:].to_parquet(folder / "truth" / "customers-00001.parquet")
    return folder


def test_each_customer_has_the_persona_that_the_truth_tells(world: Path, small_dataset: Dataset) -> None:
    rows, names = personas_of(world, small_dataset)
    assert names == ("even", "odd")
    assert rows.tolist() == [int(id_.removeprefix("c")) % 2 for id_ in small_dataset.customers.ids]
    (world / "truth" / "customers-00001.parquet").unlink()
    with pytest.raises(DataError, match="lacks 30 customers"):
        personas_of(world, small_dataset)


def test_more_errors_are_the_same_and_others(loaded_bundle: Bundle) -> None:
    true, names = np.arange(5000, dtype=np.int16) % 4, ("a", "b", "c", "d")
    wrong = [told(true, names, error).personas != true for error in (0.0, 0.1, 0.3)]
    assert [round(float(rows.mean()), 1) for rows in wrong] == [0, 0.1, 0.3]
    assert not (wrong[1] & ~wrong[2]).any()
    found = loaded_bundle.profiles
    grouped = told(true, names, 0.1).regrouped(found)
    assert grouped.segment_ids == names
    assert set(grouped.segment) == {0, 1, 2, 3}
    assert grouped.tier is found.tier


def test_the_engine_is_measured_with_personas_for_segments(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.toml").write_text(QUICK)
    arguments = ["segment_worth", "--set", str(world), "--config", str(tmp_path / "shop.toml"), "--cuts", "1", "--shuffles", "0"]
    arguments += ["--lengths", "--errors", "0", "0.5", "--work", str(tmp_path / "work"), "--json", str(tmp_path / "found.json")]
    monkeypatch.setattr("sys.argv", arguments)
    segment_worth.main()
    found = json.loads((tmp_path / "found.json").read_text())
    means = {system: of["NDCG@10"] for system, of in found["all purchases"]["means"].items()}
    assert {"engine, with", "engine, without", "engine, personas, 0% wrong", "engine, personas, 50% wrong"} < set(means)
    within = {of: means[f"popular_segment, {of}"] for of in ("without", "personas, 0% wrong", "personas, 50% wrong")}
    assert within["personas, 0% wrong"] > 1.2 * within["personas, 50% wrong"]
    assert within["personas, 50% wrong"] < 1.2 * within["without"]

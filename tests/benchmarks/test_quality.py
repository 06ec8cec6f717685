"""The leave-one-out benchmark: ranks by hand, and the whole command on a shop in which the next item follows from the last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ring import N_CUSTOMERS, SETTINGS, write_ring

from benchmarks.quality import __main__ as command
from benchmarks.quality.leave_one_out import measure
from benchmarks.quality.ranks import Ranks, _places
from recsys.config import load_config
from recsys.data.dataset import Dataset
from recsys.training.stages import silent
from recsys.types import Candidates


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ring(tmp_path_factory.mktemp("ring") / "shop")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "ring.toml"
    path.write_text(SETTINGS)
    return path


def test_ranks_are_shared_by_equal_scores_and_infinite_outside_the_list() -> None:
    scores = np.array([[0.5, np.nan], [0.5, 2.0], [0.1, 3.0]], np.float32)
    some = Candidates(np.array([4, 7, 9], np.int32), np.array([1.0, 3.0, 3.0], np.float32), scores, scores, ("a", "b"))
    assert _places(some, 7).tolist() == [1.5, 1.5, 2]
    assert _places(some, 4).tolist() == [3, 1.5, np.inf]
    assert np.isinf(_places(some, 8)).all()


def test_metrics_of_one_wanted_item_are_a_hit_and_its_discount() -> None:
    found = Ranks({"x": np.array([1.0, 3.0, 11.0, np.inf])}, np.ones(4)).metrics("x", (10,))
    assert found["Recall@10"].tolist() == [1, 1, 0, 0]
    assert found["NDCG@10"].tolist() == pytest.approx([1, 0.5, 0, 0])


@pytest.mark.parametrize("protocol", ["pure", "refit"])
def test_what_follows_is_found_and_the_past_counts_though_it_taught_nothing(
    shop: Path, settings: Path, protocol: str, tmp_path: Path
) -> None:
    config = load_config(settings)
    found = measure(Dataset.load(shop), config, protocol, at_target=False, validate=False, work=tmp_path, progress=silent)
    assert set(found.ranks.of_systems) == {"engine", "order", "sales", "item-kNN", "EASE"}
    assert (found.ranks.of_systems["order"] == 1).mean() > 0.9  # only the last item but one says what is next
    assert (found.ranks.of_systems["engine"] == 1).mean() > 0.9
    assert (found.ranks.of_systems["sales"] == 1).mean() < 0.3


def test_the_refitted_sources_know_the_validation_items(shop: Path, settings: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="know the validation items"):
        measure(Dataset.load(shop), load_config(settings), "refit", at_target=False, validate=True, work=tmp_path, progress=silent)


def test_the_command_measures_a_folder_of_tables(
    shop: Path, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    arguments = ["--set", shop, "--protocol", "pure", "--time", "both", "--config", settings, "--work", tmp_path / "work", "--json", out]
    monkeypatch.setattr("sys.argv", ["quality", *map(str, arguments)])
    command.main()
    pure = json.loads(out.read_text())["pure"]
    assert set(pure) == {"engine", "engine, with the query's time", "order", "sales", "item-kNN", "EASE"}
    assert pure["engine"]["NDCG@10"] > 0.9
    low, high = pure["engine"]["NDCG@10 interval"]
    assert low <= pure["engine"]["NDCG@10"] <= high
    assert pure["engine"]["n_customers"] == N_CUSTOMERS
    assert "engine, with the query's time" in capsys.readouterr().out


def test_a_set_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["quality", "--set", "nowhere/shop"])
    with pytest.raises(SystemExit):
        command.main()
    assert "--set nowhere/shop: it is neither a folder nor one of beauty, sports" in capsys.readouterr().err

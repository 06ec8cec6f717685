"""`segrec tune`: the best settings as TOML, how much better they are, and what can go wrong in one line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from recsys.config import Config, parse_config
from recsys.features.spec import feature_names
from recsys.training.rows import Rows
from segrec import cli, tune

N_CUSTOMERS, SIZE = 300, 8


def write_rows(folder: Path, seed: int) -> Path:
    """Rows whose first feature tells what is wanted, in a bump."""
    rng = np.random.default_rng(seed)
    features = np.full((N_CUSTOMERS * SIZE, len(feature_names(Config()))), np.nan, np.float32)
    features[:, 0] = rng.random(len(features))
    labels = (np.abs(features[:, 0] - 0.5) < 0.15).astype(np.uint8)
    labels[::SIZE] = 1
    nothing, sizes = np.empty((0, 1), np.float32), np.full(N_CUSTOMERS, SIZE, np.int32)
    folder.mkdir()
    Rows(features, labels, np.zeros(len(labels), np.int32), sizes, nothing, nothing, np.arange(N_CUSTOMERS, dtype=np.int32), sizes).save(
        folder
    )
    return folder


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    """A configuration whose ranker cannot learn much."""
    path = tmp_path / "poor.toml"
    settings = 'train_on = "home"\nn_trees = 1\nn_leaves = 2\nmin_data_in_leaf = 300\nlearning_rate = 0.01\n'
    path.write_text(f"training.n_threads = 1\n[rankers.home]\n{settings}", encoding="utf-8")
    return path


@pytest.fixture
def easy_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two periods in the place of those that a training would make."""
    folders = [write_rows(tmp_path / f"rows-{number}", number) for number in range(2)]
    monkeypatch.setattr(tune, "ranking_rows", lambda *_, **__: folders)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `segrec tune ARGS`."""
    monkeypatch.setattr("sys.argv", ["segrec", "tune", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@pytest.mark.usefixtures("easy_rows")
def test_the_best_settings_are_printed_as_toml_with_how_much_better_they_are(
    poor: Path, small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (poor, "--data", small_shop, "--out", tmp_path / "bundles", "--trials", 6)
    assert run(monkeypatch, *asked) == 0
    *settings, verdict = capsys.readouterr().out.strip().splitlines()
    ranker = parse_config(tomllib.loads("\n".join(settings)), "test").rankers["home"]
    assert ranker.n_trees > 1
    assert verdict.startswith("NDCG@10 among the rows of 60 customers who chose nothing: present 0.")
    assert verdict.endswith("(95 %; 6 trials)")

    assert run(monkeypatch, *asked, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ranker"] == ranker.model_dump(), "all trials were kept"
    assert told["trials"] == 6
    difference = told["NDCG@10"]["difference"]
    assert 0 < difference["low"] < difference["estimate"] < difference["high"]


@pytest.mark.usefixtures("easy_rows")
def test_when_the_time_is_over_the_present_settings_were_tried_at_least(
    poor: Path, small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, poor, "--data", small_shop, "--out", tmp_path / "bundles", "--minutes", 0) == 0
    assert "no other settings were better (95 %; 1 trials)" in capsys.readouterr().out


def test_an_unknown_ranker_is_named_with_those_that_there_are(
    small_shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", small_shop, "--ranker", "hom") == 1
    assert "there is no ranker 'hom'; there are: home, discovery" in capsys.readouterr().err

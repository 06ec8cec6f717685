"""Ablation on rows made by hand, and the whole command on a shop in which the next item follows from the last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ring import SETTINGS, write_ring

from benchmarks.quality import ablation
from benchmarks.quality.ablation import Asked, Part, parts_of, placed, without
from recsys.config import Config, load_config
from recsys.features.spec import feature_names, feature_specs
from recsys.training.rows import Rows


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_text(SETTINGS)
    return load_config(path)


def rows_of(config: Config, ranks: list[tuple[float, float]], labels: list[int], sizes: list[int]) -> Rows:
    """Candidates with their ranks by the sources `order` and `sales`."""
    names = feature_names(config)
    features = np.zeros((len(ranks), len(names)), np.float32)
    features[:, [names.index("order_rank"), names.index("sales_rank")]] = ranks
    n, nothing = len(sizes), np.empty((0, 2), np.float32)
    numbers = np.arange(n, dtype=np.int32)
    return Rows(
        features, np.array(labels, np.uint8), np.zeros(len(labels), np.int32), np.array(sizes, np.int32), nothing, nothing, numbers, numbers
    )


def test_a_source_goes_with_what_only_it_proposed_and_with_all_that_it_said(config: Config) -> None:
    rows = rows_of(config, [(1, 2), (2, np.nan), (np.nan, 1), (1, np.nan), (2, 1)], [1, 0, 0, 1, 0], [3, 2])
    order = next(part for part in parts_of(config) if part.source == "order")
    left = without(rows, order, config)
    assert np.isnan(left.features[:, order.columns]).all()
    assert (left.labels.tolist(), left.sizes.tolist(), left.customers.tolist()) == ([1, 0], [2], [0])  # the second's wanted one is gone


def test_a_source_that_is_left_out_has_no_vote(config: Config) -> None:
    rows = rows_of(config, [(1, 2), (2, np.nan), (np.nan, 1)], [1, 0, 0], [3])
    order = next(part for part in parts_of(config) if part.source == "order")
    assert without(rows, order, config).features[:, feature_names(config).index("n_sources")].tolist() == [1, 1]


def test_scores_and_ranks_are_a_family_and_leave_the_candidates(config: Config) -> None:
    rows = rows_of(config, [(1, 2), (2, np.nan)], [1, 0], [2])
    family = next(part for part in parts_of(config) if part.name.startswith("scores and ranks"))
    told = {feature_names(config)[column] for column in family.columns}
    assert told >= {"order_rank", "order_score", "sales_rank", "sales_score", "n_sources"}
    assert not told & {spec.name for spec in feature_specs(config)}
    assert len(without(rows, family, config).labels) == 2


def test_without_nothing_all_stays(config: Config) -> None:
    rows = rows_of(config, [(1, 2), (2, np.nan)], [1, 0], [2])
    left = without(rows, Part("nothing", np.empty(0, np.intp)), config)
    np.testing.assert_array_equal(left.features, rows.features)


def test_gains_stay_with_their_customers_when_others_lose_what_they_wanted(config: Config) -> None:
    whole = rows_of(config, [(1, 2), (np.nan, 1), (1, 1)], [1, 1, 1], [1, 1, 1])
    assert placed(np.ones(3), whole.customers, Asked(whole, 5)).tolist() == [1, 1, 1, 0, 0]
    sales = next(part for part in parts_of(config) if part.source == "sales")
    left = without(whole, sales, config)
    assert left.customers.tolist() == [0, 2]
    assert placed(np.array([0.5, 0.25]), left.customers, Asked(whole, 4)).tolist() == [0.5, 0, 0.25, 0]


def test_what_tells_the_next_item_is_what_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    arguments = [
        "ablation",
        "--set",
        str(write_ring(tmp_path / "shop")),
        "--config",
        str(tmp_path / "settings.toml"),
        "--work",
        str(tmp_path / "work"),
    ]
    monkeypatch.setattr("sys.argv", [*arguments, "--json", str(tmp_path / "found.json")])
    ablation.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["source order"]["high"] < -0.02
    assert found["source sales"]["low"] > -0.05
    assert found["nothing"]["estimate"] == 0

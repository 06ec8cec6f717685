"""A small world with planted truth and its null twin, trained on and scored: what is there is found, what is not there is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from planted_shop import write_planted_shop

from recsys.bundle import Bundle
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.truth import write_settings
from recsys.synthetic.world import World
from recsys.training.stages import silent
from segrec.recovery import Score, score_world
from segrec.recovery.subject import Subject

PLANTED = WorldConfig.model_validate(
    {"n_customers": 500, "n_items": 240, "n_days": 300, "signals": {"segment": 0.8}, "behaviour": {"reviews": 0.08, "new_items": 0.4}}
)

FLOORS = {
    ("segments", "adjusted Rand index"): 0.08,
    ("tiers", "quadratic kappa"): 0.25,
    ("value", "normalised Gini"): 0.4,
    ("value", "Spearman"): 0.55,
    ("churn", "AUC"): 0.68,
    ("sentiment, English", "macro F1"): 0.3,
    ("aspects, English", "mean F1"): 0.38,
    ("satisfaction, English", "Spearman"): 0.0,
    ("mood", "Spearman"): 0.1,
    ("needs", "Spearman"): 0.1,
    ("price", "Spearman"): 0.08,
    ("cold items", "AUC"): 0.5,
    ("segment prior", "NDCG@10 gained"): 0.0,
}
"""Lowest figures allowed; in none of three seeds did any come near its floor, but for cold items and the segment prior, of which
0.53 and 0.017 were the lowest: few items are cold, and little can be gained."""

RECOVERED = {
    ("ranking", "NDCG@10"): 0.5,
    ("discovery", "NDCG@10"): 0.08,
    ("reasons", "share right"): 0.05,
    ("reasons, explained", "share right"): 0.05,
}
"""Lowest shares of the way to the oracle."""

FEW = 50
"""Of so few reviews no interval is trusted."""

Scores = dict[tuple[str, str], Score]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config() -> Config:
    settings = json.loads(json.dumps(SMALL))
    return parse_config({**settings, "segmentation": {"n_segments": 8}}, "tests")


@pytest.fixture(scope="module")
def scores_of(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Callable[[WorldConfig], Scores]:
    def score(world: WorldConfig) -> Scores:
        folder = write_planted_shop(world, tmp_path_factory.mktemp("world"))
        scores = score_world(folder, folder / "bundles", config, silent)
        return {(score.part, score.measure): score for score in scores}

    return score


def test_what_is_planted_is_found_and_the_oracle_is_not_beaten(scores_of: Callable[[WorldConfig], Scores]) -> None:
    scores = scores_of(PLANTED)
    assert {name: scores[name].found for name, floor in FLOORS.items() if scores[name].found < floor} == {}
    assert {name: scores[name].recovered for name, floor in RECOVERED.items() if scores[name].recovered < floor} == {}
    assert [name for name, score in scores.items() if score.low > score.best] == []
    assert [name for name, score in scores.items() if not score.low <= score.found <= score.high] == []
    assert scores["segments", "adjusted Rand index"].best > 0.9
    assert scores["price", "Spearman"].best > 0.6


@pytest.fixture(scope="module")
def null_scores(scores_of: Callable[[WorldConfig], Scores]) -> Scores:
    return scores_of(PLANTED.null())


def test_in_a_null_world_there_is_nothing_to_find(null_scores: Scores) -> None:
    uninformed = [("price", "Spearman"), ("satisfaction, English", "Spearman")]
    chinese = null_scores.get(("satisfaction, Chinese", "Spearman"))
    if chinese is not None and chinese.n > FEW:
        uninformed.append((chinese.part, chinese.measure))
    assert [name for name in uninformed if not null_scores[name].low <= 0 <= null_scores[name].high] == []
    assert null_scores["segment prior", "NDCG@10 gained"].low <= 0  # a prior that knows nothing may cost a little
    segments, cold = null_scores["segments", "adjusted Rand index"], null_scores["cold items", "AUC"]
    assert abs(segments.found) < 0.05
    assert segments.best == 0
    assert abs(cold.found - 0.5) < 0.1


def test_in_a_null_world_little_is_left_to_find_and_the_oracle_is_not_beaten(null_scores: Scores) -> None:
    assert null_scores["value", "normalised Gini"].found < FLOORS["value", "normalised Gini"]
    assert null_scores["tiers", "quadratic kappa"].found < FLOORS["tiers", "quadratic kappa"] + 0.05
    assert [name for name, score in null_scores.items() if score.low > max(score.best, score.chance)] == []


def test_each_row_that_may_find_something_in_a_null_world_says_what(null_scores: Scores) -> None:
    empty = {"segments", "satisfaction, English", "satisfaction, Chinese", "price", "segment prior", "cold items"}
    told = {score.part for score in null_scores.values() if "in a null world" in score.note}
    assert told == {part for part, _ in null_scores} - empty


def test_another_shops_bundle_is_refused(small_dataset: Dataset, loaded_bundle: Bundle) -> None:
    world = World.build(WorldConfig(n_customers=20, n_items=60, n_days=60))
    with pytest.raises(DataError, match="planted world"):
        Subject.of(world, small_dataset, loaded_bundle)


def test_a_world_whose_tables_were_not_imported_is_refused_with_what_to_do(tmp_path: Path, config: Config) -> None:
    (tmp_path / "truth").mkdir()
    write_settings(WorldConfig(n_customers=20, n_items=60), tmp_path / "truth")
    with pytest.raises(DataError, match="segrec import"):
        score_world(tmp_path, tmp_path / "bundles", config, silent)

"""Position bias: what stands at the top is bought for standing there, and a ranker must not take that for taste."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau
from world import DAY, END

from recsys.bundle import Bundle
from recsys.config import Config, RankerConfig
from recsys.data.dataset import Dataset
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.lambdamart import POSITION_L2, fit_lambdamart
from recsys.training.pipeline import train
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Floats

NAMES = ("liked", "pushed", "noise")
CONFIG = RankerConfig(train_on="home", n_trees=60, feature_fraction=1.0)
N_QUERIES, SIZE, N_SHOWN = 500, 20, 10


def world(seed: int, n_queries: int = N_QUERIES) -> tuple[Rows, NDArray[np.float64]]:
    """Rows, and how much each item is liked, (n_queries, size): the shop shows what it pushes, whatever the customer likes.

    An item at position p is looked at with probability 1 / p, one that was not shown with 1 / 20; what is looked at is bought for being
    liked alone.
    """
    rng = np.random.default_rng(seed)
    liked, pushed = rng.random((2, n_queries, SIZE))
    order = np.argsort(np.argsort(-(pushed + 0.3 * rng.normal(size=pushed.shape)), axis=1), axis=1) + 1
    positions = np.where(order <= N_SHOWN, order, 0)
    looked_at = np.where(positions > 0, 1 / np.maximum(positions, 1), 0.05)
    labels = rng.random(liked.shape) < looked_at * (0.05 + 0.9 * liked**2)
    labels[:, 0] |= ~labels.any(axis=1)
    features = np.stack([liked, pushed, rng.random(liked.shape)], axis=2).reshape(-1, len(NAMES)).astype(np.float32)
    nothing: Floats = np.empty((0, 1), np.float32)
    sizes, customers = np.full(n_queries, SIZE, np.int32), np.arange(n_queries, dtype=np.int32)
    rows = Rows(features, labels.ravel().astype(np.uint8), positions.ravel().astype(np.int32), sizes, nothing, nothing, customers, sizes)
    return rows, liked


def fit(*rows: Rows, **settings: object) -> LambdaMart:
    config = CONFIG.model_copy(update=settings)
    return fit_lambdamart(rows, NAMES, config, seed=1, n_threads=1, progress=silent)


def agreement(ranker: LambdaMart) -> float:
    """How well the order of items agrees with what is liked: Kendall's tau, mean over queries that were not learned from."""
    rows, liked = world(99, 100)
    scores = ranker.score(rows.features).reshape(liked.shape)
    return float(np.mean([kendalltau(*pair)[0] for pair in zip(scores, liked, strict=True)]))


@pytest.mark.parametrize(("patience", "margin"), [(None, 0.08), (20, 0.0)])
def test_positions_bring_the_order_nearer_to_what_is_liked(patience: int | None, margin: float) -> None:
    """With patience by less: when to stop is told by what customers held out bought, which positions had a part in."""
    rows, _ = world(1)
    taken_as_seen = agreement(fit(rows, position_l2=None, patience=patience))
    assert agreement(fit(rows, patience=patience)) > taken_as_seen + margin


def test_without_exposures_the_ranker_is_the_same_to_the_bit() -> None:
    rows, _ = world(1, 80)
    unshown = replace(rows, positions=np.zeros_like(rows.positions))
    assert fit(unshown).model == fit(unshown, position_l2=None).model == fit(rows, position_l2=None).model != fit(rows).model


def test_a_period_without_exposures_takes_part() -> None:
    (early, _), (late, _) = world(1, 80), world(2, 80)
    both = fit(replace(early, positions=np.zeros_like(early.positions)), late)
    assert both.model != fit(late).model
    assert agreement(both) > 0.3


def test_positions_far_down_count_as_one() -> None:
    rows, _ = world(1, 80)
    far, farther = (replace(rows, positions=np.where(rows.positions > 5, at, rows.positions).astype(np.int32)) for at in (50, 999_999))
    assert fit(far).model == fit(farther).model


def test_equal_seeds_give_equal_models() -> None:
    rows, _ = world(1, 80)
    assert fit(rows).model == fit(rows).model


def test_a_training_reads_the_positions_of_what_was_shown(
    small_shop: Path, small_bundle: Path, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    """A bundle of a shop with exposures differs in its rankers alone, and reads no more features."""
    shop, as_of = tmp_path / "shop", END - 28 * DAY
    shutil.copytree(small_shop, shop)
    lines = pq.read_table(shop / "interactions.parquet").select(["item_id", "customer_id", "event_time"])
    shown = lines.append_column("position", pa.array(np.arange(len(lines)) % 9 + 1)).append_column("request_id", lines["customer_id"])
    pq.write_table(shown, shop / "exposures.parquet")
    made = Bundle.load(train(Dataset.load(shop), small_config, as_of, tmp_path / "bundles", work=small_work))
    plain = Bundle.load(small_bundle)
    changed = {name for name, entry in made.manifest["files"].items() if plain.manifest["files"].get(name) != entry}
    assert changed == {f"rankers/{name}/model.txt" for name in small_config.rankers}
    for name, ranker in made.rankers.items():
        other = plain.rankers[name]
        assert isinstance(ranker, LambdaMart)
        assert isinstance(other, LambdaMart)
        assert f"[{POSITION_L2}: 0.001]" in ranker.model
        assert ranker.n_features == other.n_features

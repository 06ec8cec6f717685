"""The truth beside the tables: it fits them row by row, makes the world again, and nothing that trains reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.bundle import MANIFEST
from recsys.config import parse_config
from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importing import import_shop
from recsys.errors import ConfigError, DataError
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.truth import block_truth, read_settings, shared_truth, write_settings
from recsys.synthetic.visits import CAUSES
from recsys.synthetic.world import VERSION, Block, World
from recsys.training.pipeline import train

SMALL = {
    "training": {"ranking_period_days": 28, "n_ranking_periods": 2, "n_threads": 1},
    "segmentation": {"n_segments": 2},
    "sources": {"als": {"kind": "als", "factors": 4, "iterations": 2}},
    "rankers": {name: {"train_on": name, "n_trees": 5, "min_data_in_leaf": 5} for name in ("home", "discovery")},
}
"""Settings that train a small world within seconds."""


def test_settings_come_back_as_they_were(world: World, tmp_path: Path) -> None:
    write_settings(world.config, tmp_path)
    assert read_settings(tmp_path) == world.config


def test_the_truth_of_another_version_is_refused(world: World, tmp_path: Path) -> None:
    write_settings(world.config, tmp_path)
    document = json.loads((tmp_path / "world.json").read_text(encoding="utf-8"))
    (tmp_path / "world.json").write_text(json.dumps(document | {"version": VERSION + 1}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"was made by version {VERSION + 1} of the generator, this is version {VERSION}"):
        read_settings(tmp_path)


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_a_folder_without_a_truth_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "world.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="holds no truth of a planted world"):
        read_settings(tmp_path)


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text(json.dumps({"version": VERSION, "settings": {"n_item": 3}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"unknown key 'n_item'; did you mean 'n_items'\?"):
        read_settings(tmp_path)


def test_every_purchase_of_the_tables_has_its_cause(written: Path) -> None:
    truth = pq.read_table(written / "truth" / "purchases-00000.parquet").to_pylist()
    cause = {row["event_id"]: row["cause"] for row in truth}
    made = pq.read_table(written / "tables" / "interactions-00000.parquet").to_pylist()
    bought = {row["event_id"] for row in made if row["event"] == "purchase"}
    assert bought <= cause.keys()
    assert len(cause) - len(bought) < 0.005 * len(cause)  # those of the last moments are not in the tables
    assert not any(row["event_id"] in cause for row in made if row["event"] != "purchase")
    assert {cause[id_] for id_ in bought} == set(CAUSES)


def test_purchases_by_cause_are_those_of_the_block(world: World, block: Block) -> None:
    truth = block_truth(world, block)["purchases"]
    assert truth["cause"].to_pylist() == [CAUSES[cause] for cause in block.purchases.causes]
    np.testing.assert_array_equal(truth["satisfaction"].to_numpy(), block.lines.satisfaction)


@pytest.mark.parametrize("table", ["reviews", "messages", "exposures"])
def test_the_truth_stands_row_by_row_beside_its_table(written: Path, table: str) -> None:
    said = pq.read_table(written / "tables" / f"{table}-00000.parquet")
    truth = pq.read_table(written / "truth" / f"{table}-00000.parquet")
    shared = [name for name in truth.schema.names if name in said.schema.names]
    assert len(shared) >= 2
    assert len(said) > 10
    assert said.select(shared).equals(truth.select(shared))


def test_sentiment_and_need_show_in_what_reviews_say(written: Path) -> None:
    said = pq.read_table(written / "tables" / "reviews-00000.parquet").to_pylist()
    truth = pq.read_table(written / "truth" / "reviews-00000.parquet").to_pylist()
    stars = {tone: [row["rating"] for row, true in zip(said, truth, strict=True) if true["sentiment"] == tone] for tone in (-1, 0, 1)}
    assert np.mean(stars[-1]) < 2.5 < np.mean(stars[0]) < 4 < np.mean(stars[1])
    assert any(true["need"] is not None for true in truth)
    assert all(set(row) >= {"is_true", "aspect_quality", "aspect_price"} for row in truth)


def test_customers_and_items_are_told_in_the_order_of_the_world(world: World, block: Block) -> None:
    shared, truth = shared_truth(world), block_truth(world, block)
    customers = truth["customers"]
    assert customers["customer_id"].to_pylist() == [f"c{number}" for number in range(400)]
    names = [persona.name for persona in world.lexicon.personas]
    assert customers["persona"].to_pylist() == [names[persona] for persona in block.scene.customers.personas]
    assert shared["personas"]["persona"].to_pylist() == names
    np.testing.assert_array_equal(np.array(customers["taste"].to_pylist(), np.float32), block.scene.customers.tastes)
    items = shared["items"]
    assert items["item_id"].to_pylist() == [f"i{number}" for number in range(200)]
    assert items["type"].to_pylist() == items["stated_type"].to_pylist()
    assert len(shared["promotions"]) == np.count_nonzero(world.model.calendar.depth)


def test_false_texts_are_told_from_true_ones(world: World) -> None:
    false = World.build(world.config.null())
    items = shared_truth(false)["items"]
    agree = np.mean([said == true for said, true in zip(items["stated_type"].to_pylist(), items["type"].to_pylist(), strict=True)])
    assert agree < 0.15


def test_training_reads_no_truth(written: Path, written_config: WorldConfig, tmp_path: Path) -> None:
    shop = tmp_path / "world"
    shutil.copytree(written, shop)
    import_shop(open_shop("tables", shop / "tables"), shop / "shop")
    as_of = np.datetime64(written_config.start, "us") + np.timedelta64(written_config.n_days - 14, "D")
    config = parse_config(json.loads(json.dumps(SMALL)), "test")
    with_truth = train(Dataset.load(shop / "shop"), config, as_of, tmp_path / "first", work=tmp_path / "work1")
    for path in (shop / "truth").iterdir():
        path.write_bytes(b"garbage")
    import_shop(open_shop("tables", shop / "tables"), shop / "shop")
    without = train(Dataset.load(shop / "shop"), config, as_of, tmp_path / "second", work=tmp_path / "work2")
    assert (without / MANIFEST).read_bytes() == (with_truth / MANIFEST).read_bytes()

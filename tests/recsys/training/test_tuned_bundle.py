"""A bundle whose BERT learnt from the shop, and whose customers wrote reviews; trained once with a BERT that is small and random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SMALL
from trunks import write_trunk
from world import COLOURS, DAY, END, N_ITEMS, START, THINGS, write_world

from recsys.bundle import ENCODER, MANIFEST, Bundle, text_config
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.text.encoder import load_encoder
from recsys.text.finetune import CHECKPOINT, METRICS
from recsys.text.heads import load_reader
from recsys.training.pipeline import train

AS_OF = END - 28 * DAY
SAID = ("lovely", "fine", "awful")
TUNING = {"n_steps": 12, "batch_texts": 32, "micro_batch": 16, "validate_every": 6, "learning_rate": 0.01, "head_texts": 8}


def write_reviews(shop: Path, last_day: int = 170, said: tuple[str, ...] = SAID) -> None:
    """Three customers in four write of an item, with as many stars as they mean."""
    rng = np.random.default_rng(3)
    days = np.sort(rng.integers(1, last_day, 300))
    mood = rng.integers(0, 3, 300)
    pq.write_table(
        pa.table(
            {
                "customer_id": [f"c{customer}" for customer in rng.integers(0, 60, 300)],
                "item_id": [f"i{item}" for item in rng.integers(0, N_ITEMS - 4, 300)],
                "text": [f"{said[m]} {THINGS[int(thing)]}" for m, thing in zip(mood, rng.integers(0, 8, 300), strict=True)],
                "rating": (5.0 - 2 * mood).tolist(),
                "event_time": pa.array(START + days * DAY, pa.timestamp("us", "UTC")),
            }
        ),
        shop / "reviews.parquet",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def shop(folder: Path) -> Path:
    path = write_world(folder / "shop")
    write_reviews(path)
    return path


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    words = [*(colour.lower() for colour in COLOURS), *THINGS, *SAID, "drinks", "home", ";", ">"]
    trunk = write_trunk(folder / "trunk", words)
    raw: dict[str, Any] = json.loads(json.dumps(SMALL))
    raw["text"] = {"trunk": str(trunk), "max_tokens": 12, "precision": "float32"}
    return parse_config({**raw, "finetune": TUNING, "reviews": {"item_weight": 0.4, "customer_weight": 0.2}}, "test")


@pytest.fixture(scope="module")
def tuned(shop: Path, config: Config, folder: Path) -> Path:
    return train(Dataset.load(shop), config, AS_OF, folder / "bundles", work=folder / "work")


def test_the_bundle_carries_the_bert_that_read_it(tuned: Path, config: Config) -> None:
    bundle = Bundle.load(tuned)
    text = text_config(tuned, bundle.manifest)
    encoder = load_encoder(text, 1)
    assert text.trunk == str(tuned / ENCODER)
    assert encoder.fingerprint == bundle.manifest["texts"]["fingerprint"]
    assert encoder.fingerprint != load_encoder(config.text, 1).fingerprint
    assert bundle.config.text.trunk == config.text.trunk


def test_its_heads_come_with_it(tuned: Path) -> None:
    reader = load_reader(text_config(tuned, Bundle.load(tuned).manifest), 1)
    assert reader.heads.by_name["sentiment"].classes == ("negative", "neutral", "positive")


def test_what_is_written_of_an_item_moves_it(tuned: Path) -> None:
    bundle = Bundle.load(tuned)
    assert bundle.texts is not None
    assert bundle.texts.written is not None
    assert len(bundle.texts.written.customers) > 40
    alone = load_encoder(text_config(tuned, bundle.manifest), 1).encode(["Red mug; Home > Mug"])
    assert np.abs(np.linalg.norm(bundle.texts.embeddings, axis=1) - 1).max() < 1e-5
    assert len(bundle.texts.embeddings) > 60
    assert (bundle.texts.embeddings @ alone[0]).max() < 1 - 1e-4  # every mug was written about


def test_the_metrics_of_the_learning_stay_and_its_checkpoint_goes(tuned: Path, folder: Path) -> None:
    (work,) = (folder / "work").glob("finetuning-*")
    assert (work / METRICS).is_file()
    assert not (work / CHECKPOINT).exists()


def test_the_manifest_tells_what_was_learnt(tuned: Path) -> None:
    texts = Bundle.load(tuned).manifest["texts"]
    assert len(texts["finetuning"]["Recall@20"]) == 3
    assert texts["review_weights"] == {"item": 0.4, "customer": 0.2, "recalls": {}}


def test_what_is_written_at_as_of_or_later_changes_nothing(tuned: Path, shop: Path, config: Config, tmp_path: Path) -> None:
    write_world(tmp_path / "shop")
    known = pq.read_table(shop / "reviews.parquet")
    early = known.filter(pa.array(known["event_time"].to_numpy() < AS_OF))
    other = early.set_column(2, "text", pa.array(["awful awful"] * len(early)))
    other = other.set_column(4, "event_time", pa.array([AS_OF.item()] * len(early), pa.timestamp("us", "UTC")))
    pq.write_table(pa.concat_tables([other, early]), tmp_path / "shop" / "reviews.parquet")
    again = train(Dataset.load(tmp_path / "shop"), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")
    assert (again / MANIFEST).read_bytes() == (tuned / MANIFEST).read_bytes()


def test_the_trunk_is_the_same_when_only_what_comes_after_its_cut_is_other(tuned: Path, shop: Path, config: Config, tmp_path: Path) -> None:
    """The ranker's labels, and all that was written in their time, are nothing that the trunk may know."""
    world = write_world(tmp_path / "shop")
    known = pq.read_table(shop / "reviews.parquet")
    first_cut = AS_OF - 2 * 28 * DAY
    late = known["event_time"].to_numpy() >= first_cut
    texts = [("awful" if is_late else text) for text, is_late in zip(known["text"].to_pylist(), late, strict=True)]
    pq.write_table(known.set_column(2, "text", pa.array(texts)), world / "reviews.parquet")
    again = train(Dataset.load(world), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")
    fingerprints = [Bundle.load(path).manifest["texts"]["fingerprint"] for path in (tuned, again)]
    assert fingerprints[0] == fingerprints[1]
    assert again.name != tuned.name

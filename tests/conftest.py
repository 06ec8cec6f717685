"""Fixtures that several folders of tests share: a small shop, and a bundle trained on it once per run."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing in a test may ask a model hub

import pytest
from world import DAY, END, write_world

from recsys.bundle import Bundle
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.training.pipeline import train

SMALL = {
    "training": {"ranking_period_days": 28, "n_ranking_periods": 2, "n_threads": 1},
    "segmentation": {"n_segments": 2},
    "sources": {"als": {"kind": "als", "factors": 8, "iterations": 5}},
    "rankers": {
        "home": {"train_on": "home", "n_trees": 30, "min_data_in_leaf": 5},
        "discovery": {"train_on": "discovery", "n_trees": 20, "min_data_in_leaf": 5},
    },
}
"""Settings that train the small shop within seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that it does not run alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def small_config() -> Config:
    return parse_config(json.loads(json.dumps(SMALL)), "tests")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is expensive to make; every worker of a parallel run has its own."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def small_shop(shared_folder: Path) -> Path:
    """Folder of the small shop, in the canonical layout."""
    return write_world(shared_folder / "shop")


@pytest.fixture(scope="session")
def small_dataset(small_shop: Path) -> Dataset:
    return Dataset.load(small_shop)


@pytest.fixture(scope="session")
def small_work(shared_folder: Path) -> Path:
    """Stages of the small bundle's training; a test that trains with them repeats only what it changes."""
    return shared_folder / "work"


@pytest.fixture(scope="session")
def small_bundle(small_dataset: Dataset, small_config: Config, shared_folder: Path, small_work: Path) -> Path:
    """Folder of a bundle trained on the small shop, as of four weeks before its end."""
    return train(small_dataset, small_config, END - 28 * DAY, shared_folder / "bundles", work=small_work)


@pytest.fixture(scope="session")
def loaded_bundle(small_bundle: Path) -> Bundle:
    return Bundle.load(small_bundle)

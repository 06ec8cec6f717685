"""Fixtures that tests of planted shops share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted_shop import CONFIG, DAYS, write_planted_shop

from recsys.bundle import Bundle
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.synthetic.writing import SHOP
from recsys.training.pipeline import train


@pytest.fixture(scope="session")
def planted_folder(shared_folder: Path, small_config: Config) -> Path:
    """A world, imported, with a folder ``bundles`` of one bundle, which ends four weeks before the world does."""
    out = write_planted_shop(CONFIG, shared_folder / "planted")
    as_of = np.datetime64(CONFIG.start, "us") + np.timedelta64(CONFIG.n_days - DAYS, "D")
    train(Dataset.load(out / SHOP), small_config, as_of, out / "bundles", work=out / "work")
    return out


@pytest.fixture(scope="session")
def planted_bundle(planted_folder: Path) -> Bundle:
    return Bundle.load(next((planted_folder / "bundles").iterdir()))

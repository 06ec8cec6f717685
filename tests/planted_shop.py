"""A planted shop that is small enough to be made and trained on within seconds."""

from __future__ import annotations

from pathlib import Path

from recsys.data.importers import open_shop
from recsys.data.importing import import_shop
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.writing import SHOP, TABLES, write_world
from recsys.training.stages import silent

CONFIG = WorldConfig(n_customers=150, n_items=90, n_days=200, texts=False)
DAYS = 28
"""The tests' bundle ends so long before the world does."""


def write_planted_shop(config: WorldConfig, folder: Path) -> Path:
    """A world with its tables imported; returns the folder."""
    write_world(config, folder, silent, 1)
    import_shop(open_shop("tables", folder / TABLES), folder / SHOP)
    return folder

"""Small planted worlds, made once per run."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.synthetic.config import Behaviour, Mess, WorldConfig
from recsys.synthetic.world import Block, World
from recsys.synthetic.writing import write_world


def silent(done: int, total: int | None, what: str) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def world() -> World:
    """400 customers, 200 items, 120 days; no texts; a third of the items are new."""
    behaviour = Behaviour(visits_per_month=2, missions_per_visit=8, needs=6, new_items=0.33)
    return World.build(WorldConfig(n_customers=400, n_items=200, n_days=120, texts=False, behaviour=behaviour))


@pytest.fixture(scope="session")
def block(world: World) -> Block:
    """All customers of `world`."""
    return world.block(0)


@pytest.fixture(scope="session")
def written_config() -> WorldConfig:
    """120 customers, 100 items, 170 days, with texts."""
    return WorldConfig(n_customers=120, n_items=100, n_days=170)


@pytest.fixture(scope="session")
def written(written_config: WorldConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables and the truth of a clean world; nobody may change it."""
    return write_world(written_config, tmp_path_factory.mktemp("planted") / "shop", silent, 1)


@pytest.fixture(scope="session")
def messy_config() -> WorldConfig:
    """60 customers, 100 items, 60 days, and all that exports suffer from."""
    mess = Mess(duplicates=0.05, bots=0.1, guests=0.3, missing_texts=0.3, late=0.1)
    return WorldConfig(n_customers=60, n_items=100, n_days=60, mess=mess)


@pytest.fixture(scope="session")
def messy(messy_config: WorldConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables and the truth of a messy world; nobody may change it."""
    return write_world(messy_config, tmp_path_factory.mktemp("messy") / "shop", silent, 1)

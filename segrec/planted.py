"""A written world with its shop imported beside it, and bundles trained on that shop."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.synthetic.tables import item_id
from recsys.synthetic.truth import read_settings
from recsys.synthetic.world import World
from recsys.synthetic.writing import SHOP, TRUTH
from recsys.types import Ints


def open_world(folder: Path) -> World:
    """The world in a folder, built again from its settings.

    Raises:
        DataError: there is none, or another version of the generator made it.
    """
    return World.build(read_settings(folder / TRUTH))


def require_trained_on(bundle: Bundle, folder: Path, dataset: Dataset) -> np.datetime64:
    """The time that the bundle ends at, once it is certain that it knows the shop of the world in `folder`, and no other.

    Worlds of one size share the ids of their items and customers, so only the data themselves tell them apart.

    Args:
        dataset: the world's imported shop

    Raises:
        DataError: the bundle was trained on something else, or has no time.
    """
    if bundle.as_of is None:
        raise DataError(f"bundle {bundle.version} is from a split by position and has no time at which it could meet its world")
    if dataset.before(bundle.as_of).fingerprint != bundle.manifest["data"]["fingerprint"]:
        raise DataError(f"bundle {bundle.version} was not trained on {folder / SHOP}; take one that was")
    return bundle.as_of


def planted_numbers(world: World, bundle: Bundle) -> Ints:
    """The world's number of each item of the bundle; int32 (n_items,).

    Raises:
        DataError: the bundle knows items that the world lacks.
    """
    number_of = {id_: number for number, id_ in enumerate(item_id(np.arange(len(world.model.items), dtype=np.int32)).to_pylist())}
    foreign = [id_ for id_ in bundle.catalogue.items.ids if id_ not in number_of]
    if foreign:
        raise DataError(
            f"the shop has {len(foreign):,} items that the planted world lacks, for example {foreign[0]!r}; import its own tables"
        )
    return np.array([number_of[id_] for id_ in bundle.catalogue.items.ids], np.int32)

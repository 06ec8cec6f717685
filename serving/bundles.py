"""The bundle that answers, and where newer ones come from."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import MANIFEST, Bundle, read_manifest
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.types import Query, aware

log = logging.getLogger(__name__)

CURRENT = "current"
"""Name of the entry, usually a link, by which somebody says which bundle of a folder to serve."""


@dataclass(frozen=True)
class Served:
    """A bundle with the engine and the snapshot that answer from it; as_of: aware, no query may be earlier."""

    bundle: Bundle
    engine: Engine
    snapshot: Snapshot
    as_of: dt.datetime

    @staticmethod
    def newest(folder: Path) -> Served:
        """The newest bundle of a folder, see `newest_bundle`; a `BundleError` names what is wrong with it."""
        path = newest_bundle(folder)
        bundle = Bundle.load(path)
        if bundle.as_of is None:
            raise BundleError(f"bundle {path} has no as_of: it was trained on a split by position, and cannot be served")
        served = Served(bundle, Engine(bundle), Snapshot.of(bundle), aware(bundle.as_of))
        served.warm_up()
        return served

    def warm_up(self) -> None:
        """Answer once, so that what is computed on first use is there before a caller waits for it."""
        self.engine.recommend(Query(k=1, time=self.as_of, customer_id=next(iter(self.bundle.customers.ids), None)), self.snapshot)


class Bundles:
    """Loads the newest bundle of a folder, and keeps the one in use until another has been loaded whole.

    current: what answers now, None before the first load. A call takes it once and keeps it, so a swap never mixes two.
    """

    def __init__(self, folder: Path, load: Callable[[Path], Served] = Served.newest) -> None:
        self.current: Served | None = None
        self._folder = folder
        self._load = load

    def reload(self) -> Served:
        """Load the folder's newest bundle, and answer from it from now on.

        Raises:
            BundleError: there is none, or it is damaged; the bundle in use stays.
        """
        self.current = served = self._load(self._folder)
        return served


def newest_bundle(folder: Path) -> Path:
    """The folder itself when it is a bundle; else its entry `current`; else the one in it whose data end latest, of equals the last made.

    Bundles from a split by position have no end of data; they cannot be served and are passed over.

    Raises:
        BundleError: there is no bundle to serve. One whose manifest cannot be read is passed over with a warning.
    """
    for path in (folder, folder / CURRENT):
        if (path / MANIFEST).is_file():
            return path.resolve()
    if (folder / CURRENT).is_symlink():
        raise BundleError(f"{folder / CURRENT} leads to no bundle; point it at one, or remove it to serve the newest")
    manifests = {}
    for path in folder.glob(f"[!.]*/{MANIFEST}"):  # a dot: not finished
        try:
            manifests[path] = read_manifest(path.parent)
        except BundleError as error:
            log.warning("passed over: %s", error)
    servable = [path for path, manifest in manifests.items() if manifest["as_of"] is not None]
    if not servable:
        raise BundleError(f"there is no bundle to serve in {folder}; `segrec train` makes one")

    def age(path: Path) -> tuple[Any, float]:
        return np.datetime64(manifests[path]["as_of"], "us"), path.stat().st_mtime

    return max(servable, key=age).parent.resolve()

"""One module per kind of source; each has a function that returns a `Shop` for `import_shop`. `open_shop` finds it by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recsys.data.importers.amazon import amazon
from recsys.data.importers.complete_journey import complete_journey
from recsys.data.importers.movielens import movielens
from recsys.data.importers.online_retail import online_retail
from recsys.data.importers.tables import tables
from recsys.data.shop import Shop
from recsys.errors import ConfigError
from recsys.keys import nearest

_OF_PATH: dict[str, Callable[[Path], Shop]] = {"amazon": amazon, "online_retail": online_retail, "movielens": movielens}

SOURCES = ("tables", "complete_journey", *_OF_PATH)
"""Names that `open_shop` knows."""


def open_shop(source: str, path: Path | None = None, mapping: Path | None = None) -> Shop:
    """The shop of a named kind of source.

    Args:
        source: one of SOURCES; a hyphen counts as an underscore
        path: the folder (online_retail: or file) to read; complete_journey finds its installed package without one
        mapping: a TOML mapping of columns, for tables only

    Raises:
        ConfigError: there is no such source, it needs a path, or takes no mapping.
        DataError: the importer found a file or column missing.
    """
    name = source.replace("-", "_")
    if name not in SOURCES:
        raise ConfigError(f"there is no source {source!r};{nearest(name, SOURCES)} the sources are: {', '.join(SOURCES)}")
    if mapping is not None and name != "tables":
        raise ConfigError(f"source {name} takes no mapping; its columns are known. A mapping belongs to source tables")
    if name == "complete_journey":
        return complete_journey(path)
    if path is None:
        raise ConfigError(f"source {name} needs the path of its folder")
    return tables(path, mapping) if name == "tables" else _OF_PATH[name](path)

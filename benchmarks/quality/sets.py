"""The shops that are measured: published sets by name, any folder of tables or imported shop by its path."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.published import SETS, write_tables
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importers.tables import tables as tables_of
from recsys.data.importing import REPORT_FILE, import_shop
from recsys.errors import DataError

SHOPS = {"completejourney": "complete_journey", "online_retail": "online_retail"}
"""Shops that are measured as they live, with the importer of each."""


def open_set(name: str, data: Path, work: Path) -> Dataset:
    """A published set or shop by its name (files in `data`), an imported shop, or a folder of tables in the data contract.

    Raises:
        DataError: the files are not there, or no shop can be made of them.
    """
    if name in SHOPS:
        return _shop(name, data, work / "shops" / name)
    if name in SETS:
        tables = work / "tables" / name
        write_tables(name, data, tables)
    elif (Path(name) / REPORT_FILE).is_file():
        return Dataset.load(Path(name))
    elif Path(name).is_dir():
        tables = Path(name)
    else:
        raise DataError(f"--set {name}: it is neither a folder nor one of {', '.join((*SETS, *SHOPS))}")
    shop = work / "shops" / Path(name).resolve().name
    import_shop(tables_of(tables), shop)
    return Dataset.load(shop)


def open_counted(name: str, data: Path, work: Path, config: Config) -> tuple[Dataset, Config]:
    """`open_set`, and the configuration with the events that count there."""
    dataset = open_set(name, data, work)
    events = events_that_count(dataset, config.data.positive_events)
    return dataset, config.model_copy(update={"data": config.data.model_copy(update={"positive_events": events})})


def _shop(name: str, data: Path, folder: Path) -> Dataset:
    """Imported once, and kept."""
    if not (folder / REPORT_FILE).is_file():
        path = data / "uci_online_retail.parquet" if name == "online_retail" else None
        if path is not None and not path.is_file():
            raise DataError(f"there is no {path}; --data names the folder of the public data")
        import_shop(open_shop(SHOPS[name], path), folder)
    return Dataset.load(folder)


def events_that_count(dataset: Dataset, positive: tuple[str, ...]) -> tuple[str, ...]:
    """The positive events of the configuration where the shop has any of them, else every event that it has."""
    codes = np.unique(dataset.interactions.events)
    names = tuple(dataset.event_names[code] for code in codes)
    return tuple(name for name in positive if name in names) or names

"""Small shops, written and imported through the public edge."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shops import Import, Imported, Write

from recsys.data.importers import open_shop
from recsys.data.importing import import_shop

ITEMS = "item_id,title\na,Apple\nb,Bread\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write({"items.csv": text}) -> a folder with these files; names that end in .gz are gzipped, bytes are written as they are."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(text, str) else data)
        return folder

    return write


@pytest.fixture
def import_tables(write: Write, tmp_path: Path) -> Import:
    """import_tables(interactions csv, items csv, mapping toml, ...) -> Imported; any share of bad rows is allowed."""

    def run(
        interactions: str = "", items: str = ITEMS, mapping: str | None = None, files: dict[str, Any] | None = None, **options: Any
    ) -> Imported:
        texts = {"interactions.csv": interactions, "items.csv": items} if interactions else {"items.csv": items}
        folder = write(texts | (files or {}))
        path = None
        if mapping is not None:
            path = tmp_path / "mapping.toml"
            path.write_text(mapping, encoding="utf-8")
        out = tmp_path / "imported"
        return Imported(import_shop(open_shop("tables", folder, path), out, **({"max_bad": 1.0} | options)), out)

    return run


@pytest.fixture
def import_source(tmp_path: Path) -> Import:
    """import_source(source name, path) -> Imported."""

    def run(source: str, path: Path | None, **options: Any) -> Imported:
        out = tmp_path / "imported"
        return Imported(import_shop(open_shop(source, path), out, **options), out)

    return run

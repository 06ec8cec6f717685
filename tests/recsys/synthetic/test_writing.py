"""Worlds on disk: the same files however they were made, and no other world's files touched."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.synthetic.config import Behaviour, WorldConfig
from recsys.synthetic.customers import BLOCK
from recsys.synthetic.tables import interactions_table
from recsys.synthetic.world import World
from recsys.synthetic.writing import write_world

TWO_BLOCKS = WorldConfig(
    n_customers=BLOCK + 30, n_items=60, n_days=28, texts=False, behaviour=Behaviour(visits_per_month=0.5, missions_per_visit=1)
)


def silent(done: int, total: int | None, what: str) -> None:
    """Nobody watches."""


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the lock."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two blocks, written by one process."""
    return write_world(TWO_BLOCKS, tmp_path_factory.mktemp("one") / "shop", silent, 1)


def test_two_processes_write_the_same_files_as_one(by_one: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    out = write_world(TWO_BLOCKS, tmp_path / "two", lambda done, total, _: seen.append((done, total)), 2)
    assert contents(out) == contents(by_one)
    assert seen == [(1, 2), (2, 2)]


def test_every_block_has_its_parts(by_one: Path) -> None:
    shared = {"tables/items", "truth/items", "truth/personas", "truth/promotions"}
    parts = {
        "tables/customers",
        "tables/interactions",
        "tables/exposures",
        "truth/customers",
        "truth/needs",
        "truth/purchases",
        "truth/exposures",
        "truth/visitors",
    }
    expected = {f"{name}.parquet" for name in shared} | {f"{name}-0000{number}.parquet" for name in parts for number in (0, 1)}
    assert contents(by_one).keys() == expected | {"truth/world.json"}


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(by_one: Path, tmp_path: Path) -> None:
    out = write_world(TWO_BLOCKS, tmp_path / "shop", silent, 1)
    kept = out / "tables" / "interactions-00000.parquet"
    since = kept.stat().st_mtime_ns
    for name in ("truth/customers", "tables/interactions"):  # a block's customers are written last
        (out / f"{name}-00001.parquet").unlink()
    (out / "tables" / ".interactions-00001.parquet").write_bytes(b"half")
    (out / "truth" / "items.parquet").unlink()
    seen: list[tuple[int, int | None]] = []
    write_world(TWO_BLOCKS, out, lambda done, total, _: seen.append((done, total)), 1)
    assert contents(out) == contents(by_one)
    assert kept.stat().st_mtime_ns == since
    assert seen == [(2, 2)]


def test_a_complete_world_is_left_as_it_is(by_one: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in by_one.rglob("*")}
    write_world(TWO_BLOCKS, by_one, silent, 1)
    assert {path: path.stat().st_mtime_ns for path in by_one.rglob("*")} == before


def test_another_worlds_folder_is_refused_and_left_untouched(by_one: Path) -> None:
    before = contents(by_one)
    with pytest.raises(DataError, match="holds a world with other settings"):
        write_world(TWO_BLOCKS.model_copy(update={"seed": 2}), by_one, silent, 1)
    assert contents(by_one) == before


def test_a_folder_with_other_things_is_refused_and_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(DataError, match="is not empty and holds no planted world"):
        write_world(TWO_BLOCKS, tmp_path, silent, 1)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    config = WorldConfig(n_customers=20, n_items=60, n_days=28, texts=False)
    assert write_world(config, tmp_path, silent, 1) == tmp_path
    assert (tmp_path / "tables" / "interactions-00000.parquet").is_file()


def test_what_is_written_is_the_world(by_one: Path) -> None:
    world = World.build(TWO_BLOCKS)
    written = pq.read_table(by_one / "tables" / "interactions-00001.parquet")
    assert len(written) > 0
    assert written.equals(interactions_table(world, world.block(1)))

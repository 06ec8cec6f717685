"""Writes a world to a folder: ``tables/`` as a shop would export them, and ``truth/`` apart; a block of customers at a time.

Blocks are made in parallel and in any order, each as files of its own that appear whole: a run that was stopped goes on with those
that are missing, and the files do not depend on how many processes made them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from recsys.errors import DataError
from recsys.processes import over_processes
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.mess import mess_up
from recsys.synthetic.tables import customers_table, exposures_table, interactions_table, items_table, messages_table, reviews_table
from recsys.synthetic.truth import WORLD_FILE, block_truth, read_settings, shared_truth, write_settings
from recsys.synthetic.world import World

TABLES, SHOP, TRUTH = "tables", "shop", "truth"
"""Folders of a world: what a shop exports, the same as imported (by who calls this), and what is true."""

Progress = Callable[[int, int | None, str], None]


def write_world(config: WorldConfig, out: Path, progress: Progress, n_processes: int = 2) -> Path:
    """Write the tables and the truth of a world; returns `out`.

    Args:
        out: a folder that is new, empty, or holds a part of the same world: blocks whose truth is there are not made again
        progress: called as progress(blocks done, blocks, what)
        n_processes: blocks made at once; each takes memory in proportion to the visits of 4,096 customers, 1 GB for a year of them by
            default, whatever the number of blocks

    Raises:
        DataError: `out` holds something else.
    """
    _claim(out, config)
    try:
        with FileLock(out / ".lock", timeout=0):
            _write_missing(World.build(config), out, progress, n_processes)
    except Timeout as error:
        raise DataError(f"another process is making the world in {out}; wait for it, or choose another folder") from error
    return out


def _claim(out: Path, config: WorldConfig) -> None:
    """Make the folder of a new world, or find the same world in it."""
    truth = out / TRUTH
    if (truth / WORLD_FILE).is_file():
        if read_settings(truth) != config:
            raise DataError(f"{out} holds a world with other settings; choose another folder, or remove it")
        return
    if out.exists() and not (out.is_dir() and all(path == truth and not any(path.iterdir()) for path in out.iterdir())):
        raise DataError(f"{out} is not empty and holds no planted world; choose another folder")
    truth.mkdir(parents=True, exist_ok=True)
    write_settings(config, truth)


def _write_missing(world: World, out: Path, progress: Progress, n_processes: int) -> None:
    missing = [number for number in range(world.n_blocks) if not _last_file(out, number).is_file()]
    if not _whole(out / TRUTH, "items").is_file():
        _write_shared(world, out)
    written = over_processes(partial(World.build, world.config), partial(_write_block, out), missing, n_processes)
    for done, _ in enumerate(written, world.n_blocks - len(missing) + 1):
        progress(done, world.n_blocks, "making customers")


def _write_shared(world: World, out: Path) -> None:
    _write(items_table(world), _whole(out / TABLES, "items"))
    for name, table in reversed(shared_truth(world).items()):  # items last: they say that all is there
        _write(table, _whole(out / TRUTH, name))


def _write_block(out: Path, world: World, number: int) -> None:
    block = world.block(number)
    interactions, done_to_them = mess_up(world, number, interactions_table(world, block))
    tables = {"customers": customers_table(world, block), "interactions": interactions}
    if len(block.shown):
        tables["exposures"] = exposures_table(world, block)
    if world.config.texts:
        tables |= {"reviews": reviews_table(world, block), "messages": messages_table(world, block)}
    for name, table in tables.items():
        _write(table, _part(out / TABLES, name, number))
    truth = block_truth(world, block)
    if len(done_to_them):
        truth["mess"] = done_to_them
    for name, table in truth.items():
        if name != "customers":
            _write(table, _part(out / TRUTH, name, number))
    _write(truth["customers"], _last_file(out, number))


def _last_file(out: Path, number: int) -> Path:
    """The file of a block that is written after all others."""
    return _part(out / TRUTH, "customers", number)


def _whole(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _part(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.parquet"


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    pq.write_table(table, unfinished, compression="zstd", compression_level=1)
    unfinished.replace(path)

"""What exports suffer from, done to a clean table of interactions: rows twice, crawlers, rows far behind their time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.synthetic.tables import item_id
from recsys.synthetic.world import World

VIEWS_PER_BOT = 300


def mess_up(world: World, block: int, clean: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The table as an export would have it, in the shares that `Mess` says, and what was done to it.

    Args:
        clean: rows by time

    Returns:
        the rows by time, a repeated one behind itself, late ones last;
        and columns what ("duplicate", "late" or "bot") and id (an event_id; of a bot its visitor_id)
    """
    mess = world.config.mess
    crawled = _crawled(world, block, round(mess.bots * len(clean)), clean.schema)
    table = pa.concat_tables([clean, crawled])
    rows = np.argsort(pc.cast(table["event_time"], pa.int64()).to_numpy(), kind="stable")
    is_twice = world.rng("duplicates", block).random(len(rows)) < mess.duplicates
    twice = rows[is_twice]
    rows = np.repeat(rows, 1 + is_twice)
    is_late = world.rng("late", block).random(len(rows)) < mess.late
    late = rows[is_late]
    done = {"duplicate": table["event_id"].take(twice), "late": table["event_id"].take(late), "bot": pc.unique(crawled["visitor_id"])}
    noted = [pa.table({"what": pa.repeat(what, len(ids)), "id": ids}) for what, ids in done.items()]
    return table.take(np.concatenate([rows[~is_late], late])), pa.concat_tables(noted)


def _crawled(world: World, block: int, n: int, schema: pa.Schema) -> pa.Table:
    """Views in turn of all items that were there on the first day, seconds apart, by visitors who never buy."""
    rng = world.rng("bots", block)
    there = np.flatnonzero(world.model.items.launch_day <= 0)
    bot, step = np.divmod(np.arange(n), VIEWS_PER_BOT)
    start = rng.uniform(0, world.config.n_days - 1, n // VIEWS_PER_BOT + 1)
    times = world.model.calendar.times(start[bot] + step * 2 / 86_400)
    visitors = pc.binary_join_element_wise(f"bot{block}-", pa.array(bot).cast(pa.string()), "")
    columns = {
        "event_id": pc.binary_join_element_wise(f"b{block}-", pa.array(np.arange(n)).cast(pa.string()), ""),
        "item_id": item_id(there[(rng.integers(len(there)) + np.arange(n)) % len(there)].astype(np.int32)),
        "visitor_id": visitors,
        "event": pa.repeat("view", n),
        "event_time": pa.array(times, pa.timestamp("us", "UTC")),
        "session_id": visitors,
    }
    filled = [columns[field.name] if field.name in columns else pa.nulls(n, field.type) for field in schema]
    return pa.table(filled, schema=schema)

"""What happens in one visit, where a shop logs views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.realism.measures import Measured
from benchmarks.realism.statistics import mean, summary
from recsys.types import CART, PURCHASE, STANDARD_EVENTS, VIEW


def measure_sessions(folder: Path) -> Measured:
    """Views, carts and purchases of the sessions with a view, of known and unknown visitors; empty where the shop logs none.

    The ids are read again from the folder: a loaded dataset keeps baskets only, and orders hide the sessions they came from.
    """
    path = folder / "interactions.parquet"
    if "session_id" not in pq.read_schema(path).names:
        return Measured()
    rows = pq.read_table(path, columns=["session_id", "event"], read_dictionary=["session_id", "event"]).unify_dictionaries()
    rows = rows.filter(rows["session_id"].is_valid())
    if not len(rows):
        return Measured()
    sessions, events = (column_codes(rows[name]) for name in ("session_id", "event"))
    names = rows["event"].chunk(0).dictionary.to_pylist()
    counts = {
        code: np.bincount(sessions[events == names.index(name)], minlength=int(sessions.max()) + 1)
        for code, name in enumerate(STANDARD_EVENTS)
        if name in names
    }
    if VIEW not in counts:
        return Measured()
    seen = counts[VIEW] > 0
    figures = {"sessions": float(seen.sum())} | summary("session_views", counts[VIEW][seen].astype(np.float64))
    for name, code in (("session_carts", CART), ("session_buys", PURCHASE)):
        figures[name] = mean(counts[code][seen] > 0) if code in counts else 0.0
    return Measured(figures, {"session_views": counts[VIEW][seen].astype(np.float64)})


def column_codes(column: pa.ChunkedArray) -> np.ndarray:
    """Codes of a column whose chunks share one dictionary."""
    return np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])

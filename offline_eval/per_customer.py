"""Results of each customer as a Parquet file, to be kept, compared elsewhere, or brought from elsewhere to be judged.

One row per query: `customer_id`; `time` (timestamps or ISO 8601, UTC unless said) and `table`, which may be absent where there is one
of each; `system` where there are several; a column of numbers for each metric under its printed name ("NDCG@10"), null = no value; any
column of strings whose name starts with "slice:" is a kind of slice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from offline_eval.evaluate import Measurements
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.significance import Doubles
from recsys.errors import DataError

log = logging.getLogger(__name__)

SLICE = "slice:"
TABLE = "all purchases"
_NOT_METRICS = ("customer_id", "time", "table", "system")
_SHARES = ("Serendipity", "CategoryDiversity")
_ROUNDING = 1e-6
"""How far beyond 0 or 1 a share may lie that was reckoned in single precision."""


def write_values(tables: Sequence[Measurements], system: str | None, path: Path) -> None:
    """Write what was measured of one system, or with None of all, told apart by a column `system`.

    Metrics of whole sets of lists have no value per customer: the log says which are left out.

    Raises:
        ValueError: the system was not measured.
    """
    left_out = dict.fromkeys(metric for measured in tables if measured.exposures for metric in measured.exposures.metrics)
    if left_out:
        log.warning("%s are of all lists together, have no value per customer, and are not in %s", ", ".join(left_out), path)
    if system is not None:
        parts = [_table(measured, system) for measured in tables]
    else:
        parts = [
            _table(measured, name).add_column(1, "system", pa.array([name] * len(measured.customers)))
            for measured in tables
            for name in measured.systems
        ]
    pq.write_table(pa.concat_tables(parts, promote_options="default"), path)


def read_values(path: Path) -> list[Measurements]:
    """Measurements of one system, named after the file, one per table.

    Raises:
        DataError: the file is no Parquet, holds several systems, lacks customers or metrics, has a column that is none of the above, a
            query twice, or a value that its metric cannot have.
    """
    try:
        frame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    metrics = _metrics(path, [name for name in frame.columns if name not in _NOT_METRICS and not name.startswith(SLICE)])
    if "customer_id" not in frame or frame["customer_id"].isna().any() or not metrics or not len(frame):
        raise DataError(f"{path} needs rows with a customer_id and at least one metric, for example NDCG@10; it has: {', '.join(frame)}")
    systems = list(dict.fromkeys(frame["system"])) if "system" in frame else []
    if len(systems) > 1:
        raise DataError(f"{path} holds results of several systems ({', '.join(map(str, systems))}); leave the rows of one")
    titles = frame["table"].fillna(TABLE).astype(str) if "table" in frame else pd.Series(TABLE, frame.index)
    try:
        return [_measured(str(title), path.stem, rows, metrics) for title, rows in frame.groupby(titles, sort=False)]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {error}") from error


def _metrics(path: Path, names: Sequence[str]) -> list[Metric]:
    try:
        metrics = [parse_metrics(name)[0] for name in names]
    except ValueError as error:
        raise DataError(f"{path}: {error}; other columns are {', '.join(_NOT_METRICS)} and those that start with {SLICE!r}") from error
    of_sets = next((metric for metric in metrics if metric.is_of_sets), None)
    if of_sets is not None:
        raise DataError(f"{path}: {of_sets} is of all lists together and has no value per customer; leave it out")
    return metrics


def _measured(title: str, system: str, rows: pd.DataFrame, metrics: Sequence[Metric]) -> Measurements:
    values = rows[[str(metric) for metric in metrics]].to_numpy(np.float64, na_value=np.nan).T
    for metric, column in zip(metrics, values, strict=True):
        _check(metric, column)
    return Measurements(
        title=title,
        systems=(system,),
        metrics=tuple(map(str, metrics)),
        customers=tuple(rows["customer_id"].astype(str)),
        times=_times(rows),
        slices={name.removeprefix(SLICE): tuple(rows[name].fillna("none").astype(str)) for name in rows.columns if name.startswith(SLICE)},
        values=values[None],
    )


def _check(metric: Metric, values: Doubles) -> None:
    if np.isinf(values).any():
        raise ValueError(f"{metric} has {np.isinf(values).sum()} infinite values")
    wrong = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
    if wrong.any() and (not metric.needs_facts or metric.name in _SHARES):
        raise ValueError(f"{metric} lies in [0, 1], yet {wrong.sum()} values do not, for example {values[wrong][0]:g}")


def _times(rows: pd.DataFrame) -> tuple[str, ...]:
    """As our own measurements write them, so that queries pair; "" = not said."""
    if "time" not in rows:
        return ("",) * len(rows)
    times = pd.to_datetime(rows["time"], utc=True, format="ISO8601", errors="coerce").dt.floor("us")
    unread = rows["time"][times.isna() & rows["time"].notna()]
    if len(unread):
        raise ValueError(f"time {unread.iloc[0]!r} is no timestamp and not ISO 8601")
    return tuple("" if pd.isna(time) else time.isoformat() for time in times)


def _table(measured: Measurements, system: str) -> pa.Table:
    if system not in measured.systems:
        raise ValueError(f"{system!r} was not measured; measured were: {', '.join(measured.systems)}")
    values = measured.values[measured.systems.index(system)]
    columns: dict[str, object] = {"table": [measured.title] * len(measured.customers), "customer_id": list(measured.customers)}
    columns |= {"time": list(measured.times)} | {f"{SLICE}{kind}": list(labels) for kind, labels in measured.slices.items()}
    columns |= {metric: pa.array(column, from_pandas=True) for metric, column in zip(measured.metrics, values, strict=True)}
    return pa.table(columns)

"""What was measured by position, as a table and as figures for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from benchmarks.quality.leave_one_out import Measured
from benchmarks.quality.published import CUTOFFS
from offline_eval.significance import Interval, bootstrap

ENGINE = "engine"
N_RESAMPLES = 1000
SEED = 5


def table(title: str, rows: Mapping[str, Measured], published: Mapping[str, Mapping[str, float]]) -> Table:
    """Every system with its metrics, the engine last, and what others published below. rows: by what the queries knew, "" = no time"""
    first = next(iter(rows.values()))
    n, held = len(first.ranks.is_candidate), max(row.peak_mb for row in rows.values())
    caption = "; ".join(
        f"{name or 'without the query' + chr(39) + 's time'}: candidates hold {row.ranks.is_candidate.mean():.1%} of the wanted items, "
        f"training {row.training_seconds:.0f} s, asking {row.asking_seconds:.0f} s"
        for name, row in rows.items()
    )
    shown = Table(title=f"{title}: {n:,} customers", caption=f"{caption}; at most {held:,.0f} MB held", box=box.SIMPLE_HEAD)
    shown.add_column("system")
    metrics = [f"{metric}@{k}" for k in CUTOFFS for metric in ("Recall", "NDCG")]
    for metric in metrics:
        shown.add_column(metric, justify="right")
    shown.add_column("95 % of NDCG@10", justify="right")
    for name, system, row in _systems(rows):
        intervals = _intervals(row, system)
        at_10 = intervals["NDCG@10"]
        cells = [f"{intervals[metric].estimate:.4f}" for metric in metrics]
        shown.add_row(f"{system}{', ' + name if name else ''}", *cells, f"[{at_10.low:.4f}, {at_10.high:.4f}]")
    for name, values in published.items():
        shown.add_row(f"published: {name}", *(f"{values[metric]:.4f}" if metric in values else "" for metric in metrics), "")
    return shown


def headline(row: Measured) -> str:
    """The engine's figures at 10 in a few words."""
    metrics = row.ranks.metrics(ENGINE, (10,))
    return ", ".join(f"{name} {values.mean():.4f}" for name, values in metrics.items())


def figures(rows: Mapping[str, Measured], cutoffs: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """By system, "SYSTEM, with the query's time" where it knew that: each metric, and its 95 % interval under "METRIC interval"."""
    found = {}
    for name, system, row in _systems(rows):
        entry: dict[str, Any] = {}
        for metric, interval in _intervals(row, system).items():
            entry |= {metric: interval.estimate, f"{metric} interval": [interval.low, interval.high]}
        if system == ENGINE:
            entry |= {"candidate recall": float(row.ranks.is_candidate.mean()), "n_customers": len(row.ranks.is_candidate)}
            entry |= {"training_seconds": row.training_seconds, "asking_seconds": row.asking_seconds, "peak_mb": row.peak_mb}
        found[f"{system}, {name}" if name else system] = entry
    return found


def _systems(rows: Mapping[str, Measured]) -> Iterator[tuple[str, str, Measured]]:
    """What the queries knew, system, ranks. A source that does not ask for the time is listed once; the engine comes last."""
    first = next(iter(rows.values()))
    for system in first.ranks.of_systems:
        if system != ENGINE:
            yield "", system, first
    for name, row in rows.items():
        yield name, ENGINE, row


def _intervals(row: Measured, system: str) -> dict[str, Interval]:
    """The mean of each metric over the customers, and its interval."""
    metrics = row.ranks.metrics(system, CUTOFFS)
    values = np.column_stack(list(metrics.values()))
    drawn = bootstrap([str(number) for number in range(len(values))], values, np.random.default_rng(SEED), N_RESAMPLES)
    return {metric: drawn.mean(column) for column, metric in enumerate(metrics)}

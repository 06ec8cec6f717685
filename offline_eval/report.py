"""Results as tables for the terminal, at most 120 columns wide."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import IO

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offline_eval.metrics import parse_metrics
from offline_eval.result import Comparison, EvaluationResult, Figure
from offline_eval.significance import Interval

WIDTH = 120
ABSENT = "-"
_CAPTION = (
    "p: sign flips of customers, corrected over the slices of a kind (Holm). least: the smallest true difference that so many "
    "customers show 4 times in 5 at 5 %; the comparison could not have seen less."
)


def figure_tables(results: Sequence[EvaluationResult], metrics: Sequence[str], kinds: Collection[str] | None = None) -> list[Table]:
    """One table per slice: a row per system, a column per result and metric, the best of each column in bold.

    kinds: of slices ("overall", "tier") that are wanted; None = all
    """
    found = dict.fromkeys(slice_ for result in results for slice_ in result.slices)
    slices = [slice_ for slice_ in found if kinds is None or slice_.partition("=")[0] in kinds]
    return [_figure_table(results, metrics, slice_) for slice_ in slices]


def comparison_table(title: str, comparisons: Sequence[Comparison]) -> Table:
    """A row per slice, a column per metric: the relative difference, bold where its interval leaves out 0; p; what could be seen."""
    first = comparisons[0]
    table = Table(
        title=Text(f"{title}: {first.system} against {first.reference}"),
        title_justify="left",
        caption=Text(_CAPTION),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("slice")
    table.add_column("customers", justify="right")
    metrics = dict.fromkeys(comparison.metric for comparison in comparisons)
    for metric in metrics:
        table.add_column(metric, justify="right")
    for slice_ in dict.fromkeys(comparison.slice for comparison in comparisons):
        row = [comparison for comparison in comparisons if comparison.slice == slice_]
        table.add_row(Text(slice_), f"{row[0].relative.n:,}", *(_relative(comparison.relative) + _tested(comparison) for comparison in row))
    return table


def show(tables: Sequence[Table], file: IO[str] | None = None) -> None:
    """Print tables, to stdout unless said otherwise."""
    console = Console(file=file or sys.stdout, width=WIDTH, highlight=False)
    for table in tables:
        console.print(table)


def _figure_table(results: Sequence[EvaluationResult], metrics: Sequence[str], slice_: str) -> Table:
    counts = ", ".join(f"{result.measurements.title} {_customers(result, slice_):,}" for result in results)
    table = Table(title=Text(f"{slice_} (customers: {counts})"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("system")
    columns = []
    for result in results:
        for metric in metrics:
            table.add_column(Text(f"{result.measurements.title}\n{metric} [95 %]"), justify="right")
            columns.append({figure.system: figure for figure in result.figures if (figure.metric, figure.slice) == (metric, slice_)})
    best = [_best(column.values()) for column in columns]
    for system in dict.fromkeys(system for result in results for system in result.measurements.systems):
        cells = [_figure(column.get(system), top) for column, top in zip(columns, best, strict=True)]
        table.add_row(Text(system), *cells)
    return table


def _best(figures: Collection[Figure]) -> float:
    if not figures:
        return np.nan
    choose = min if parse_metrics(next(iter(figures)).metric)[0].lower_is_better else max
    return choose((figure.mean for figure in figures if np.isfinite(figure.mean)), default=np.nan)


def _customers(result: EvaluationResult, slice_: str) -> int:
    return max((figure.n for figure in result.figures if figure.slice == slice_), default=0)


def _figure(figure: Figure | None, best: float) -> Text:
    if figure is None:
        return Text(ABSENT)
    mean = Text(_short(figure.mean), style="bold" if figure.mean == best else "")
    return mean + Text(f" [{_short(figure.low)}, {_short(figure.high)}]")


def _short(share: float) -> str:
    return f"{share:.4f}".removeprefix("0") if abs(share) < 10 else f"{share:,.1f}"


def _relative(relative: Interval) -> Text:
    if not np.isfinite(relative.estimate):
        return Text(ABSENT)  # the reference scores 0
    estimate = f"{relative.estimate:+.1%}"
    if not np.isfinite(relative.low):
        return Text(estimate)  # one customer determines no interval
    is_decided = relative.low > 0 or relative.high < 0
    return Text(f"{estimate} [{relative.low:+.1%}, {relative.high:+.1%}]", style="bold" if is_decided else "")


def _tested(comparison: Comparison) -> Text:
    """The second line of a comparison; nothing where one customer, or none, decides nothing."""
    if not np.isfinite(comparison.detectable_relative):
        return Text("")
    p = "p < .001" if comparison.p_holm < 0.001 else f"p {comparison.p_holm:.3f}".replace("0.", ".")
    return Text(f"\n{p}, least {comparison.detectable_relative:.1%}", style="dim")

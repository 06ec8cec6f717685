"""What was measured, beside one another: figures, verdicts, and whether shuffled groups are as good as none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from offline_eval.evaluate import Measurements, pool
from offline_eval.result import OVERALL, Comparison, compare, without_nan
from offline_eval.significance import Interval, bootstrap
from recsys.errors import DataError
from segrec.console import output
from segrec.worth.measuring import Found
from segrec.worth.variants import SHUFFLED, SILENT, UNTOLD, WITH, WITHOUT

SEED = 8
ENGINE_WITH, ENGINE_WITHOUT = f"engine, {WITH}", f"engine, {WITHOUT}"
LESS = {f"engine, {kind}": kind for kind in (SILENT, UNTOLD)}
"""Engines that lack one thing of what customers say, where they are measured, and how they are called."""
HARMLESS = -0.05
"""The engine counts as no worse than a source if the interval of its relative difference begins above this."""


def beside(parts: Sequence[Measurements]) -> Measurements:
    """The systems of several measurements of the same queries in one; slices are those of the first.

    Raises:
        ValueError: the parts differ in title, metrics or queries.
    """
    first = parts[0]
    for part in parts:
        if (part.title, part.metrics, part.queries) != (first.title, first.metrics, first.queries):
            raise ValueError(f"{part.title!r} of {part.systems} was asked other queries than {first.systems}")
    systems = tuple(system for part in parts for system in part.systems)
    return replace(first, systems=systems, values=np.concatenate([part.values for part in parts]))


def pooled(found: Mapping[tuple[str, str], Found]) -> list[Measurements]:
    """Each table with all variants, over all cuts that have it; then all thin histories together. found: by cut and variant

    Raises:
        DataError: there is no table at all.
    """
    by_cut: dict[str, list[dict[str, Measurements]]] = {}
    for (cut, _), of_variant in found.items():
        by_cut.setdefault(cut, []).append({table.title: table for table in of_variant.tables})
    by_title: dict[str, list[Measurements]] = {}
    for of_variants in by_cut.values():
        for title in of_variants[0]:
            by_title.setdefault(title, []).append(beside([tables[title] for tables in of_variants]))
    if not by_title:
        raise DataError("nobody bought anything in the periods after the cuts; choose a shop with more data, or fewer cuts")
    tables = [pool(parts) for parts in by_title.values()]
    return tables + thin(tables)


def show(tables: Sequence[Measurements]) -> None:
    """Print all figures, then what they say."""
    for measured in tables:
        output().print(figures(measured), verdicts(measured))
    for measured in tables:
        output().print(*sentences(measured), sep="\n", markup=False)


def thin(tables: Sequence[Measurements]) -> list[Measurements]:
    """All lengths of cut-down histories in one table per truth; a customer's queries stay together when resampled."""
    by_truth: dict[str, list[Measurements]] = {}
    for table in tables:
        truth, length, _ = table.title.partition(", last ")
        if length:
            times = tuple(f"{time}, {table.title}" for time in table.times)
            by_truth.setdefault(truth, []).append(replace(table, title=f"{truth}, thin histories", times=times))
    return [pool(parts) for parts in by_truth.values()]


def figures(measured: Measurements) -> Table:
    """Every system: each metric with its interval, and the relative difference to the engine without."""
    n = len(set(measured.customers))
    table = _titled(f"{measured.title}: {len(measured.customers):,} queries of {n:,} customers", ["system"])
    for metric in measured.metrics:
        for heading in (f"{metric} [95 %]", f"against {WITHOUT}"):
            table.add_column(heading, justify="right")
    base = measured.systems.index(ENGINE_WITHOUT)
    drawn = [bootstrap(measured.customers, measured.values[:, at].T, np.random.default_rng(SEED)) for at in range(len(measured.metrics))]
    for row, system in enumerate(measured.systems):
        cells = []
        for draws in drawn:
            mean = draws.mean(row)
            cells += [share(mean), "" if row == base else percent(draws.relative(row, base))]
        table.add_row(system, *cells)
    return table


def against(measured: Measurements, system: str, reference: str) -> tuple[Comparison, ...]:
    """A system against a reference, overall and in every slice."""
    return compare(measured, system, reference, np.random.default_rng(SEED))


def best_source(measured: Measurements) -> str:
    """The source that has the highest mean of the first metric: chosen on the very data, so that it is flattered.

    Sources of other groups than those found, "SOURCE, VARIANT", are none that a shop has.
    """
    sources = [system for system in measured.systems if "," not in system]
    return max(sources, key=lambda system: float(np.nanmean(measured.values[measured.systems.index(system), 0])))


def verdicts(measured: Measurements) -> Table:
    """The engine with groups against that without, and against its best single source, per slice."""
    best = best_source(measured)
    table = _titled(f"{measured.title}: {ENGINE_WITH}, against the engine {WITHOUT}, and against {best}", ["slice", "customers"])
    columns = [against(measured, ENGINE_WITH, reference) for reference in (ENGINE_WITHOUT, best)]
    for reference in (WITHOUT, "best source"):
        for metric in measured.metrics:
            table.add_column(f"{metric}, {reference}", justify="right")
    for slice_ in dict.fromkeys(row.slice for row in columns[0]):
        rows = [row for found in columns for row in found if row.slice == slice_]
        table.add_row(slice_, f"{rows[0].relative.n:,}", *(percent(row.relative) for row in rows))
    return table


def sentences(measured: Measurements) -> Iterator[str]:
    """The verdicts that were asked for, in words."""
    shuffles = [system for system in measured.systems if system.startswith(f"engine, {SHUFFLED}")]
    for at, metric in enumerate(measured.metrics):
        gain = _overall(against(measured, ENGINE_WITH, ENGINE_WITHOUT))[at].relative
        yield f"{measured.title}, {metric}: {WITH} against {WITHOUT} {percent(gain)}: {_said(gain)}"
        covered = [_overall(against(measured, system, ENGINE_WITHOUT))[at].relative for system in shuffles]
        n_covered = sum(interval.low <= 0 <= interval.high for interval in covered)
        if shuffles:
            covers = f"covers 0 in {n_covered} of {len(covered)} shuffles"
            yield f"{measured.title}, {metric}: the interval of shuffled against {WITHOUT} {covers}"
        for system in (system for system in LESS if system in measured.systems):
            told = _overall(against(measured, ENGINE_WITH, system))[at].relative
            yield f"{measured.title}, {metric}: {WITH} against {LESS[system]} {percent(told)}: {_said(told)}"
        best = best_source(measured)
        beside_best = _overall(against(measured, ENGINE_WITH, best))[at].relative
        verdict = "no worse" if beside_best.low > HARMLESS else "not shown to be no worse"
        yield f"{measured.title}, {metric}: {WITH} against {best} {percent(beside_best)}: {verdict}"


def to_json(tables: Sequence[Measurements]) -> dict[str, Any]:
    """Means of every system, and the engines against the one without and the best source, overall and per slice."""
    content = {}
    for measured in tables:
        means = np.nanmean(measured.values, axis=2)
        engines = [system for system in measured.systems if system.startswith("engine") and system != ENGINE_WITHOUT]
        found = [row for system in engines for row in against(measured, system, ENGINE_WITHOUT)]
        references = [best_source(measured), *(system for system in LESS if system in measured.systems)]
        found += [row for reference in references for row in against(measured, ENGINE_WITH, reference)]
        content[measured.title] = {
            "queries": len(measured.queries),
            "means": {system: dict(zip(measured.metrics, row, strict=True)) for system, row in zip(measured.systems, means, strict=True)},
            "comparisons": [asdict(row) for row in found],
        }
    plain: dict[str, Any] = without_nan(content)
    return plain


def percent(interval: Interval) -> str:
    """A relative difference with its interval, as printed; there is no interval where too few of the queries find anything."""
    if not np.isfinite([interval.low, interval.high]).all():
        return f"{interval.estimate:+.1%} [too few]"
    return f"{interval.estimate:+.1%} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def share(interval: Interval) -> str:
    """A mean with its interval, as printed."""
    estimate, low, high = (f"{value:.4f}".removeprefix("0") for value in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


def _overall(rows: Sequence[Comparison]) -> list[Comparison]:
    return [row for row in rows if row.slice == OVERALL]


def _said(interval: Interval) -> str:
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "no difference shown"


def _titled(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table

"""What rolling cuts found: the engine beside everything else, whether it is better beyond chance, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from benchmarks.quality.rolling import LENGTHS, thin_title, titles
from offline_eval.evaluate import Measurements
from offline_eval.hypotheses import holm
from offline_eval.report import comparison_table, figure_tables
from offline_eval.result import OVERALL, Comparison, EvaluationResult, compare, summarise, without_nan
from offline_eval.significance import Interval
from segrec.asking import ALL, DISCOVERY, best_of
from segrec.evaluation import ENGINE

SEED = 20
SLICES = ("tier", "stage", "segment", "history")
AT = ("NDCG@10", "NDCG@20")
"""What verdicts are about."""
HARMLESS = -0.05
"""With short histories the engine must not be so much worse than its best source: the interval has to begin above this."""


@dataclass(frozen=True)
class Verdict:
    """The engine against one other system on one table and metric. p_holm: over all verdicts of whole histories."""

    title: str
    reference: str
    metric: str
    relative: Interval
    p_holm: float


def verdicts(measured: Mapping[str, Measurements]) -> list[Verdict]:
    """The engine against every other system in all purchases and in discovery; of a title, the strongest other first."""
    compared: list[tuple[str, Comparison]] = []
    for title in (title for title in (ALL, DISCOVERY) if title in measured):
        whole = measured[title]
        for other in _strongest_first(whole):
            told = compare(whole, ENGINE, other, np.random.default_rng(SEED))
            compared += [(title, row) for row in told if row.slice == OVERALL and row.metric in AT]
    corrected = holm(np.array([row.p for _, row in compared]))
    return [Verdict(title, row.reference, row.metric, row.relative, float(p)) for (title, row), p in zip(compared, corrected, strict=True)]


def tables(name: str, measured: Mapping[str, Measurements]) -> list[Table]:
    """Everything for the terminal: figures, verdicts, slices against the best other system, short histories."""
    results = [_summary(measured[title]) for title in titles(measured)]
    shown = [table for result in results for table in figure_tables([result], list(result.measurements.metrics), (OVERALL,))]
    shown.append(_verdict_table(name, verdicts(measured)))
    for title in titles(measured):
        whole = measured[title]
        told = compare(whole, ENGINE, _strongest_first(whole)[0], np.random.default_rng(SEED))
        kept = [row for row in told if row.metric in AT and row.slice.partition("=")[0] in SLICES]
        shown += [comparison_table(title, kept)] if kept else []
    return shown + ([_thin_table(measured)] if thin_title(ALL, LENGTHS[0]) in measured else [])


def for_json(measured: Mapping[str, Measurements]) -> dict[str, Any]:
    """By title and system each metric, with its 95 % interval under "METRIC interval"; all verdicts."""
    found: dict[str, Any] = {}
    for title, part in measured.items():
        systems: dict[str, dict[str, Any]] = {}
        for figure in _summary(part).figures:
            if figure.slice == OVERALL:
                entry = systems.setdefault(figure.system, {"n_queries": len(part.customers)})
                entry |= {figure.metric: figure.mean, f"{figure.metric} interval": [figure.low, figure.high]}
        found[title] = systems
    found["verdicts"] = [asdict(verdict) for verdict in verdicts(measured)]
    plain: dict[str, Any] = without_nan(found)
    return plain


def _summary(measured: Measurements) -> EvaluationResult:
    return summarise(measured, np.random.default_rng(SEED))


def _strongest_first(measured: Measurements) -> list[str]:
    """The systems beside the engine, by the first metric; chosen on the data that they are compared on, which flatters the first."""
    others = [system for system in measured.systems if system != ENGINE]
    first = best_of(measured, others)
    return [first, *(system for system in others if system != first)]


def _verdict_table(name: str, told: Sequence[Verdict]) -> Table:
    table = Table(
        title=f"{name}: the engine against each other system, Holm over all {len(told)}", title_justify="left", box=box.SIMPLE_HEAD
    )
    for heading in ("table", "against", *AT):
        table.add_column(heading, justify="right" if heading in AT else "left")
    for title, other in dict.fromkeys((verdict.title, verdict.reference) for verdict in told):
        of_pair = {verdict.metric: verdict for verdict in told if (verdict.title, verdict.reference) == (title, other)}
        table.add_row(title, other, *(_told(of_pair[metric].relative, of_pair[metric].p_holm) for metric in AT))
    return table


def _thin_table(measured: Mapping[str, Measurements]) -> Table:
    """The engine against the best source at each length; harmless: the interval begins above -5 %."""
    table = Table(title=f"last baskets only, {AT[0]}: the engine against its best source", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("table", "baskets", "queries", "engine", "best source", "engine against it", "harmless"):
        table.add_column(heading, justify="left" if heading in ("table", "best source") else "right")
    for title in (ALL, DISCOVERY):
        for n in LENGTHS:
            part = measured.get(thin_title(title, n))
            if part is not None:
                best = _strongest_first(part)[0]
                row = next(row for row in compare(part, ENGINE, best, np.random.default_rng(SEED)) if row.metric == AT[0])
                mean = np.nanmean(part.values[part.systems.index(ENGINE), part.metrics.index(AT[0])])
                cells = f"{len(part.customers):,}", f"{mean:.4f}", best, _told(row.relative), "yes" if row.relative.low > HARMLESS else "no"
                table.add_row(title, str(n), *cells)
    return table


def _told(relative: Interval, p: float | None = None) -> str:
    tested = "" if p is None else ", p < .001" if p < 0.001 else f", p {p:.3f}".replace("0.", ".")
    return f"{relative.estimate:+.1%} [{relative.low:+.1%}, {relative.high:+.1%}]{tested}"

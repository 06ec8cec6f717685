"""Measuring a bundle as a shop lives: one query per active customer at the cut, the engine beside each source and two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import offline_eval
from offline_eval.baselines import personal_frequency, popularity
from offline_eval.evaluate import Measurements, Recommend
from offline_eval.facts import ItemFacts, bundle_facts
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.report import comparison_table, figure_tables
from offline_eval.result import Comparison, EvaluationResult, compare, summarise, without_nan
from offline_eval.systems import EngineSystem, source_systems
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.selection.eligibility import on_sale
from recsys.training.stages import Progress, Stages, source_digest
from segrec.asking import ALL, DISCOVERY, Period, Question, best_of, rng_of
from segrec.console import say

METRICS = "NDCG@10,Recall@10"
ENGINE, POPULAR_7D, PERSONAL = "engine", "popularity, last 7 days", "personal frequency, half-life 90 days"


def evaluate_bundle(bundle: Bundle, dataset: Dataset, metrics: str, progress: Progress) -> list[EvaluationResult]:
    """All purchases and discovery in the evaluation period after the bundle's as_of.

    Raises:
        DataError: the data end before the period does, nobody bought anything in it, or a metric needs what the shop lacks.
        BundleError: a part of the bundle fails.
    """
    period = Period.of(bundle, dataset)
    about = {"bundle": bundle.version, "from": str(period.start), "to": str(period.end)}
    return [summarise(part, rng_of(part.title, 0), about=about) for part in measure_bundle(bundle, dataset, metrics, progress)]


def measure_bundle(
    bundle: Bundle, dataset: Dataset, metrics: str, progress: Progress, *, alone: bool = False, facts: ItemFacts | None = None
) -> list[Measurements]:
    """The values behind `evaluate_bundle`, without intervals.

    alone: the engine only, without its sources and the baselines, and slices of every kind
    facts: what was known of the items; without them what the shop and this bundle know, where a metric needs any
    """
    asked = question_of(bundle, dataset, metrics, progress, facts, in_full=alone)
    parts = [asked.ask(title, systems) for title, systems in systems_of(bundle, asked, alone=alone).items()]
    return [part.measurements for part in parts if part is not None]


def question_of(
    bundle: Bundle,
    dataset: Dataset,
    metrics: str,
    progress: Progress,
    facts: ItemFacts | None = None,
    *,
    split: str = "time",
    in_full: bool = False,
) -> Question:
    """The question that a bundle is measured by; see `Question`. facts None = what the shop and this bundle know, where a metric needs any.

    Raises:
        DataError: see `Period.of`; or the shop lacks what a metric is made of.
    """
    period, wanted = Period.of(bundle, dataset), parse_metrics(metrics)
    if facts is None and any(metric.needs_facts for metric in wanted):
        facts = bundle_facts(bundle, dataset, period.start)
    try:
        for metric in wanted:
            metric.check(facts)
    except ValueError as error:
        raise DataError(f"bundle {bundle.version}: {error}") from error
    if facts is not None:
        _say_what_earns_nothing(facts, wanted)
    return Question(period, wanted, progress, facts, split, grouping=bundle, in_full=in_full)


def strategies_of(bundle: Bundle) -> dict[str, str]:
    """Which strategy answers for each table that the bundle is measured by."""
    config = bundle.config.evaluation
    return {ALL: config.strategy} | ({} if config.discovery_strategy is None else {DISCOVERY: config.discovery_strategy})


def systems_of(bundle: Bundle, asked: Question, *, alone: bool = False) -> dict[str, dict[str, Recommend]]:
    """By table: the engine, each of its sources alone, and the baselines that know nothing of the engine."""
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    tables: dict[str, dict[str, Recommend]] = {}
    for title, strategy in strategies_of(bundle).items():
        tables[title] = {ENGINE: EngineSystem(engine, snapshot, strategy)}
        if not alone:
            tables[title] |= source_systems(engine, snapshot, strategy, max(metric.k for metric in asked.metrics))
            tables[title] |= baselines_of(asked.period, title)
    return tables


def baselines_of(period: Period, title: str) -> dict[str, Recommend]:
    """Best sellers of the week before the cut, and each customer's own items; the latter has nothing to say of discovery."""
    rest = (period.dataset, period.start, period.positive_events, on_sale(period.catalogue))
    best_sellers = {POPULAR_7D: popularity(*rest, new_only=title == DISCOVERY)}
    return best_sellers if title == DISCOVERY else best_sellers | {PERSONAL: personal_frequency(*rest)}


def kept_evaluation(bundle: Bundle, dataset: Dataset, metrics: str, stages: Stages) -> list[EvaluationResult]:
    """`evaluate_bundle`, kept among the stages of the training: an unchanged bundle and shop are not measured again."""

    def make(folder: Path) -> None:
        for number, result in enumerate(evaluate_bundle(bundle, dataset, metrics, stages.progress)):
            (folder / f"{number}.json").write_text(result.to_json(), encoding="utf-8")

    code = source_digest(Path(offline_eval.__file__).parent, Path(__file__).parent)
    inputs = {"bundle": bundle.version, "data": dataset.fingerprint, "metrics": metrics, "evaluation_code": code}
    folder = stages.run("evaluation", inputs, make)
    return [EvaluationResult.from_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def for_manifest(results: Sequence[EvaluationResult]) -> dict[str, Any]:
    """Figures without the values per customer."""
    tables = {result.measurements.title: [asdict(figure) for figure in result.figures] for result in results}
    quoted: dict[str, Any] = without_nan({"about": dict(results[0].about), "figures": tables})
    return quoted


def reference_of(measured: Measurements) -> str:
    """What the engine is compared with: the customer's own items, else the system that has the best mean of the first metric."""
    if PERSONAL in measured.systems:
        return PERSONAL
    others = [system for system in measured.systems if system != ENGINE]
    return best_of(measured, others)


def comparisons(result: EvaluationResult) -> list[Comparison]:
    """The engine against the better of its baselines, overall and per slice."""
    measured = result.measurements
    return list(compare(measured, ENGINE, reference_of(measured), rng_of(measured.title, 0)))


def tables_of(results: Sequence[EvaluationResult], metrics: str, *, short: bool = False) -> list[Table]:
    """What training and the demo print; short: the figures of all customers only, then the verdicts per tier."""
    figures = figure_tables(results, [str(metric) for metric in parse_metrics(metrics)])
    verdicts = [comparison_table(result.measurements.title, comparisons(result)) for result in results]
    return [*(figures[:1] if short else figures), *verdicts]


def _say_what_earns_nothing(facts: ItemFacts, metrics: Sequence[Metric]) -> None:
    for name, money in (("Revenue", facts.prices), ("Margin", facts.margins)):
        unknown = int(np.isnan(money[facts.offered]).sum())
        if unknown and any(metric.name == name for metric in metrics):
            say(f"{unknown:,} of {facts.offered.sum():,} offered items have no known {name.lower()}: hits on them count 0 in {name}")

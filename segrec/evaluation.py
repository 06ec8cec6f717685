"""Measuring a bundle as a shop lives: one query per active customer at the cut, the engine beside each source and two baselines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import offline_eval
from offline_eval.baselines import personal_frequency, popularity
from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import NothingRelevant, Truth, new_items, relevant_items
from offline_eval.report import comparison_table, figure_tables
from offline_eval.result import Comparison, EvaluationResult, compare, summarise, without_nan
from offline_eval.systems import EngineSystem, source_systems, tiers
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.selection.eligibility import on_sale
from recsys.training.stages import Progress, Stages, source_digest
from recsys.types import aware
from segrec.console import say

METRICS = "NDCG@10,Recall@10"
ENGINE, POPULAR_7D, PERSONAL = "engine", "popularity, last 7 days", "personal frequency, half-life 90 days"


def evaluate_bundle(bundle: Bundle, dataset: Dataset, metrics: str, progress: Progress) -> list[EvaluationResult]:
    """All purchases and discovery in the evaluation period after the bundle's as_of.

    Raises:
        DataError: the data end before the period does, or nobody bought anything in it.
        BundleError: a part of the bundle fails.
    """
    config = bundle.config.evaluation
    start = _start(bundle)
    end = start + np.timedelta64(round(config.period_days * 86_400), "s")
    last = dataset.interactions.times[-1]
    if last <= start or last + np.timedelta64(1, "D") < end:
        raise DataError(
            f"bundle {bundle.version} knows everything before {start} and needs {config.period_days:g} days after it to be measured on, "
            f"but the data end at {last}; measure its twin (`segrec inspect` names it) or set evaluation.period_days lower"
        )
    foreign = set(bundle.catalogue.items.ids).difference(dataset.item_ids.ids)
    if foreign:
        raise DataError(
            f"the shop lacks {len(foreign):,} of the {len(bundle.catalogue):,} items of bundle {bundle.version}, "
            f"for example {min(foreign)!r}; "
            "measure it on the shop that it was trained on"
        )
    period = (dataset, start, end, bundle.config.data.positive_events, dataset.before(start).catalogue().recommendable)
    try:
        measured = [_measure(bundle, dataset, config.strategy, "all purchases", relevant_items(*period), metrics, progress)]
    except NothingRelevant as error:
        raise DataError(f"bundle {bundle.version} cannot be measured: {error}") from error
    if config.discovery_strategy is not None:
        try:
            measured.append(_measure(bundle, dataset, config.discovery_strategy, "discovery", new_items(*period), metrics, progress))
        except NothingRelevant:
            say("nobody bought anything new in the period: no discovery table")
    about = {"bundle": bundle.version, "from": str(start), "to": str(end)}
    return [summarise(part, _rng(part.title), about=about) for part in measured]


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


def comparisons(result: EvaluationResult) -> list[Comparison]:
    """The engine against the better of its baselines, overall and per tier."""
    measured = result.measurements
    reference = PERSONAL if PERSONAL in measured.systems else best_source(measured)
    return list(compare(measured, ENGINE, reference, _rng(measured.title)))


def best_source(measured: Measurements) -> str:
    """The system other than the engine with the highest mean of the first metric."""
    others = [system for system in measured.systems if system != ENGINE]
    return max(others, key=lambda system: float(np.nanmean(measured.values[measured.systems.index(system), 0])))


def tables_of(results: Sequence[EvaluationResult], metrics: str, *, short: bool = False) -> list[Table]:
    """What `segrec eval run` and the demo print; short: the figures of all customers only, then the verdicts per tier."""
    figures = figure_tables(results, [str(metric) for metric in parse_metrics(metrics)])
    verdicts = [comparison_table(result.measurements.title, comparisons(result)) for result in results]
    return [*(figures[:1] if short else figures), *verdicts]


def _measure(bundle: Bundle, dataset: Dataset, strategy: str, title: str, truth: Truth, metrics: str, progress: Progress) -> Measurements:
    wanted = parse_metrics(metrics)
    systems = _systems(bundle, dataset, strategy, is_discovery=title == "discovery", k=max(metric.k for metric in wanted))
    slices = {"tier": tiers(bundle, truth)}
    return evaluate(systems, truth, aware(_start(bundle)), wanted, title=title, slices=slices, progress=progress)


def _systems(bundle: Bundle, dataset: Dataset, strategy: str, *, is_discovery: bool, k: int) -> dict[str, Recommend]:
    """The engine, each of its sources alone, and the baselines that know nothing of the engine."""
    engine, snapshot, start = Engine(bundle), Snapshot.of(bundle), _start(bundle)
    rest = (dataset, start, bundle.config.data.positive_events, on_sale(dataset.before(start).catalogue()))
    systems: dict[str, Recommend] = {ENGINE: EngineSystem(engine, snapshot, strategy), **source_systems(engine, snapshot, strategy, k)}
    systems[POPULAR_7D] = popularity(*rest, new_only=is_discovery)
    if not is_discovery:
        systems[PERSONAL] = personal_frequency(*rest)
    return systems


def _start(bundle: Bundle) -> np.datetime64:
    if bundle.as_of is None:
        raise DataError(f"bundle {bundle.version} is from a split by position and has no time to be measured at")
    return bundle.as_of


def _rng(title: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big"))

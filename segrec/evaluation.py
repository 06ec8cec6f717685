"""Measuring a bundle as a shop lives: one query per active customer at the cut, the engine beside each source and two baselines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import offline_eval
from offline_eval.baselines import personal_frequency, popularity
from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.facts import ItemFacts, bundle_facts
from offline_eval.metrics import Metric, parse_metrics
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
DISCOVERY = "discovery"
ENGINE, POPULAR_7D, PERSONAL = "engine", "popularity, last 7 days", "personal frequency, half-life 90 days"


def evaluate_bundle(bundle: Bundle, dataset: Dataset, metrics: str, progress: Progress) -> list[EvaluationResult]:
    """All purchases and discovery in the evaluation period after the bundle's as_of.

    Raises:
        DataError: the data end before the period does, nobody bought anything in it, or a metric needs what the shop lacks.
        BundleError: a part of the bundle fails.
    """
    start, end = _period(bundle, dataset)
    about = {"bundle": bundle.version, "from": str(start), "to": str(end)}
    return [summarise(part, _rng(part.title), about=about) for part in measure_bundle(bundle, dataset, metrics, progress)]


def measure_bundle(
    bundle: Bundle, dataset: Dataset, metrics: str, progress: Progress, *, alone: bool = False, facts: ItemFacts | None = None
) -> list[Measurements]:
    """The values behind `evaluate_bundle`, without intervals.

    alone: the engine only, without its sources and the baselines
    facts: what was known of the items; without them what the shop and this bundle know, where a metric needs any
    """
    config = bundle.config.evaluation
    start, end = _period(bundle, dataset)
    known = dataset.before(start).catalogue()
    period = (dataset, start, end, bundle.config.data.positive_events, known.recommendable)
    if facts is None and any(metric.needs_facts for metric in parse_metrics(metrics)):
        facts = bundle_facts(bundle, dataset, start)
    if facts is not None:
        _say_what_earns_nothing(facts, parse_metrics(metrics))
    asked = _Asked(bundle, dataset, parse_metrics(metrics), progress, alone, facts)
    try:
        measured = [asked.measure(config.strategy, "all purchases", relevant_items(*period))]
    except NothingRelevant as error:
        raise DataError(f"bundle {bundle.version} cannot be measured: {error}") from error
    if config.discovery_strategy is not None:
        try:
            measured.append(asked.measure(config.discovery_strategy, DISCOVERY, new_items(*period)))
        except NothingRelevant:
            say("nobody bought anything new in the period: no discovery table")
    return measured


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
    """The system other than the engine with the best mean of the first metric."""
    first = measured.columns(np.arange(len(measured.customers)))[:, 0]
    means = np.nanmean(first, axis=1) * (-1 if parse_metrics(measured.figures[0])[0].lower_is_better else 1)
    others = [system for system in measured.systems if system != ENGINE]
    return max(others, key=lambda system: float(means[measured.systems.index(system)]))


def tables_of(results: Sequence[EvaluationResult], metrics: str, *, short: bool = False) -> list[Table]:
    """What `segrec eval run` and the demo print; short: the figures of all customers only, then the verdicts per tier."""
    figures = figure_tables(results, [str(metric) for metric in parse_metrics(metrics)])
    verdicts = [comparison_table(result.measurements.title, comparisons(result)) for result in results]
    return [*(figures[:1] if short else figures), *verdicts]


@dataclass(frozen=True)
class _Asked:
    """What is asked of a bundle: the same for all its tables."""

    bundle: Bundle
    dataset: Dataset
    metrics: Sequence[Metric]
    progress: Progress
    alone: bool
    facts: ItemFacts | None

    def measure(self, strategy: str, title: str, truth: Truth) -> Measurements:
        """Measure one table."""
        try:
            for metric in self.metrics:
                metric.check(self.facts)
        except ValueError as error:
            raise DataError(f"bundle {self.bundle.version}: {error}") from error
        systems = self._systems(strategy, is_discovery=title == DISCOVERY)
        slices = {"tier": tiers(self.bundle, truth)}
        time = aware(_start(self.bundle))
        return evaluate(systems, truth, time, self.metrics, title=title, slices=slices, progress=self.progress, facts=self.facts)

    def _systems(self, strategy: str, *, is_discovery: bool) -> dict[str, Recommend]:
        """The engine, each of its sources alone, and the baselines that know nothing of the engine."""
        engine, snapshot, start = Engine(self.bundle), Snapshot.of(self.bundle), _start(self.bundle)
        systems: dict[str, Recommend] = {ENGINE: EngineSystem(engine, snapshot, strategy)}
        if self.alone:
            return systems
        systems |= source_systems(engine, snapshot, strategy, max(metric.k for metric in self.metrics))
        eligible = on_sale(self.dataset.before(start).catalogue())
        rest = (self.dataset, start, self.bundle.config.data.positive_events, eligible)
        systems[POPULAR_7D] = popularity(*rest, new_only=is_discovery)
        if not is_discovery:
            systems[PERSONAL] = personal_frequency(*rest)
        return systems


def _say_what_earns_nothing(facts: ItemFacts, metrics: Sequence[Metric]) -> None:
    for name, money in (("Revenue", facts.prices), ("Margin", facts.margins)):
        unknown = int(np.isnan(money[facts.offered]).sum())
        if unknown and any(metric.name == name for metric in metrics):
            say(f"{unknown:,} of {facts.offered.sum():,} offered items have no known {name.lower()}: hits on them count 0 in {name}")


def _period(bundle: Bundle, dataset: Dataset) -> tuple[np.datetime64, np.datetime64]:
    """Start and end of the evaluation period, after a check that bundle and shop can be measured in it."""
    config, start = bundle.config.evaluation, _start(bundle)
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
    return start, end


def _start(bundle: Bundle) -> np.datetime64:
    if bundle.as_of is None:
        raise DataError(f"bundle {bundle.version} is from a split by position and has no time to be measured at")
    return bundle.as_of


def _rng(title: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big"))

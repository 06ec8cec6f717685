"""`segrec eval run` and `segrec eval compare`: ask, measure, and tell: tables, JSON, a page, and what lies behind them as Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_eval.evaluate import Measurements, Recommend
from offline_eval.facts import ItemFacts, bundle_facts, item_facts
from offline_eval.lists import told, write_lists
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.per_customer import write_values
from offline_eval.report import comparison_table, figure_tables
from offline_eval.splits import BUNDLE_SPLITS
from recsys.bundle import Bundle
from recsys.config import DataConfig, EvaluationConfig
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError
from recsys.types import utc64
from segrec.about import of_evaluation
from segrec.arguments import moment
from segrec.asking import Answered, Negatives, Period, Question
from segrec.comparing import Contestant, contestants, period_of, tables_of
from segrec.console import output, say, steps
from segrec.evaluation import ENGINE, METRICS, question_of, reference_of, systems_of
from segrec.evaluation_page import page
from segrec.evaluation_report import Report, for_page, part_of, to_json
from serving.bundles import newest_bundle

TOLD_SLICES = ("overall", "tier")
"""Slices whose figures are printed; the others stand in the comparisons, in JSON and on the page."""

Pairs = Callable[[Measurements], list[tuple[str, str]]]
DataPath = Annotated[Path, typer.Option("--data", help="Folder of an imported shop.")]
Metrics = Annotated[str, typer.Option(help="For example NDCG@10,Recall@100,Novelty@10,Coverage@10.")]
SplitName = Annotated[str, typer.Option("--split", help=f"Whom and what to ask of: {', '.join(BUNDLE_SPLITS)}; see docs/splits.md.")]
NegativesOption = Annotated[
    int | None, typer.Option("--negatives", min=1, help="Rank among so many drawn items instead of all; refused without --insist.")
]
Insist = Annotated[bool, typer.Option("--insist", help="Rank among drawn items although that misleads.")]
Page = Annotated[Path | None, typer.Option("--html", dir_okay=False, help="One self-contained HTML page with pictures.")]
ListsFile = Annotated[Path | None, typer.Option("--lists", dir_okay=False, help="Parquet file for the lists of all systems.")]
Seed = Annotated[int, typer.Option(min=0, help="Of intervals, tests, and the customers who are shown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def eval_run(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a folder of bundles (the newest one counts).")],
    data: DataPath = Path("shops/shop"),
    metrics: Metrics = METRICS,
    split: SplitName = "time",
    html: Page = None,
    per_customer: Annotated[Path | None, typer.Option(dir_okay=False, help="Parquet file for the engine's results per customer.")] = None,
    lists: ListsFile = None,
    negatives: NegativesOption = None,
    insist: Insist = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on what customers bought after its as_of: the engine, each source alone, popularity of the last 7 days.

    Example: segrec eval run bundles/twins --data shops/mine --metrics NDCG@10,Recall@10 --html report.html
    """
    _metrics(metrics)
    loaded = Bundle.load(newest_bundle(bundle))
    with steps() as progress:
        asked = question_of(loaded, Dataset.load(data), metrics, progress, split=split, in_full=True)
        asked = replace(asked, negatives=_negatives(negatives, seed, insist))
        about = _about(asked, data, {ENGINE: loaded}, [], metrics, seed)
        report = _report(asked, systems_of(loaded, asked), lambda measured: [(ENGINE, reference_of(measured))], about, seed)
    if per_customer is not None:
        write_values([part.answered.measurements for part in report.parts], ENGINE, per_customer)
    _tell(report, metrics, html, lists, as_json)


def eval_compare(
    sides: Annotated[
        list[str], typer.Argument(help="Bundles, files of lists, popular, personal; NAME=PATH names one. The first is the reference.")
    ],
    data: DataPath = Path("shops/shop"),
    metrics: Metrics = METRICS,
    cut: Annotated[str | None, typer.Option(help="Without a bundle: lists know everything before this time.")] = None,
    days: Annotated[float | None, typer.Option(help="Without a bundle: length of the period after the cut.")] = None,
    events: Annotated[str | None, typer.Option(help="Without a bundle: events that count as wanting an item.")] = None,
    split: SplitName = "time",
    html: Page = None,
    per_customer: Annotated[Path | None, typer.Option(dir_okay=False, help="Parquet file for all results per customer.")] = None,
    lists: ListsFile = None,
    negatives: NegativesOption = None,
    insist: Insist = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure bundles, lists in files (customer_id, item_id, rank or score) and baselines alike, and compare all with the first.

    Example: segrec eval compare bundles/old bundles/new theirs.csv popular --data shops/mine --html report.html
    """
    wanted = _metrics(metrics)
    if len(sides) < 2:
        raise typer.BadParameter("two sides are needed at least: the reference, and what is compared with it")
    read, dataset = contestants(sides), Dataset.load(data)
    with steps() as progress:
        period = _period(read, dataset, cut, days, events)
        grouping = next((side.bundle for side in read if side.bundle is not None), None)
        asked = Question(period, wanted, progress, _facts(grouping, period, wanted), split, grouping=grouping, in_full=True)
        asked = replace(asked, negatives=_negatives(negatives, seed, insist))
        bundles = {side.name: side.bundle for side in read if side.bundle is not None}
        about = _about(asked, data, bundles, [side.file for side in read if side.file is not None], metrics, seed)
        report = _report(asked, tables_of(read, asked), _against_the_first, about, seed)
    if per_customer is not None:
        write_values([part.answered.measurements for part in report.parts], None, per_customer)
    _tell(report, metrics, html, lists, as_json)


def _negatives(n: int | None, seed: int, insist: bool) -> Negatives | None:
    return None if n is None else Negatives(n, seed, insist)


def _metrics(text: str) -> list[Metric]:
    try:
        metrics = parse_metrics(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if all(metric.is_of_sets for metric in metrics):
        raise typer.BadParameter(f"{text} is of all lists together; add a metric of each list, for example NDCG@10")
    return sorted(metrics, key=lambda metric: metric.is_of_sets)


def _period(sides: Sequence[Contestant], dataset: Dataset, cut: str | None, days: float | None, events: str | None) -> Period:
    """That of the bundles, else of the options."""
    period = period_of(sides, dataset)
    if period is not None:
        if cut is not None or days is not None or events is not None:
            raise typer.BadParameter("--cut, --days and --events are for files of lists; a bundle says itself what it is measured on")
        return period
    if cut is None:
        raise typer.BadParameter("no side is a bundle: --cut must say up to which time the lists know what happened")
    counted = DataConfig().positive_events if events is None else tuple(name.strip() for name in events.split(","))
    return Period.after(utc64(moment(cut)), EvaluationConfig().period_days if days is None else days, dataset, counted)


def _facts(bundle: Bundle | None, period: Period, metrics: Sequence[Metric]) -> ItemFacts | None:
    if not any(metric.needs_facts for metric in metrics):
        return None
    if bundle is None:
        return item_facts(period.dataset, period.start, period.positive_events)
    return bundle_facts(bundle, period.dataset, period.start)


def _about(asked: Question, data: Path, bundles: Mapping[str, Bundle], files: Sequence[Path], metrics: str, seed: int) -> Mapping[str, Any]:
    n = None if asked.negatives is None else asked.negatives.n
    return of_evaluation(asked.period, data, bundles, files, {"kind": asked.split, "negatives": n}, metrics, seed)


def _report(asked: Question, tables: Mapping[str, Mapping[str, Recommend]], pairs: Pairs, about: Mapping[str, Any], seed: int) -> Report:
    answered: list[Answered] = []
    for title, systems in tables.items():
        try:
            found = asked.ask(title, systems)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error
        answered += [] if found is None else [found]
    split = {**about["split"], "may_leak": list(answered[0].may_leak)}
    return Report(tuple(part_of(found, pairs(found.measurements), seed) for found in answered), {**about, "split": split}, seed)


def _against_the_first(measured: Measurements) -> list[tuple[str, str]]:
    return [(system, measured.systems[0]) for system in measured.systems[1:]]


def _tell(report: Report, metrics: str, html: Path | None, lists: Path | None, as_json: bool) -> None:
    """Write the files that were asked for, then print."""
    if lists is not None:
        write_lists({part.title: part.answered.lists for part in report.parts}, lists)
    if html is not None:
        html.write_text(page(for_page(report)), encoding="utf-8")
        say(f"page in {html}")
    if as_json:
        print(json.dumps(to_json(report), ensure_ascii=False, allow_nan=False, indent=2))
        return
    names = [str(metric) for metric in parse_metrics(metrics)]
    for table in figure_tables(report.results, names, TOLD_SLICES):
        output().print(table)
    for part in report.parts:
        for pair in dict.fromkeys((row.system, row.reference) for row in part.comparisons):
            rows = [row for row in part.comparisons if (row.system, row.reference) == pair]
            output().print(comparison_table(part.title, rows))
    for line in _lines(report):
        output().print(line, markup=False, soft_wrap=True)


def _lines(report: Report) -> list[str]:
    """What a reader of the tables must know, and how to make them again."""
    about = report.about
    noticed = [f"note: {part.title}: {line}" for part in report.parts for line in told(part.answered.notices)]
    data, split = about["data"], about["split"]
    versions = ", ".join(f"{name} {version}" for name, version in about["bundles"].items()) or "none"
    made = f"data {data['fingerprint'][:16]}; bundles: {versions}; commit {(about['commit'] or 'none')[:12]}; seed {about['seed']}"
    if split["negatives"] is not None:
        noticed.append(f"note: ranked among {split['negatives']:,} drawn items, not among all: these figures mislead")
    leaks = [f"may leak: {said}" for said in split["may_leak"]]
    return [*noticed, *leaks, f"split {split['kind']}: {split['cut']} to {split['end']}; {made}", f"again: {about['command']}"]

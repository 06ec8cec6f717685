"""`segrec eval leaks`: does anything that a training makes of a shop know the future? Exit 0 = no, 1 = yes, what and where, 2 = usage."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from offline_eval.leaks import Check, Finding, refit
from offline_eval.leaks_tables import early_reviews, id_order, known_targets, repeated_lines, undated
from offline_eval.relevance import NothingRelevant, new_items
from recsys.bundle import Bundle
from recsys.config import Config, load_config, to_json
from recsys.customer_config import LanguageModelConfig
from recsys.data.dataset import Dataset
from recsys.errors import DataError, LeakError
from recsys.features.spec import feature_specs
from recsys.training.leaks import check_leaks
from recsys.training.parts import Fitter
from recsys.training.pipeline import train_on
from recsys.training.rows import Kept, make_rows
from recsys.training.split import RankingPeriod, Split, split_by_time
from recsys.training.stages import Progress, Stages, stage_seed
from recsys.types import utc64
from segrec.about import made_by, of_shop
from segrec.arguments import moment
from segrec.console import output, steps

ENCODED = "encoded"
"""Where a training keeps what it encoded, in its folder of stages; see `recsys.training.runner.Runner.encode`."""

Splitting: TypeAlias = Callable[[Dataset, np.datetime64, Config, np.random.Generator], Split]
Fitting: TypeAlias = Callable[[Config, Stages], Fitter]


def eval_leaks(
    shop: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of an imported shop.")],
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file; without one the defaults.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Time of the training; default: one evaluation period before the data end.")] = None,
    every: Annotated[bool, typer.Option("--every", help="Also as of every later ranking period, not only the first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Train on the shop as it is, and on one without its future, and compare; look for what the tables themselves give away.

    Example: segrec eval leaks shops/mine --config shop.toml --as-of 2024-05-01
    """
    settings, dataset = Config() if config is None else load_config(config), Dataset.load(shop)
    time = _default_time(dataset, settings) if as_of is None else utc64(moment(as_of))
    with steps() as progress, tempfile.TemporaryDirectory(prefix="segrec-leaks-") as work:
        checks = find_leaks(dataset, settings, time, Path(work), progress, every=every)
    if as_json:
        about = {**made_by(), "data": of_shop(dataset, shop), "as_of": str(time), "config": to_json(settings)}
        content = {"passed": not _findings(checks), "checks": [asdict(check) for check in checks], "about": about}
        print(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        output().print(checks_table(checks))
        output().print(headline(checks), soft_wrap=True)
    raise typer.Exit(1 if _findings(checks) else 0)


def find_leaks(
    dataset: Dataset,
    config: Config,
    as_of: np.datetime64,
    work: Path,
    progress: Progress,
    *,
    every: bool = False,
    fitting: Fitting = Fitter,
    splitting: Splitting = split_by_time,
) -> list[Check]:
    """All checks of a shop and of its training, which fits with `fitting` on the split that `splitting` makes.

    Parts are fitted as of the start of the ranker's first period and as of `as_of`; every: as of each period between them too. Rankers
    are not trained: they read nothing but these parts and the labels. No language model is asked.

    Args:
        dataset: all of an imported shop.
        work: an empty folder.

    Raises:
        DataError: nothing happened at or after `as_of`, so nothing could leak; or what lies before it is too short or too thin.
    """
    time = as_of.astype("datetime64[us]")
    if dataset.interactions.times[-1] < time:
        raise DataError(f"the data end at {dataset.interactions.times[-1]}: nothing after {time} could leak; choose an earlier --as-of")
    training = _Training(dataset, config, time, fitting, splitting, progress)
    periods = training.of_shop.periods
    starts = [period.start for period in (periods if every else periods[:1])]
    fitted = refit(dataset, [*starts, time], training.fit, work, _columns(config))
    events, length = config.data.positive_events, np.timedelta64(round(config.training.ranking_period_days * 86_400), "s")
    checks = [fitted.check, _foreseen(training, {start: fitted.whole[start] for start in starts if start in fitted.whole})]
    checks += [repeated_lines(dataset, at, at + length, events) for at in [*starts, time]]
    checks += [_new(dataset, time, length, config), id_order(dataset, events), early_reviews(dataset, time, time + length, events)]
    return [*checks, undated(dataset)]


@dataclass(frozen=True)
class _Training:
    """A training of a shop, as far as parts and labels go."""

    shop: Dataset
    config: Config
    as_of: np.datetime64
    fitting: Fitting
    splitting: Splitting
    progress: Progress

    @cached_property
    def of_shop(self) -> Split:
        """The split of the shop as it is, which takes long and is asked for again and again."""
        return self._split(self.shop)

    def _split(self, dataset: Dataset) -> Split:
        rng = np.random.default_rng(stage_seed(self.config.training.seed, "split"))
        return self.splitting(dataset, self.as_of, self.config, rng)

    def fit(self, dataset: Dataset, time: np.datetime64, work: Path) -> Path:
        """A `Fit`: all parts as of the time, without rankers, and the labels that were complete by then."""
        split = self.of_shop if dataset is self.shop else self._split(dataset)
        stages, parts = work / "stages", _parts_only(self.config)
        _share_encoded(stages, work.parent / ENCODED)
        out = work / "bundles"
        bundle = train_on(_until(split, time), parts, out, work=stages, fitting=self.fitting, progress=self.progress)
        ends = [*(period.start for period in split.periods[1:]), self.as_of]
        for number, (period, end) in enumerate(zip(split.periods, ends, strict=True)):
            if end <= time:
                _write_labels(period, bundle / "labels" / f"{number}-{str(period.start)[:10]}")
        return bundle


def _until(split: Split, time: np.datetime64) -> Split:
    """A split as it would have been at one of its times: what was known, and the first period, in which segments are fitted.

    Other periods and all queries train rankers only, and rankers are not trained.
    """
    starts = [period.start for period in split.periods]
    known = split.periods[starts.index(time)].known if time in starts else split.known
    return Split((replace(split.periods[0], queries=(), later={}),), known, time)


def _parts_only(config: Config) -> Config:
    strategies = {name: strategy.model_copy(update={"ranker": None}) for name, strategy in config.strategies.items()}
    return config.model_copy(update={"rankers": {}, "strategies": strategies, "llm": LanguageModelConfig()})


def _share_encoded(stages: Path, shared: Path) -> None:
    """One cache of encoded texts for all trainings: it is kept by the texts themselves, and reading them takes longest."""
    stages.mkdir(parents=True, exist_ok=True)
    if not (stages / ENCODED).exists():
        shared.mkdir(exist_ok=True)
        (stages / ENCODED).symlink_to(shared.resolve(), target_is_directory=True)


def _write_labels(period: RankingPeriod, folder: Path) -> None:
    folder.mkdir(parents=True)
    queries = period.queries
    np.save(folder / "customers.npy", np.array([query.customer for query in queries], np.int64))
    np.save(folder / "times.npy", np.array([query.time for query in queries], "datetime64[us]"))
    items = {
        "context": [query.context for query in queries],
        "wanted": [query.wanted.tolist() for query in queries],
        "shown": [sorted(query.shown.items()) for query in queries],
    }
    for name, of_queries in items.items():
        (folder / f"{name}.json").write_text(json.dumps(of_queries))


def _foreseen(training: _Training, fitted: dict[np.datetime64, Path]) -> Check:
    """The alarm of every training: no source may find the ranker's labels far better than what came after them."""
    config, found, n_queries = training.config, [], 0
    periods = {period.start: period for period in training.of_shop.periods}
    for start, folder in fitted.items():
        bundle, period = _without_features(Bundle.load(folder)), periods[start]
        n_queries += len(period.queries)
        for name in dict.fromkeys(ranker.train_on for ranker in config.rankers.values()):
            strategy, rng, kept = config.strategies[name], np.random.default_rng(0), Kept(1)  # of the rows nothing is read
            opened, labels = partial(_itself, bundle), (period.queries, period.later)
            rows = make_rows(opened, bundle.features.config, strategy, *labels, kept, rng, training.progress)
            try:
                check_leaks(tuple(strategy.sources), rows.recalls, rows.later, str(start))
            except LeakError as error:
                found.append(Finding(f"sources of strategy {name!r}", str(error), "fit sources on Dataset.before(start) alone"))
    looked_at = f"{n_queries:,} queries of the ranking periods from {', '.join(str(start)[:10] for start in fitted)}"
    return Check("sources and labels", looked_at, tuple(dict.fromkeys(found)))


def _without_features(bundle: Bundle) -> Bundle:
    """The same, of no declared feature: what sources find is asked, and features would take most of the time."""
    return replace(bundle, features=replace(bundle.features, config=bundle.config.model_copy(update={"features": {}})))


def _itself(bundle: Bundle) -> Bundle:
    return bundle


def _new(dataset: Dataset, time: np.datetime64, length: np.timedelta64, config: Config) -> Check:
    events, end = config.data.positive_events, time + length
    try:
        truth = new_items(dataset, time, end, events, dataset.before(time).catalogue().recommendable)
    except NothingRelevant:
        return Check("new means new", f"nobody bought anything new as of {time}")
    return known_targets(truth, dataset, time, events)


def _columns(config: Config) -> dict[str, Sequence[str]]:
    return {"features/items.npy": [spec.name for spec in feature_specs(config) if spec.scope == "item"]}


def _default_time(dataset: Dataset, config: Config) -> np.datetime64:
    """When the twin of a bundle that knows all data is measured."""
    end = dataset.interactions.times[-1] + np.timedelta64(1, "us")
    return np.datetime64(end - np.timedelta64(round(config.evaluation.period_days * 86_400), "s"), "us")


def _findings(checks: Sequence[Check]) -> list[Finding]:
    return [finding for check in checks for finding in check.findings]


def checks_table(checks: Sequence[Check]) -> Table:
    """A row per check, and one per leak under it."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what was looked at, and what was found")
    for check in checks:
        verdict = Text("leak", style="bold red") if check.findings else Text("passed", style="green")
        table.add_row(Text(check.name), verdict, Text(check.looked_at))
        for finding in check.findings:
            table.add_row("", Text(""), Text(f"{finding.where}: {finding.what}\n  -> {finding.mend}"))
        for note in check.notes:
            table.add_row("", Text("note", style="dim"), Text(note, style="dim"))
    return table


def headline(checks: Sequence[Check]) -> Text:
    """The answer in one line."""
    found = _findings(checks)
    if not found:
        return Text(f"PASS: {len(checks)} checks, nothing knew the future", style="green")
    return Text(f"FAIL: {len(found)} leaks: {'; '.join(finding.where for finding in found)}", style="red")

"""What texts, the fine-tuned BERT and the reviews add to the whole engine, and to its content source alone, on a shop as it lives.

    segrec synthetic make worlds/planted
    python -m benchmarks.text_engine worlds/planted/shop --steps 200 --cuts 2

For each cut, one evaluation period apart, a bundle is trained for every way of reading texts, and for a ranking that knows none: it has
neither the content source nor the features that compare texts. They are measured on what customers bought in the period after the cut:
all purchases with the strategy of the front page, discovery (items new to the customer), and of discovery the items that hardly anybody
had bought before the cut. All else in the bundles is the same. Intervals are 95 %, from a bootstrap over customers; differences are
paired. Trained stages and trunks are kept in --work: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from offline_eval.evaluate import Measurements, evaluate, pool
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import Truth, new_items, relevant_items
from offline_eval.significance import bootstrap
from offline_eval.systems import EngineSystem, source_systems
from recsys.bundle import Bundle
from recsys.config import Config, FinetuneConfig, ReviewsConfig, load_config, to_json
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.training.pipeline import train
from recsys.types import aware
from segrec.console import output, steps

METRICS = "NDCG@10,Recall@20"
N_DRAWS_SEED = 5
HARDLY_SOLD = 5
"""Items that fewer customers than this bought before the cut."""
NO_TEXTS, AS_IT_COMES = "no texts", "as it comes"


def main() -> None:
    """Parse, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, help="folder of an imported shop")
    parser.add_argument("--config", type=Path, help="TOML file; all settings but those of texts")
    parser.add_argument("--steps", type=int, default=200, help="updates of the tuned trunk's weights")
    parser.add_argument("--cuts", type=int, default=1, help="so many cuts, one evaluation period apart")
    parser.add_argument("--work", type=Path, default=Path(".text-engine-benchmark"))
    args = parser.parse_args()
    base = Config() if args.config is None else load_config(args.config)
    dataset = Dataset.load(args.shop)
    found: dict[str, list[Measurements]] = {}
    for number in range(args.cuts):
        for part in _measured_at(_cut(dataset, base, number), dataset, _ways(base, dataset, args.steps), args.work):
            found.setdefault(part.title, []).append(part)
    for parts in found.values():
        output().print(_table(pool(parts)))


def _ways(base: Config, dataset: Dataset, n_steps: int) -> dict[str, Config]:
    """Ways of reading texts."""
    untuned = base.model_copy(update={"finetune": FinetuneConfig()})
    tuned = base.model_copy(update={"finetune": base.finetune.model_copy(update={"n_steps": n_steps})})
    ways = {NO_TEXTS: without_texts(untuned), AS_IT_COMES: untuned, "tuned": tuned}
    if (dataset.folder / "reviews.parquet").is_file():
        unread = ReviewsConfig(item_weight=0, customer_weight=0)
        ways["as it comes, reviews unread"] = untuned.model_copy(update={"reviews": unread})
    return ways


def _content_sources(config: Config) -> set[str]:
    """Names of the sources that search by what texts say."""
    return {name for name, source in config.sources.items() if source.kind == "content"}


def without_texts(config: Config) -> Config:
    """The same without content sources, in strategies too, and without features of what they say."""
    raw = to_json(config)
    content = _content_sources(config)
    raw["sources"] = {name: source for name, source in raw["sources"].items() if name not in content}
    raw["features"] = {name: feature for name, feature in raw["features"].items() if feature["source"] not in content}
    for strategy in raw["strategies"].values():
        strategy["sources"] = {name: n for name, n in strategy["sources"].items() if name not in content}
    return Config.model_validate(raw)


def _cut(dataset: Dataset, config: Config, number: int) -> np.datetime64:
    period = np.timedelta64(round(config.evaluation.period_days * 86_400), "s")
    return np.asarray(dataset.interactions.times[-1] + np.timedelta64(1, "us") - (number + 1) * period)[()]


def _measured_at(cut: np.datetime64, dataset: Dataset, ways: Mapping[str, Config], work: Path) -> list[Measurements]:
    """All purchases and discovery after one cut."""
    systems: dict[str, dict[str, Any]] = {"all purchases": {}, "discovery": {}}
    for name, config in ways.items():
        with steps() as progress:
            bundle = Bundle.load(train(dataset, config, cut, work / "bundles", work=work / "stages", progress=progress))
        output().print(f"{str(cut)[:10]}, {name}: {bundle.manifest['texts']['review_weights']}, {bundle.manifest['texts']['finetuning']}")
        engine, snapshot = Engine(bundle), Snapshot.of(bundle)
        discovery = config.evaluation.discovery_strategy or config.evaluation.strategy
        systems["all purchases"][f"engine, {name}"] = EngineSystem(engine, snapshot, config.evaluation.strategy)
        systems["discovery"][f"engine, {name}"] = EngineSystem(engine, snapshot, discovery)
        for source in _content_sources(config).intersection(config.strategies[discovery].sources):
            systems["discovery"][f"{source} alone, {name}"] = source_systems(engine, snapshot, discovery, 20)[source]
    measured = []
    for title, truth in truths(dataset, cut, next(iter(ways.values()))).items():
        asked = systems["all purchases" if title == "all purchases" else "discovery"]
        measured.append(evaluate(asked, truth, aware(cut), parse_metrics(METRICS), title=title))
    return measured


def truths(dataset: Dataset, cut: np.datetime64, config: Config) -> dict[str, Truth]:
    """What customers bought in the period after the cut: everything, what was new to them, and what of that hardly anybody had bought."""
    known, events = dataset.before(cut), config.data.positive_events
    end = cut + np.timedelta64(round(config.evaluation.period_days * 86_400), "s")
    recommendable = known.catalogue().recommendable
    lines = known.interactions
    bought = np.isin(lines.events, dataset.event_codes(events)) & (lines.customers >= 0)
    _, items = np.unique(np.stack([lines.customers[bought], lines.items[bought]]), axis=1)
    hardly_sold = np.bincount(items, minlength=len(recommendable)) < HARDLY_SOLD
    rare = f"discovery of items bought by fewer than {HARDLY_SOLD} customers"
    return {
        "all purchases": relevant_items(dataset, cut, end, events, recommendable),
        "discovery": new_items(dataset, cut, end, events, recommendable),
        rare: new_items(dataset, cut, end, events, recommendable & hardly_sold),
    }


def _table(measured: Measurements) -> Table:
    """Each system, and how far it is from the same without texts, and with texts as they come."""
    n = len(set(measured.customers))
    table = Table(title=f"{measured.title}: {len(measured.customers):,} queries of {n:,} customers", box=box.SIMPLE_HEAD)
    table.add_column("system")
    for metric in measured.metrics:
        for heading in (metric, "95 %", f"against {NO_TEXTS}", f"against {AS_IT_COMES}"):
            table.add_column(heading, justify="right")
    drawn = [
        bootstrap(measured.customers, measured.values[:, column].T, np.random.default_rng(N_DRAWS_SEED))
        for column in range(len(measured.metrics))
    ]
    for row, system in enumerate(measured.systems):
        cells = []
        for draws in drawn:
            mean = draws.mean(row)
            cells += [f"{mean.estimate:.4f}", f"[{mean.low:.4f}, {mean.high:.4f}]"]
            for way in (NO_TEXTS, AS_IT_COMES):
                reference = f"{system.split(',')[0]}, {way}"
                base = measured.systems.index(reference) if reference in measured.systems else row
                apart = draws.relative(row, base) if row != base else None
                cells.append("" if apart is None else f"{apart.estimate:+.1%} [{apart.low:+.1%}, {apart.high:+.1%}]")
        table.add_row(system, *cells)
    return table


if __name__ == "__main__":
    main()

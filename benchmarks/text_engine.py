"""What the fine-tuned BERT and the reviews add to the whole engine, and to its content source alone, on a shop as it lives.

    segrec synthetic make worlds/planted
    python -m benchmarks.text_engine worlds/planted/shop --steps 200 --cuts 2

For each cut, one evaluation period apart, a bundle is trained for every way of reading texts
and measured on what customers bought in the period after it: all purchases with the strategy of the front page, and discovery (items new
to the customer). All else in the bundles is the same. Intervals are 95 %, from a bootstrap over customers; differences are paired.
Trained stages and trunks are kept in --work: a run that was stopped goes on where it was.
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
from offline_eval.relevance import new_items, relevant_items
from offline_eval.significance import bootstrap
from offline_eval.systems import EngineSystem, source_systems
from recsys.bundle import Bundle
from recsys.config import Config, FinetuneConfig, ReviewsConfig, load_config
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.training.pipeline import train
from recsys.types import aware
from segrec.console import output, steps

METRICS = "NDCG@10,Recall@20"
CONTENT = "content"
N_DRAWS_SEED = 5


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
        for part in _measured_at(_cut(dataset, base, number), dataset, _ways(base, args.steps), args.work):
            found.setdefault(part.title, []).append(part)
    for parts in found.values():
        output().print(_table(pool(parts)))


def _ways(base: Config, n_steps: int) -> dict[str, Config]:
    """Ways of reading texts, the first one the reference."""
    none, chosen = ReviewsConfig(item_weight=0, customer_weight=0), base.reviews
    tuned = base.finetune.model_copy(update={"n_steps": n_steps})
    return {
        "as it comes, no reviews": base.model_copy(update={"reviews": none, "finetune": FinetuneConfig()}),
        "as it comes, with reviews": base.model_copy(update={"reviews": chosen, "finetune": FinetuneConfig()}),
        "tuned, with reviews": base.model_copy(update={"reviews": chosen, "finetune": tuned}),
    }


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
        systems["discovery"][f"content alone, {name}"] = source_systems(engine, snapshot, discovery, 20)[CONTENT]
    config = next(iter(ways.values()))
    end = cut + np.timedelta64(round(config.evaluation.period_days * 86_400), "s")
    period = (dataset, cut, end, config.data.positive_events, dataset.before(cut).catalogue().recommendable)
    truths = {"all purchases": relevant_items(*period), "discovery": new_items(*period)}
    return [evaluate(systems[title], truth, aware(cut), parse_metrics(METRICS), title=title) for title, truth in truths.items()]


def _table(measured: Measurements) -> Table:
    """Each system, and how far it is from the same with texts as they come."""
    n = len(set(measured.customers))
    table = Table(title=f"{measured.title}: {len(measured.customers):,} queries of {n:,} customers", box=box.SIMPLE_HEAD)
    table.add_column("system")
    for metric in measured.metrics:
        for heading in (metric, "95 %", "against as it comes"):
            table.add_column(heading, justify="right")
    drawn = [
        bootstrap(measured.customers, measured.values[:, column].T, np.random.default_rng(N_DRAWS_SEED))
        for column in range(len(measured.metrics))
    ]
    for row, system in enumerate(measured.systems):
        base = measured.systems.index(f"{system.split(',')[0]}, as it comes, no reviews")
        cells = []
        for draws in drawn:
            mean = draws.mean(row)
            apart = draws.relative(row, base) if row != base else None
            share = "" if apart is None else f"{apart.estimate:+.1%} [{apart.low:+.1%}, {apart.high:+.1%}]"
            cells += [f"{mean.estimate:.4f}", f"[{mean.low:.4f}, {mean.high:.4f}]", share]
        table.add_row(system, *cells)
    return table


if __name__ == "__main__":
    main()

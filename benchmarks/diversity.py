"""What diversity costs: NDCG and the variety of the list for growing values of a strategy's `diversity`, in one run.

    python -m benchmarks.diversity bundles/ --data shops/complete-journey
    python -m benchmarks.diversity bundles/ --data shops/complete-journey --values 0,0.2 --customers 500

The bundle has to know nothing after its as_of, and the shop has to reach 28 days beyond it: those are the truth, of all purchases for
the strategies without the filter `bought` and of items new to the customer for the others. Intervals are 95 %, from customers drawn
anew; differences are from the same draws. "diversity" is the mean of 1 - cosine over the pairs of a list, by the texts' embeddings;
"categories" the share of its pairs that are of different categories.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from offline_eval.evaluate import Measurements, evaluate
from offline_eval.facts import bundle_facts
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import Truth, new_items, relevant_items
from offline_eval.significance import Interval, bootstrap
from offline_eval.systems import EngineSystem
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.strategy import StrategySet
from recsys.types import aware
from segrec.console import output, steps
from serving.bundles import newest_bundle

METRICS = ("NDCG@10", "Diversity@10", "CategoryDiversity@10")
DAYS = 28
SEED = 4


def main() -> None:
    """Measure every ranked strategy of a bundle and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the imported shop")
    parser.add_argument("--values", default="0,0.1,0.3,0.5", help="values of diversity; the first is compared with")
    parser.add_argument("--customers", type=int, default=None, help="so many customers, drawn at random; default: all")
    args = parser.parse_args()
    if not args.data.is_dir():
        raise SystemExit(f"there is no folder {args.data}; `segrec import` makes one")
    bundle, dataset = Bundle.load(newest_bundle(args.bundles)), Dataset.load(args.data)
    values = [float(value) for value in args.values.split(",")]
    for name, strategy in bundle.config.strategies.items():
        if strategy.ranker is not None:
            output().print(_table(name, values, _measure(bundle, dataset, name, values, args.customers)))


def _measure(bundle: Bundle, dataset: Dataset, name: str, values: Sequence[float], n_customers: int | None) -> Measurements:
    assert bundle.as_of is not None
    snapshot, strategy = Snapshot.of(bundle), bundle.config.strategies[name]
    named = {f"{value:g}": strategy.model_copy(update={"diversity": value}) for value in values}
    choices = replace(snapshot, strategies=StrategySet(named, next(iter(named)), ()))
    with steps() as progress:
        return evaluate(
            {value: EngineSystem(Engine(bundle), choices, value) for value in named},
            _truth(bundle, dataset, "bought" in strategy.filters, n_customers),
            aware(bundle.as_of),
            parse_metrics(",".join(METRICS)),
            title=name,
            progress=progress,
            facts=bundle_facts(bundle, dataset, bundle.as_of),
        )


def _truth(bundle: Bundle, dataset: Dataset, is_discovery: bool, n_customers: int | None) -> Truth:
    assert bundle.as_of is not None
    end = bundle.as_of + np.timedelta64(DAYS, "D")
    truth = (new_items if is_discovery else relevant_items)(
        dataset, bundle.as_of, end, bundle.config.data.positive_events, bundle.catalogue.recommendable
    )
    known = sorted(customer for customer in truth if bundle.customers.number(customer) is not None)
    if n_customers is not None and n_customers < len(known):
        known = np.random.default_rng(SEED).choice(np.array(known), n_customers, replace=False).tolist()
    return {customer: truth[customer] for customer in known}


def _table(name: str, values: Sequence[float], measured: Measurements) -> Table:
    """A row per value of diversity: each metric with its interval, and the change of NDCG from the first value's."""
    columns = np.concatenate([of_system.T for of_system in measured.values], axis=1)  # (n, n_systems * n_metrics)
    draws, width = bootstrap(measured.customers, columns, np.random.default_rng(SEED)), len(METRICS)
    table = Table(title=f"strategy {name}, {len(measured.customers)} customers", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("diversity =", "NDCG@10", f"change from {values[0]:g}", "%", "diversity", "categories"):
        table.add_column(heading, justify="right")
    for row, value in enumerate(values):
        at = row * width
        change, share = _figure(draws.difference(at, 0), "+"), f"{100 * draws.relative(at, 0).estimate:+.1f}"
        varied = [_figure(draws.mean(at + more)) for more in (1, 2)]
        table.add_row(f"{value:g}", _figure(draws.mean(at)), change, share, *varied)
    return table


def _figure(interval: Interval, sign: str = "") -> str:
    estimate, low, high = (f"{number:{sign}.4f}".replace("0.", ".") for number in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


if __name__ == "__main__":
    main()

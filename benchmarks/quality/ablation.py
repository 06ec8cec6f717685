"""What each source and each family of features brings: the ranker learnt anew without it, and asked the same.

    python -m benchmarks.quality.ablation --set beauty
    python -m benchmarks.quality.ablation --set shops/mine --customers 3000 --json ablation.json

By the protocol "refit" of `benchmarks.quality`, without the query's time. Candidates and features are made once, by the product's own
training and request path. Then each system is a ranker that learns the same rows with some columns empty: those of a source, together
with the candidates that only it proposed, or those of a family. Differences are paired by customer; intervals are 95 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.published import SETS
from benchmarks.quality.__main__ import SETTINGS
from benchmarks.quality.leave_one_out import HIDDEN
from benchmarks.quality.ranks import STRATEGY, Doubles
from benchmarks.quality.sets import open_counted
from offline_eval.significance import Interval, bootstrap
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from recsys.data.leave_last import leave_last
from recsys.errors import RecsysError
from recsys.features.spec import feature_names, feature_specs
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.pipeline import rows_by_position, train_by_position
from recsys.training.rows import Kept, Rows, make_rows
from recsys.training.split import MIN_SEQUENCE, LabelledQuery, query_times, split_by_position
from recsys.training.stages import Progress
from recsys.types import Flags, Ints
from segrec.console import output, say, steps

K = 10
SEED = 6
ALL_CANDIDATES = 1_000_000
FAMILIES = {
    "links of items, all sources": ("link",),
    "scores of any item by sources": ("source",),
    "what sold until then": ("now", "item"),
    "brand and category of customer and item": ("pair",),
    "the customer": ("customer",),
    "when and where the query is asked": ("query",),
}
"""Scopes of `recsys.features.spec` that make a family."""


@dataclass(frozen=True)
class Part:
    """What is left out. columns: of features that are empty then; source: whose candidates go too, None = nobody's"""

    name: str
    columns: NDArray[np.intp]
    source: str | None = None


@dataclass(frozen=True)
class Asked:
    """All candidates of the customers asked, and which is wanted; n: customers, those without a wanted candidate included."""

    rows: Rows
    n: int


def main() -> None:
    """Train, ask, leave out one part after the other, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, help=f"{', '.join(SETS)}, or a folder: an imported shop, or tables of one")
    parser.add_argument("--customers", type=int, default=7000, help="asked, at most")
    parser.add_argument("--config", type=Path, default=SETTINGS, help="TOML file with a strategy and a ranker called 'next'")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path(".quality-benchmark"), help="folder for shops and kept stages")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    try:
        dataset, config = open_counted(args.set, args.data, args.work, load_config(args.config))
        with steps() as progress:
            known, asked = _rows(dataset, config, args.customers, args.work / "stages", progress)
            found = {part.name: _ndcg(known, asked, config, part, progress) for part in parts_of(config)}
    except RecsysError as error:
        parser.exit(1, f"{error}\n")
    told = contributions(found)
    output().print(_table(args.set, found, told))
    if args.json is not None:
        args.json.write_text(json.dumps({name: asdict(interval) for name, interval in told.items()}, indent=1), encoding="utf-8")


def parts_of(config: Config) -> list[Part]:
    """Nothing, then each source that the strategy asks with all that it says, then each family of features."""
    names, specs = feature_names(config), feature_specs(config)
    parts = [Part("nothing", np.empty(0, np.intp))]
    for source in config.strategies[STRATEGY].sources:
        own = {f"{source}_score", f"{source}_rank", *(spec.name for spec in specs if spec.source == source)}
        parts.append(Part(f"source {source}", np.flatnonzero([name in own for name in names]), source))
    told = {f"{source}_{what}" for source in config.strategies[STRATEGY].sources for what in ("score", "rank")} | {"n_sources"}
    parts.append(Part("scores and ranks of candidates in their sources", np.flatnonzero([name in told for name in names])))
    for family, scopes in FAMILIES.items():
        own = {spec.name for spec in specs if spec.scope in scopes}
        parts.append(Part(family, np.flatnonzero([name in own for name in names])))
    return [part for part in parts if part.name == "nothing" or len(part.columns)]


def without(rows: Rows, part: Part, config: Config) -> Rows:
    """The rows with the part's columns empty, less what else only a source knew: the candidates that nobody else proposed, and its vote
    in how many did; queries with no wanted candidate left go."""
    features = np.array(rows.features)
    kept = np.ones(len(features), np.bool_)
    features[:, part.columns] = np.nan
    if part.source is not None:
        names, sources = feature_names(config), config.strategies[STRATEGY].sources
        n_sources = np.isfinite(features[:, [names.index(f"{source}_rank") for source in sources]]).sum(axis=1)
        features[:, names.index("n_sources")] = n_sources
        kept = n_sources > 0
    return _taken(replace(rows, features=features), kept)


def _taken(rows: Rows, kept: Flags) -> Rows:
    """Some of the rows, of queries with a wanted one among them."""
    of_query = np.repeat(np.arange(len(rows.sizes)), rows.sizes)
    left = {name: getattr(rows, name)[kept] for name in ("features", "labels", "positions")}
    sizes = np.bincount(of_query[kept], minlength=len(rows.sizes)).astype(np.int32)
    teaches = np.bincount(of_query[kept], left["labels"], minlength=len(sizes)) > 0
    return replace(rows, sizes=sizes, **left).of_queries(teaches)


def contributions(found: Mapping[str, Doubles]) -> dict[str, Interval]:
    """By part the relative change of NDCG@10 when it is left out, paired by customer."""
    whole = found["nothing"]
    told = {}
    for name, values in found.items():
        drawn = bootstrap([str(row) for row in range(len(whole))], np.stack([values, whole], axis=1), np.random.default_rng(SEED))
        told[name] = drawn.relative(0, 1)
    return told


def _rows(dataset: Dataset, config: Config, n: int, work: Path, progress: Progress) -> tuple[Rows, Asked]:
    """What the ranker learns from, and all candidates of some of the customers asked."""
    split = split_by_position(dataset, config, HIDDEN["refit"], at_target=False)
    known = rows_by_position(split, config, STRATEGY, work=work, progress=progress).parted()[0]
    trained = train_by_position(split, config, work=work, progress=progress)
    past, wanted = leave_last(dataset, dataset.event_codes(config.data.positive_events), HIDDEN["refit"], MIN_SEQUENCE)
    times = query_times(past, wanted, at_target=False)
    drawn = np.sort(np.random.default_rng(SEED).permutation(len(wanted))[:n])
    queries = [LabelledQuery(int(wanted.customers[at]), times[at], (), wanted.items[at : at + 1]) for at in drawn]
    rng, n_processes = np.random.default_rng(SEED), config.training.n_threads
    rows = make_rows(trained.open, config, config.strategies[STRATEGY], queries, {}, Kept(ALL_CANDIDATES), rng, progress, n_processes)
    return known, Asked(rows.parted()[0], len(queries))


def _ndcg(known: Rows, asked: Asked, config: Config, part: Part, progress: Progress) -> Doubles:
    """NDCG@10 of each customer asked, of a ranker that learnt without the part, as `placed`; float64 (n,)."""
    say(f"without {part.name}")
    learnt, settings, n_threads = [without(known, part, config)], config.rankers[STRATEGY], config.training.n_threads
    ranker = fit_lambdamart(learnt, feature_names(config), settings, seed=SEED, n_threads=n_threads, progress=progress)
    rows = without(asked.rows, part, config)
    scores, of_query = ranker.score(rows.features), np.repeat(np.arange(len(rows.sizes)), rows.sizes)
    best = np.full(len(rows.sizes), -np.inf)
    np.maximum.at(best, of_query[rows.labels > 0], scores[rows.labels > 0])
    above = np.bincount(of_query, scores > best[of_query], minlength=len(rows.sizes))
    equal = np.bincount(of_query, scores == best[of_query], minlength=len(rows.sizes))
    ranks = np.where(np.isfinite(best), 1 + above + (equal - 1) / 2, np.inf)
    gains = np.where(ranks <= K, 1 / np.log2(np.minimum(ranks, K) + 1), 0.0)
    return placed(gains, rows.customers, asked)


def placed(gains: Doubles, customers: Ints, asked: Asked) -> Doubles:
    """By customer asked, in one order whatever was left out: who has no wanted candidate then gained nothing. float64 (n,)

    gains: of the customers, who are some of those of `asked.rows`; those who have no wanted candidate in any case come last
    """
    told = np.zeros(asked.n)
    told[np.searchsorted(asked.rows.customers, customers)] = gains  # they are asked by rising number
    return told


def _table(name: str, found: Mapping[str, Doubles], told: Mapping[str, Interval]) -> Table:
    table = Table(title=f"{name}, refit: {len(found['nothing']):,} customers", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("left out", "NDCG@10", "against the whole [95 %]"):
        table.add_column(heading, justify="left" if heading == "left out" else "right")
    for part, values in found.items():
        change = told[part]
        against = "" if part == "nothing" else f"{change.estimate:+.1%} [{change.low:+.1%}, {change.high:+.1%}]"
        table.add_row(part, f"{values.mean():.4f}", against)
    return table


if __name__ == "__main__":
    main()

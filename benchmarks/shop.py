"""Quality as a shop lives, over several rolling cuts pooled.

    python -m benchmarks.shop --data shops/complete-journey --cuts 3

At every cut a bundle is trained on what was known by then and measured on the 28 days after it, one query per active customer.
Intervals are 95 %, from a bootstrap over customers (each with all of their cuts). Two verdicts per table: the engine against the
personal frequency (all purchases), and against every single source.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from offline_eval.evaluate import Measurements, pool
from offline_eval.report import comparison_table, figure_tables, show
from offline_eval.result import Comparison, EvaluationResult, compare, summarise, without_nan
from recsys.bundle import Bundle
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from recsys.training.pipeline import train
from recsys.training.stages import Progress, Stages
from segrec.console import steps
from segrec.evaluation import ENGINE, METRICS, kept_evaluation

SEED = 20


def main() -> None:
    """Train, measure, pool, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("shops/complete-journey"), help="folder of an imported shop")
    parser.add_argument("--config", type=Path, help="TOML file; without one the defaults")
    parser.add_argument("--cuts", type=int, default=3, help="how many, one evaluation period apart, the last one period before the end")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many of the latest periods, to choose settings on earlier data")
    parser.add_argument("--out", type=Path, default=Path("bundles"), help="folder for bundles and kept stages")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    config = Config() if args.config is None else load_config(args.config)
    with steps() as progress:
        by_cut = list(_measured(Dataset.load(args.data), config, args.cuts, args.skip, args.out, progress))
    pooled = [pool([results[table].measurements for results in by_cut]) for table in range(len(by_cut[0]))]
    results = [summarise(part, np.random.default_rng(SEED)) for part in pooled]
    show(figure_tables(results, METRICS.split(",")))
    verdicts = [list(_verdicts(part)) for part in pooled]
    show([comparison_table(part.title, rows) for part, found in zip(pooled, verdicts, strict=True) for rows in found])
    if args.json is not None:
        figures = [{"title": result.measurements.title, "figures": [asdict(figure) for figure in result.figures]} for result in results]
        compared = [asdict(row) for found in verdicts for rows in found for row in rows]
        args.json.write_text(json.dumps(without_nan({"results": figures, "comparisons": compared}), indent=1), encoding="utf-8")


def _measured(dataset: Dataset, config: Config, cuts: int, skip: int, out: Path, progress: Progress) -> Iterator[list[EvaluationResult]]:
    """Results of each cut, the latest first."""
    period = np.timedelta64(round(config.evaluation.period_days * 86_400), "s")
    end = dataset.interactions.times[-1] + np.timedelta64(1, "us")
    for number in range(skip + 1, skip + cuts + 1):
        path = train(dataset, config, end - number * period, out / "twins", work=out / ".work", progress=progress)
        yield kept_evaluation(Bundle.load(path), dataset, METRICS, Stages(out / ".work", progress))


def _verdicts(measured: Measurements) -> Iterator[tuple[Comparison, ...]]:
    """The engine against each other system."""
    for system in measured.systems:
        if system != ENGINE:
            yield compare(measured, ENGINE, system, np.random.default_rng(SEED))


if __name__ == "__main__":
    main()

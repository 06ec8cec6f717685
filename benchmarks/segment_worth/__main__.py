"""What segments and value tiers are worth in the engine: with, without, and with shuffled ones, on a shop as it lives.

    python -m benchmarks.segment_worth --shop shops/complete-journey --cuts 2 --shuffles 2
    python -m benchmarks.segment_worth --shop worlds/planted/shop --cuts 1 --json worth.json

At each cut, one evaluation period apart, an engine is trained for every variant by the training of the product and measured on what
customers bought in the period after it: all purchases, and discovery (items new to the customer); with whole histories, and with
histories cut down to the last few baskets, profiles included. "without" puts everybody into one segment and one tier; "shuffled" gives
each customer the segment and tier of another one. Nothing else differs. Intervals are 95 %, from a bootstrap over customers with all of
their cuts; differences are paired. What is done is kept in --work: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.segment_worth.measuring import Study, cuts, measured
from benchmarks.segment_worth.tables import beside, figures, sentences, thin, to_json, verdicts
from benchmarks.segment_worth.variants import SHUFFLED, WITH, WITHOUT, Variant
from offline_eval.evaluate import Measurements, pool
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from segrec.console import output, steps


def main(arguments: list[str] | None = None) -> None:
    """Parse, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shop", type=Path, required=True, help="folder of an imported shop")
    parser.add_argument("--config", type=Path, help="TOML file; without one the defaults")
    parser.add_argument("--cuts", type=int, default=2, help="how many, the latest one evaluation period before the end of the data")
    parser.add_argument("--shuffles", type=int, default=2, help="how many shuffled variants")
    parser.add_argument("--lengths", default="1,2,3,5", help="baskets that histories are cut down to")
    parser.add_argument("--thin-customers", type=int, default=500, help="customers measured with histories of each such length, at most")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--work", type=Path, default=Path(".segment-worth"), help="folder of what is kept")
    args = parser.parse_args(arguments)
    config = Config() if args.config is None else load_config(args.config)
    lengths = tuple(int(length) for length in args.lengths.split(",") if length)
    variants = [Variant(WITH), Variant(WITHOUT), *(Variant(SHUFFLED, number + 1) for number in range(args.shuffles))]
    with steps() as progress:
        study = Study(Dataset.load(args.shop), config, args.work, lengths, args.thin_customers, progress)
        tables = _pooled(study, args.cuts, variants)
    tables += thin(tables)
    for table in tables:
        output().print(figures(table), verdicts(table))
    for table in tables:
        output().print(*sentences(table), sep="\n")
    if args.json is not None:
        args.json.write_text(json.dumps(to_json(tables), indent=1), encoding="utf-8")


def _pooled(study: Study, n_cuts: int, variants: list[Variant]) -> list[Measurements]:
    """Each table with all variants, over all cuts that have it."""
    by_title: dict[str, list[Measurements]] = {}
    for cut in cuts(study, n_cuts):
        of_variants = [{part.title: part for part in measured(study, cut, variant)} for variant in variants]
        for title in of_variants[0]:
            by_title.setdefault(title, []).append(beside([found[title] for found in of_variants]))
    return [pool(parts) for parts in by_title.values()]


if __name__ == "__main__":
    main()

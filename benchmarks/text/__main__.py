"""Parse, run, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import benchmarks.text
from benchmarks.text import cold, instruments, intents, next_item, reviews, sentiment, study
from benchmarks.text.bench import Bench, run_on, settings_of
from recsys.config import TextConfig

RUNS: dict[str, Callable[[Bench], None]] = {
    "next-item": next_item.run,
    "reviews": reviews.run,
    "instruments": instruments.run,
    "cold": cold.run,
    "sentiment": sentiment.run,
    "intents": intents.run,
    "study": study.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 1 where the public data are not there."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.text", description=benchmarks.text.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(RUNS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--shop", choices=["beauty", "sports_outdoors"], default="beauty", help="for next-item and cold")
    parser.add_argument("--work", type=Path, default=Path(".text-benchmark"), help="folder for what is kept between runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="updates of the weights; unset = as the measurement has it")
    parser.add_argument("--trunk", default=TextConfig().trunk, help="the BERT that is measured")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the fine-tuning, in JSON")
    args = parser.parse_args(arguments)
    settings = settings_of(args.set)
    if args.steps is not None:
        settings["n_steps"] = args.steps
    bench = Bench(args.data, args.work, args.shop, args.threads, args.trunk, settings)
    return run_on(bench, RUNS[args.what])


if __name__ == "__main__":
    sys.exit(main())

"""Parse, run, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import benchmarks.understanding
from benchmarks.text.bench import Bench, run_on, settings_of
from benchmarks.understanding import aspects, chinese, distilled, few_shot, label_errors
from recsys.config import TextConfig

RUNS: dict[str, Callable[[Bench], None]] = {
    "chinese": chinese.run,
    "few-shot": few_shot.run,
    "aspects": aspects.run,
    "distilled": distilled.run,
    "label-errors": label_errors.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 1 where the public data are not there."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.understanding",
        description=benchmarks.understanding.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=sorted(RUNS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path(".understanding-benchmark"), help="folder for what is kept between runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trunk", default=TextConfig().trunk, help="the BERT that is measured")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every fine-tuning, in JSON")
    parser.add_argument("--model", type=Path, help="for distilled: a .gguf file or folder; unset = that of the package")
    parser.add_argument("--world", type=Path, default=label_errors.WORLD, help="for label-errors: folder of a planted world")
    args = parser.parse_args(arguments)
    settings = settings_of(args.set)
    bench = Bench(args.data, args.work, "", args.threads, args.trunk, settings)
    runs: dict[str, Callable[[Bench], None]] = {
        **RUNS,
        "distilled": partial(distilled.run, model=args.model),
        "label-errors": partial(label_errors.run, world=args.world),
    }
    return run_on(bench, runs[args.what])


if __name__ == "__main__":
    sys.exit(main())

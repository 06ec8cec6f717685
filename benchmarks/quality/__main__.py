"""Ranking quality, by the protocol of the published tables and as a shop lives.

    python -m benchmarks.quality --set beauty
    python -m benchmarks.quality --set sports --protocol pure
    python -m benchmarks.quality --set shops/mine --json quality.json
    python -m benchmarks.quality --set completejourney --cuts 6

Leave-one-out (beauty, sports, any folder): each customer's last item is to be found among all items that they do not have. One run
trains the engine and each of its sources by the product's own training path and prints them side by side, with what was published
where there is any.

pure    the ranker learns the third item from the end, with sources that know what was before it, and the fourth likewise
        (training.n_ranking_periods); these are fitted anew, with the same settings, on all but the last two items, as the published
        models are; the last item but one is history, never training
refit   the same one step later, as a shop would do: everything but the last item is learnt

A query is asked just after what its customer did last; a row "with the query's time" asks at the day of the wanted item, as some
published models do. No feature looks at the order of lines of one time: in the published files it is the order of item ids.
Settings are in benchmarks/quality/settings.toml, the same for every set; --validate measures by the last item but one, which they
were chosen by.

rolling (completejourney, online_retail; any shop with --protocol rolling): at every cut, four weeks apart, a bundle of all before it, by
        the product's default settings, is asked once for each customer who bought in the four weeks after it; all purchases,
        discovery and the next basket, beside each source, EASE and two baselines, and with histories cut down to a few baskets

Stages are kept in --work: a run that was stopped goes on where it was, and the seconds that are printed are of what this run made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.published import SETS
from benchmarks.quality.leave_one_out import HIDDEN, Measured, measure
from benchmarks.quality.published import CUTOFFS, PUBLISHED
from benchmarks.quality.rolling import Plan, measure_rolling
from benchmarks.quality.sets import SHOPS, open_counted
from benchmarks.quality.table import figures, headline, table
from benchmarks.quality.verdicts import for_json, tables
from offline_eval.report import show
from recsys.config import Config, load_config
from recsys.errors import RecsysError
from recsys.training.split import MIN_SEQUENCE
from segrec.console import output, say, steps

SETTINGS = Path(__file__).with_name("settings.toml")
BOTH, ROLLING = "both", "rolling"
TIMES = {"none": (False,), "target": (True,), "both": (False, True)}


def main() -> None:
    """Parse, train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, help=f"{', '.join((*SETS, *SHOPS))}, or a folder: an imported shop, or tables of one")
    parser.add_argument("--protocol", choices=[*HIDDEN, BOTH, ROLLING], help=f"default: {BOTH}; for {' and '.join(SHOPS)} {ROLLING}")
    parser.add_argument("--time", choices=list(TIMES), default="both", help="rows that do not use the query's time, that do, or both")
    parser.add_argument("--validate", action="store_true", help="measure by the last item but one; with --protocol pure only")
    parser.add_argument("--cuts", type=int, default=6, help="rolling: how many, the last one evaluation period before the end")
    parser.add_argument("--skip", type=int, default=0, help="rolling: leave out so many of the latest periods, to choose settings")
    parser.add_argument("--thin", type=int, default=200, help="rolling: customers asked with each length of shortened histories")
    parser.add_argument("--config", type=Path, help="TOML file; leave-one-out needs a strategy and a ranker called 'next'")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path(".quality-benchmark"), help="folder for shops and kept stages")
    parser.add_argument("--json", type=Path, help="write all figures, with intervals, to this file")
    args = parser.parse_args()
    protocol = args.protocol or (ROLLING if args.set in SHOPS else BOTH)
    if args.validate and protocol != "pure":
        parser.error("--validate goes with --protocol pure: the refitted sources know the validation items")
    try:
        found = _rolling(args) if protocol == ROLLING else _measured(args, list(HIDDEN) if protocol == BOTH else [protocol])
    except RecsysError as error:
        parser.exit(1, f"{error}\n")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _rolling(args: argparse.Namespace) -> dict[str, Any]:
    """Figures by title and system; tables go to stdout."""
    settings = Config() if args.config is None else load_config(args.config)
    dataset, config = open_counted(args.set, args.data, args.work, settings)
    say(f"{args.set}: {dataset}; {args.cuts} cuts, {config.evaluation.period_days:g} days apart")
    with steps() as progress:
        measured = measure_rolling(dataset, config, Plan(args.cuts, args.skip, args.thin), args.work, progress)
    show(tables(args.set, measured))
    return for_json(measured)


def _measured(args: argparse.Namespace, protocols: list[str]) -> dict[str, dict[str, Any]]:
    """Figures by protocol and system; tables go to stdout as they are found."""
    settings = load_config(SETTINGS if args.config is None else args.config)
    dataset, config = open_counted(args.set, args.data, args.work, settings)
    counted = ", ".join(config.data.positive_events)
    say(f"{args.set}: {dataset}; what counts: {counted}; customers with {MIN_SEQUENCE} or more items are asked for")
    found: dict[str, dict[str, Any]] = {}
    for protocol in protocols:
        rows: dict[str, Measured] = {}
        for at_target in TIMES[args.time]:
            name = "with the query's time" if at_target else ""
            with steps() as progress:
                options: Mapping[str, Any] = {"at_target": at_target, "validate": args.validate, "work": args.work / "stages"}
                rows[name] = measure(dataset, config, protocol, progress=progress, **options)
            say(f"{protocol} {name}: the engine reaches {headline(rows[name])}".replace(" :", ":"))
        title = f"{args.set}, {protocol}" + (", validation items" if args.validate else "")
        output().print(table(title, rows, {} if args.validate else PUBLISHED.get(args.set, {}) if protocol == "pure" else {}))
        found[protocol] = figures(rows, CUTOFFS)
    return found


if __name__ == "__main__":
    main()

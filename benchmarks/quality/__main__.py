"""Ranking quality by the protocol of the published tables: leave-one-out, the whole catalogue, every customer counted.

    python -m benchmarks.quality --set beauty
    python -m benchmarks.quality --set sports --protocol pure
    python -m benchmarks.quality --set shops/mine --json quality.json

Each customer's last item is to be found among all items that they do not have. One run trains the engine and each of its sources by the
product's own training path and prints them side by side, with what was published where there is any.

pure    the ranker learns the third item from the end, with sources that know what was before it; these are fitted anew, with the same
        settings, on all but the last two items, as the published models are; the last item but one is history, never training
refit   the same one step later, as a shop would do: everything but the last item is learnt

A query is asked just after what the customer did last; a row "with the query's time" asks at the day of the wanted item, as some
published models do. No feature looks at the order of lines of one time: in the published files it is the order of item ids.
Settings are in benchmarks/quality/settings.toml, the same for every set; --validate measures by the last item but one, which they
were chosen by. Stages are kept in --work: a run that was stopped goes on where it was.
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
from benchmarks.quality.sets import events_that_count, open_set
from benchmarks.quality.table import figures, headline, table
from recsys.config import load_config
from recsys.errors import RecsysError
from recsys.training.split import MIN_SEQUENCE
from segrec.console import output, say, steps

SETTINGS = Path(__file__).with_name("settings.toml")
TIMES = {"none": (False,), "target": (True,), "both": (False, True)}


def main() -> None:
    """Parse, train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, help=f"{', '.join(SETS)}, or a folder: an imported shop, or tables in the data contract")
    parser.add_argument("--protocol", choices=[*HIDDEN, "both"], default="both")
    parser.add_argument("--time", choices=list(TIMES), default="both", help="rows that do not use the query's time, that do, or both")
    parser.add_argument("--validate", action="store_true", help="measure by the last item but one; with --protocol pure only")
    parser.add_argument("--config", type=Path, default=SETTINGS, help="TOML file with a strategy and a ranker called 'next'")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path(".quality-benchmark"), help="folder for shops and kept stages")
    parser.add_argument("--json", type=Path, help="write all figures, with intervals, to this file")
    args = parser.parse_args()
    protocols = list(HIDDEN) if args.protocol == "both" else [args.protocol]
    if args.validate and protocols != ["pure"]:
        parser.error("--validate goes with --protocol pure: the refitted sources know the validation items")
    try:
        found = _measured(args, protocols)
    except RecsysError as error:
        parser.exit(1, f"{error}\n")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _measured(args: argparse.Namespace, protocols: list[str]) -> dict[str, dict[str, Any]]:
    """Figures by protocol and system; tables go to stdout as they are found."""
    dataset, config = open_set(args.set, args.data, args.work), load_config(args.config)
    events = events_that_count(dataset, config.data.positive_events)
    config = config.model_copy(update={"data": config.data.model_copy(update={"positive_events": events})})
    say(f"{args.set}: {dataset}; what counts: {', '.join(events)}; customers with {MIN_SEQUENCE} or more items are asked for")
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

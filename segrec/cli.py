"""`segrec`, one command for everything. Results go to stdout, progress to stderr; exit 0, 1 (failed, and why) or 2 (usage)."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from recsys.bundle import Bundle, verify
from recsys.config import Config, explain, load_config, to_json
from recsys.data.dataset import Dataset
from recsys.data.importers import SOURCES, open_shop
from recsys.data.importing import import_shop
from recsys.engine import Engine, Snapshot
from recsys.errors import RecsysError
from recsys.types import MAX_K, Query, aware, utc64
from segmentation.errors import SegmentationError
from segrec.arguments import moment, share_of
from segrec.console import Stopwatch, fail, output, say, steps
from segrec.demo import run_demo
from segrec.eval_commands import eval_compare, eval_run
from segrec.evaluation import METRICS, tables_of
from segrec.gate import eval_gate
from segrec.leaks import eval_leaks
from segrec.off_policy import off_policy
from segrec.segment import app as segment_app
from segrec.shipping import ship
from segrec.show import (
    explain_tables,
    headline,
    key_lines,
    manifest_tables,
    recommendation_json,
    recommendation_table,
    report_table,
    rows_of,
    rules_table,
)
from segrec.synthetic import app as synthetic_app
from segrec.text import app as text_app
from segrec.tune import tune
from segrec.worth.command import worth
from serving.bundles import Bundles, newest_bundle
from serving.server import serve as serve_until_stopped
from serving.settings import ServerSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=__doc__)
eval_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure bundles offline.")
app.add_typer(eval_app, name="eval")
eval_app.command("run")(eval_run)
eval_app.command("compare")(eval_compare)
eval_app.command("worth")(worth)
eval_app.command("off-policy")(off_policy)
eval_app.command("gate")(eval_gate)
eval_app.command("leaks")(eval_leaks)
app.command("tune")(tune)
app.add_typer(text_app, name="text")
app.add_typer(segment_app, name="segment")
app.add_typer(synthetic_app, name="synthetic")

STOPPED = 130
"""Exit code after Ctrl-C."""

BundlePath = Annotated[Path, typer.Argument(help="A bundle, or a folder of bundles (the newest one counts).")]
DataPath = Annotated[Path, typer.Option("--data", help="Folder of an imported shop.")]
ConfigPath = Annotated[
    Path | None, typer.Argument(exists=True, dir_okay=False, help="TOML file; without one all settings have their defaults.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help=f"What to read: {', '.join(SOURCES)}.")],
    path: Annotated[Path | None, typer.Argument(help="Folder or file to read; complete_journey finds its package without one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("shops/shop"),
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file that maps other column names; for tables.")
    ] = None,
    max_bad: Annotated[str, typer.Option(help="Share of bad rows per table above which nothing is written, for example 1%.")] = "1%",
    as_json: AsJson = False,
) -> None:
    """Read, check and store a shop.

    Example: segrec import tables my-shop/ --mapping columns.toml --out shops/mine
    """
    allowed = share_of(max_bad)
    with steps() as progress:
        report = import_shop(open_shop(source, path, mapping), out, allowed, progress, now=dt.datetime.now(dt.UTC))
    if as_json:
        print(json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    else:
        output().print(report_table(report))
        print(f"shop in {out}; next: segrec train --data {out} --out bundles/")


@app.command()
def train(
    config: ConfigPath = None,
    data: DataPath = Path("shops/shop"),
    out: Annotated[Path, typer.Option(help="Folder for bundles.")] = Path("bundles"),
    as_of: Annotated[
        str | None, typer.Option(help="Use only what happened before this time: 2024-05-01 or 2024-05-01T18:30:00+02:00; default: all.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Train and measure a twin that ends one period earlier.")] = True,
    former: Annotated[
        Path | None,
        typer.Option(help="Earlier bundle, or a folder of them: segments keep the ids that they have there, and customers their segments."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a bundle. A run that was stopped goes on where it was; unchanged stages are not run again.

    Example: segrec train shop.toml --data shops/mine --out bundles/
    """
    settings = _config(config)
    end = None if as_of is None else utc64(moment(as_of))
    with steps() as progress:
        earlier = None if former is None else newest_bundle(former)
        shipped = ship(Dataset.load(data), settings, out, progress, as_of=end, measure=measure, former=earlier)
    if as_json:
        print(json.dumps({"bundle": str(shipped.path), "twin": None if shipped.twin is None else str(shipped.twin)}))
        return
    for table in tables_of(shipped.results, METRICS, short=True):
        output().print(table)
    print(f"bundle in {shipped.path}; next: segrec recommend {out} --customer ID, segrec inspect {out}, segrec serve {out}")


@app.command()
def recommend(
    bundle: BundlePath,
    customer: Annotated[str | None, typer.Option(help="Customer id; none = a guest.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Items wanted.")] = 10,
    context: Annotated[list[str] | None, typer.Option(help="Id of an item being looked at; may be repeated.")] = None,
    cart: Annotated[list[str] | None, typer.Option(help="Id of an item in the cart; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Id of an item not to show; may be repeated.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Name of a strategy; none = chosen by tier and segment.")] = None,
    placement: Annotated[str, typer.Option(help="Where the list is shown.")] = "home",
    time: Annotated[
        str | None, typer.Option(help="Time of the query, such as 2024-05-01T18:30:00Z; none = where the bundle's data end.")
    ] = None,
    explained: Annotated[
        bool,
        typer.Option("--explain", help="Reasons from what each feature added to the score; show the time of each stage and the features."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer one query from a bundle, without a server.

    Example: segrec recommend bundles/ --customer 2070 -k 5 --explain
    """
    loaded = Bundle.load(newest_bundle(bundle))
    if loaded.as_of is None:
        raise RecsysError(f"bundle {loaded.version} is from a split by position and answers no queries at a time")
    when = aware(loaded.as_of) if time is None else moment(time)
    if utc64(when) < loaded.as_of:
        raise typer.BadParameter(f"{time} is earlier than {loaded.as_of}, up to where bundle {loaded.version} knows all that happened")
    query = Query(
        k=k,
        time=when,
        customer_id=customer,
        placement=placement,
        context_item_ids=tuple(context or ()),
        cart_item_ids=tuple(cart or ()),
        excluded_item_ids=tuple(exclude or ()),
        strategy=strategy,
        explain=explained,
    )
    watch = Stopwatch()
    answer = Engine(loaded).recommend(query, Snapshot.of(loaded), watch)
    names = loaded.features.names
    if as_json:
        stages = {"stages_ms": dict(watch.stages)} if explained else {}
        print(json.dumps({**recommendation_json(answer, names), **stages}, ensure_ascii=False, indent=1))
        return
    titles = dict(zip(loaded.catalogue.items.ids, loaded.catalogue.titles, strict=True))
    output().print(recommendation_table(headline(answer), rows_of(answer, titles)))
    if (rules := rules_table(answer)) is not None:
        output().print(rules)
    if answer.trace.missing_item_ids:
        say(f"not in the catalogue: {', '.join(answer.trace.missing_item_ids)}")
    for table in explain_tables(answer, names, watch.stages, titles) if explained else []:
        output().print(table)


@app.command()
def serve(
    bundles: Annotated[Path, typer.Argument(help="A bundle, or a folder of bundles; SIGHUP loads the newest again.")] = Path("bundles"),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 = all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = 50051,
    max_workers: Annotated[int, typer.Option(min=1, help="Calls answered at once.")] = os.cpu_count() or 2,
    budget_ms: Annotated[float, typer.Option(min=1, help="Time for an answer; then optional parts are left out.")] = 200.0,
) -> None:
    """Serve the newest bundle over gRPC until SIGTERM or Ctrl-C; calls in flight are finished.

    Example: segrec serve bundles/ --port 50051
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = ServerSettings(host=host, port=port, max_workers=max_workers, budget_ms=budget_ms)
    serve_until_stopped(settings, Bundles(bundles), say)


@app.command()
def inspect(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Verify a bundle and show what is in it: data, versions, sizes, metrics of its twin, feature shift.

    Example: segrec inspect bundles/
    """
    manifest = verify(newest_bundle(bundle))
    if as_json:
        print(json.dumps(manifest, ensure_ascii=False, indent=1))
        return
    for table in manifest_tables(manifest):
        output().print(table)


@app.command()
def config(
    config: ConfigPath = None,
    explain_keys: Annotated[bool, typer.Option("--explain", help="List every key with its default, meaning and type.")] = False,
) -> None:
    """Check a configuration and show all its settings, or say what each key means.

    Example: segrec config --explain
    """
    if explain_keys:
        print("\n".join(key_lines(explain())))
    else:
        print(json.dumps(to_json(_config(config)), indent=1, ensure_ascii=False))


@app.command()
def demo(
    data: DataPath = Path("shops/complete-journey"),
    out: Annotated[Path, typer.Option(help="Folder for bundles.")] = Path("bundles"),
    keep_serving: Annotated[bool, typer.Option("--serve", help="Leave the server running afterwards.")] = False,
) -> None:
    """Import a year of grocery purchases, train, measure, serve, and ask the server for some households.

    Example: segrec demo
    """
    run_demo(data, out)
    if keep_serving:
        serve(out)


def main() -> None:
    """The command line; a failure that a person can mend is one line, not a traceback."""
    try:
        app(prog_name="segrec")
    except (RecsysError, SegmentationError, OSError) as error:
        fail(str(error))
        sys.exit(1)
    except SystemExit as left:
        if left.code == STOPPED:
            say("stopped; given again, the same command goes on where it was, if it trains, fits or makes a planted shop")
        raise


def _config(path: Path | None) -> Config:
    return Config() if path is None else load_config(path)

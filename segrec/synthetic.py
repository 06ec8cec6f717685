"""`segrec synthetic`: make a shop whose truth is known, score the engine against it, let its customers answer lists."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from recsys.bundle import Bundle
from recsys.config import Config, load_config
from recsys.data.importers import open_shop
from recsys.data.importing import REPORT_FILE, import_shop
from recsys.keys import keys
from recsys.synthetic.config import WorldConfig, load_world_config, parse_world_config
from recsys.synthetic.writing import SHOP, TABLES, TRUTH, write_world
from recsys.training.stages import Progress
from recsys.types import MAX_K
from segrec.beside_truth import beside_truth
from segrec.console import output, say, steps
from segrec.recovery import score_notes, score_table, score_world, scores_to_json, scores_to_markdown
from segrec.show import key_lines, report_table
from segrec.simulated import simulation_tables
from segrec.simulation import simulate_world
from serving.bundles import newest_bundle

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)

World = Annotated[Path, typer.Argument(help="Folder of a world, from `segrec synthetic make`.")]
EarlyBundle = Annotated[Path, typer.Argument(help="A bundle trained on the world's shop that ends before it does, such as a twin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="Folder to make; gets tables/, shop/ and truth/.")],
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file with settings; see `segrec synthetic config`.")
    ] = None,
    customers: Annotated[int | None, typer.Option(help="Customers; overrides the file.")] = None,
    items: Annotated[int | None, typer.Option(help="Items; overrides the file.")] = None,
    days: Annotated[int | None, typer.Option(help="Length of the history in days; overrides the file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; overrides the file.")] = None,
    null: Annotated[bool, typer.Option("--null", help="Segments, texts, tiers and prices carry nothing.")] = False,
    texts: Annotated[bool, typer.Option("--texts/--no-texts", help="Write descriptions, reviews and messages.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="Blocks of customers made at once.")] = os.cpu_count() or 1,
) -> None:
    """Make a shop with planted truth. A run that was stopped goes on where it was.

    Example: segrec synthetic make worlds/planted --customers 2000 --items 1000 --days 365 --seed 1
    """
    sizes: dict[str, object] = {"n_customers": customers, "n_items": items, "n_days": days, "seed": seed}
    settings = _settings(config, {name: value for name, value in sizes.items() if value is not None} | ({} if texts else {"texts": False}))
    with steps() as progress:
        make_world(settings.null() if null else settings, out, progress, processes)
    say(f"world in {out}: what the shop sees in {out / SHOP}, what is true in {out / TRUTH}")
    say(f"next: segrec train --data {out / SHOP} --out bundles/, or segrec synthetic score {out}")


def make_world(settings: WorldConfig, out: Path, progress: Progress, n_processes: int) -> Path:
    """Write a world and import its tables as any shop's; returns the folder of the imported shop.

    Raises:
        DataError: `out` holds something else.
    """
    write_world(settings, out, progress, n_processes)
    shop = out / SHOP
    if not (shop / REPORT_FILE).is_file():
        allowed = min(1.0, 0.01 + settings.mess.duplicates)  # a repeated event_id is refused
        report = import_shop(open_shop("tables", out / TABLES), shop, allowed, progress)
        output().print(report_table(report))
    return shop


@app.command()
def customer(
    world: World,
    bundle: EarlyBundle,
    customer: Annotated[str | None, typer.Option(help="Customer id; none = the middle one of the highest tier.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Items wanted.")] = 10,
) -> None:
    """Show who the engine thinks a customer is beside who they are, and its list beside what they will truly want.

    Example: segrec synthetic customer worlds/planted bundles/twins --customer c42
    """
    beside = beside_truth(world, Bundle.load(newest_bundle(bundle)), customer, k)
    output().print(beside.who())
    output().print(beside.shown())


@app.command()
def score(
    world: World,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file of the training; without one all settings have defaults.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the bundle; default: the world's own, beside its shop.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a document.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train on the shop, and print how much of the truth each part recovers, beside chance and the best possible.

    Example: segrec synthetic score worlds/planted
    """
    settings = Config() if config is None else load_config(config)
    with steps() as progress:
        scores = score_world(world, world / "scored" if out is None else out, settings, progress)
    if as_json:
        print(scores_to_json(scores))
    elif markdown:
        print(scores_to_markdown(scores), end="")
    else:
        output().print(score_table(scores))
        output().print("\n".join(score_notes(scores)), markup=False)


@app.command()
def simulate(
    world: World,
    bundle: EarlyBundle,
    strategy: Annotated[list[str] | None, typer.Option(help="Strategy to try; may be repeated. Default: home and discovery.")] = None,
    customers: Annotated[int, typer.Option(min=1, help="Customers who come.")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="Length of the simulation, from the bundle's time on.")] = 28,
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Items of a list.")] = 10,
    over_grpc: Annotated[bool, typer.Option("--grpc", help="Ask a real server, not the engine in this process.")] = False,
    by_persona: Annotated[bool, typer.Option("--by-persona", help="Show the planted segments apart.")] = False,
    seed: Annotated[int, typer.Option(help="Of the customers' luck.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Let planted customers answer lists: what each strategy brings, by the truth and as luck had it, beside the best possible.

    Example: segrec synthetic simulate worlds/planted bundles/twins --strategy home --strategy discovery --customers 1000
    """
    with steps() as progress:
        result = simulate_world(
            world,
            bundle,
            customers,
            days,
            k,
            tuple(strategy or ("home", "discovery")),
            over_grpc,
            progress,
            by="persona" if by_persona else None,
            seed=seed,
        )
    if as_json:
        print(result.to_json())
        return
    for table in simulation_tables(result):
        output().print(table)


@app.command()
def config(path: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="TOML file to check.")] = None) -> None:
    """List every setting of a world with its default and meaning; with a file, check it and show all its settings.

    Example: segrec synthetic config
    """
    if path is None:
        print("\n".join(key_lines(keys(WorldConfig))))
    else:
        print(json.dumps(load_world_config(path).model_dump(mode="json"), indent=1))


def _settings(path: Path | None, changes: dict[str, object]) -> WorldConfig:
    base = WorldConfig() if path is None else load_world_config(path)
    return parse_world_config(base.model_dump() | changes, "options")

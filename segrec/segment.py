"""`segrec segment`: who the customers are; segments and the rest of the profiles, without training a whole bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.training.stages import alone
from segmentation.choice import MIN_STABILITY
from segrec.console import output, say, steps
from segrec.segment_folder import Json, check_out, end_of, open_fitted, write_fitted
from segrec.segment_page import money, page, percent
from segrec.segment_profiles import SUFFIXES, profile_json, profile_lines, read_held, table_of, write_table
from segrec.segment_reading import fit_anew, profiles_by, report_by, titles_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who the customers are: fit segments, assign customers, describe them.")

WORK = ".work"

Model = Annotated[
    Path, typer.Argument(help="A folder from `segrec segment fit`, a bundle, or a folder of bundles (the newest one counts).")
]
AsOf = Annotated[
    str | None, typer.Option(help="Use only what happened before this time: 2024-05-01 or 2024-05-01T18:30:00+02:00; default: all.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def fit(
    config: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="TOML file; without one all settings have their defaults.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of an imported shop.")] = Path("shops/shop"),
    as_of: AsOf = None,
    out: Annotated[Path, typer.Option(help="Folder for the segmentation; an earlier one there is replaced.")] = Path("segments"),
    former: Annotated[
        Path | None, typer.Option(help="An earlier segmentation or bundle: where most customers stay, its segments keep their ids.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit segments, tiers, value, churn and lifecycle alone. A run that was stopped goes on where it was.

    `segrec train` does the same for a bundle, before its first ranking period.

    Example: segrec segment fit shop.toml --data shops/mine --as-of 2024-05-01 --out segments/may
    """
    check_out(out)
    settings = Config() if config is None else load_config(config)
    earlier = None if former is None else open_fitted(former)
    shop = Dataset.load(data)
    end = end_of(shop, as_of)
    if earlier is not None and earlier.model.fitted_as_of > end:
        raise DataError(f"--former {former} was fitted on what was known before {earlier.model.fitted_as_of}, later than --as-of {end}")
    work = out.with_name(out.name + WORK)
    with alone(work), steps() as progress:
        fitted, parts = fit_anew(shop.before(end), end, settings, work, progress, earlier)
        write_fitted(out, fitted, parts)
    report: Json = fitted.report or {}
    if as_json:
        print(json.dumps({"segmentation": str(out), **_told(report), "succession": fitted.succession}, ensure_ascii=False))
        return
    output().print(_segments(report))
    for line in (*_why(report), *_moved(fitted.succession), *report["notes"]):
        print(line)
    print(f"segmentation in {out}; next: segrec segment describe {out} --out report.html, segrec segment assign {out} --data {data}")


@app.command()
def assign(
    model: Model,
    data: Annotated[Path, typer.Option(help="Folder of an imported shop.")] = Path("shops/shop"),
    as_of: AsOf = None,
    out: Annotated[Path | None, typer.Option(help="File to write, .parquet or .csv: a row per customer who has bought.")] = None,
    customer: Annotated[str | None, typer.Option(help="Show this customer's profile, and why.")] = None,
    previous: Annotated[
        Path | None, typer.Option(help="File of an earlier assign: who is in a segment leaves it only for a clearly likelier one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give every customer a segment, tier, stage, value and churn probability; nothing is fitted.

    A new customer gets a profile from the first purchase on.

    Example: segrec segment assign segments/may --data shops/mine --as-of 2024-06-01 --out profiles.parquet
    """
    if out is None and customer is None:
        raise typer.BadParameter("say what is wanted: --out FILE for all customers, or --customer ID for one")
    if out is not None and out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"--out {out} must end in one of {', '.join(SUFFIXES)}")
    fitted, shop = open_fitted(model), Dataset.load(data)
    end = end_of(shop, as_of, fitted.model.fitted_as_of)
    known = shop.before(end)
    held = None if previous is None else read_held(previous, known.customers, fitted.lineage)
    if held is not None and held.as_of > end:
        raise DataError(f"--previous {previous} holds profiles of {held.as_of}, later than {end}; name earlier ones, or a later --as-of")
    with steps() as progress:
        profiles = profiles_by(fitted, known, end, progress, held)
    numbers = {id_: number for number, id_ in enumerate(known.customers.ids)}
    if out is not None:
        table = table_of(profiles, known.customers.ids, fitted.lineage[0])
        write_table(table, out)
        say(f"{len(table):,} customers in {out}; {len(profiles) - len(table):,} have not bought anything and have no profile")
    if customer is None:
        if as_json:
            print(json.dumps({"profiles": str(out), "customers": len(table), "without_purchase": len(profiles) - len(table)}))
        return
    profile = profiles.profile(numbers.get(customer, -1), customer)
    if profile is None:
        raise DataError(f"customer {customer!r} has bought nothing before {str(end)[:19]} in {data}, so there is no profile")
    if as_json:
        print(json.dumps(profile_json(profile), ensure_ascii=False, indent=1))
        return
    names = dict(zip(profiles.segment_ids, profiles.segment_names, strict=True))
    output().print(_lines(f"{customer} as of {str(end)[:19]}", profile_lines(profile, titles_of(known), names)))


@app.command()
def describe(
    model: Model,
    out: Annotated[Path, typer.Option(help="HTML file to write; it needs nothing beside it, and no network.")] = Path("segments.html"),
    data: Annotated[
        Path | None, typer.Option(help="Folder of an imported shop; default: the customers that the segments were fitted on.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="With --data: describe the customers as of this time; default: that of the fit.")
    ] = None,
) -> None:
    """Write a report to read: who is in which segment, what they are worth, what they buy, and how far it can be trusted.

    With --data it also says what came true, where the data go on for a whole horizon after the time described.

    Example: segrec segment describe segments/may --data shops/mine --out report.html
    """
    if data is None and as_of is not None:
        raise typer.BadParameter("--as-of needs --data: a segmentation keeps only what it was fitted on")
    fitted = open_fitted(model)
    if data is not None:
        shop = Dataset.load(data)
        end = end_of(shop, as_of or str(fitted.model.fitted_as_of), fitted.model.fitted_as_of)
        with steps() as progress:
            report: Json = report_by(fitted, shop, end, progress)
    elif fitted.report is not None:
        report = fitted.report
    else:
        raise typer.BadParameter(f"{model} is a bundle, which keeps no customers to describe; add --data FOLDER")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}-{os.getpid()}")
    unfinished.write_text(page(report, fitted.succession), encoding="utf-8")
    unfinished.replace(out)
    print(f"report in {out}; open it in a browser")


def _segments(report: Json) -> Table:
    horizon, n_customers = f"{report['horizon_days']:g} days", report["n_customers"]
    table = Table(title=f"segments as of {report['as_of'][:10]}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("id", "name", "customers", "share", f"value in {horizon}", f"no purchase in {horizon}"):
        table.add_column(heading, justify="left" if heading in ("id", "name") else "right")
    for segment in report["segments"]:
        figures = money(_middle(segment["value"])), percent(_middle(segment["churn"]))
        table.add_row(segment["id"], Text(segment["name"]), f"{segment['n']:,}", percent(segment["n"] / n_customers), *figures)
    everybody = report["everybody"]
    figures = money(_middle(everybody["value"])), percent(_middle(everybody["churn"]))
    table.add_row("", "everybody (of each group: the middle customer)", f"{n_customers:,}", "100%", *figures)
    return table


def _middle(spread: Json | None) -> float | None:
    return None if spread is None else float(spread["middle"])


def _why(report: Json) -> Iterator[str]:
    """Why there are so many segments."""
    n, candidates, n_asked = len(report["segments"]), report["choice"], report["n_asked"]
    if n_asked is not None:
        fewer = "" if n == n_asked else f" for {n_asked}: customers do not part into more"
        yield f"{n} segment{'s' * (n > 1)}, as the configuration asks{fewer}."
        return
    known = [row for row in candidates if row["stability"] is not None]
    if not known:
        yield f"{n} segment{'s' * (n > 1)}: nothing was compared."
        return
    best = max(known, key=lambda row: row["stability"])
    tried = f"{candidates[0]['n_segments']} to {candidates[-1]['n_segments']} segments were tried"
    if best["stability"] < MIN_STABILITY:
        yield f"{n} segment{'s' * (n > 1)}: {tried}, and none come out again when customers are drawn anew (stability < {MIN_STABILITY})."
        return
    dependable = max(known, key=lambda row: row["stability"] - row["deviation"])
    yield (
        f"{n} segments: {tried}; most dependably stable are {dependable['n_segments']} (stability {dependable['stability']:.2f} ± "
        f"{dependable['deviation']:.2f}, 1 = the same customers come together again), and of those hardly less so the best silhouette "
        "decides."
    )


def _moved(succession: Json | None) -> Iterator[str]:
    """What became of the former segments."""
    if succession is not None:
        parts = {"stayed": succession["kept"], "new": succession["new"], "retired": succession["retired"]}
        said = "; ".join(f"{what}: {', '.join(ids) or 'none'}" for what, ids in parts.items())
        yield f"against the {succession['former']}: {said}; {percent(succession['moved_share'])} of the customers have another segment now."


def _told(report: Json) -> dict[str, Any]:
    """What a machine wants to know of a fit."""
    names = ("as_of", "horizon_days", "n_customers", "n_outliers", "tiers", "choice", "method", "notes")
    of_segment = ("id", "name", "is_named_by_terms", "n", "value", "churn", "tiers", "stages")
    segments = [{name: segment[name] for name in of_segment} for segment in report["segments"]]
    return {**{name: report[name] for name in names}, "segments": segments}


def _lines(title: str, lines: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    for what, said in lines:
        table.add_row(what, Text(said))
    return table

"""`segrec eval worth`: what segments, value tiers and the language model bring on a shop, and what the language model takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_eval.evaluate import Measurements
from offline_eval.result import without_nan
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from segrec.about import PROTOCOL, made_by, of_shop
from segrec.console import output, steps
from segrec.language_model import language_model
from segrec.worth.measuring import METRICS, Found, Study, found_by_cut
from segrec.worth.prices import Took, price_table
from segrec.worth.tables import SEED, pooled, show, to_json
from segrec.worth.variants import variants_of


def worth(
    shop: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of an imported shop.")],
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file; without one the defaults.")] = None,
    n_cuts: Annotated[int, typer.Option("--cuts", min=1, help="How many, the latest one evaluation period before the end.")] = 2,
    n_shuffles: Annotated[int, typer.Option("--shuffles", min=0, help="How many shuffled variants.")] = 2,
    n_seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each variant at each cut, averaged.")] = 1,
    lengths: Annotated[str, typer.Option(help="Baskets that histories are cut down to, with commas between.")] = "1,2,3,5",
    customers: Annotated[int | None, typer.Option(min=1, help="Customers measured with whole histories at each cut, at most.")] = None,
    thin_customers: Annotated[int, typer.Option(min=1, help="Customers measured with histories of each such length, at most.")] = 500,
    work: Annotated[Path, typer.Option(help="Folder of what is kept: a run that was stopped goes on where it was.")] = Path(".worth"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Train and measure the engine with its segments, without, with shuffled ones, and without needs and language model if it has them.

    Example: segrec eval worth shops/complete-journey --cuts 2 --shuffles 2
    """
    baskets = _lengths(lengths)
    settings = Config() if config is None else load_config(config)
    dataset = Dataset.load(shop)
    with steps() as progress, language_model(settings, dataset) as model:
        study = Study(dataset, settings, work, baskets, thin_customers, customers, n_seeds, model, progress)
        found = found_by_cut(study, n_cuts, variants_of(settings, n_shuffles))
    tables = pooled(found)
    took = next(iter(found.values())).took[0]
    if as_json:
        print(json.dumps(without_nan(_content(shop, study, found, tables, took)), ensure_ascii=False, allow_nan=False, indent=1))
    else:
        _print(tables, took)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        lengths = tuple(int(length) for length in text.split(",") if length)
    except ValueError as error:
        raise typer.BadParameter(f"--lengths {text!r} are no numbers of baskets; write for example 1,2,5") from error
    if any(length < 1 for length in lengths):
        raise typer.BadParameter(f"--lengths {text!r}: a history has at least 1 basket")
    return lengths


def _content(shop: Path, study: Study, found: dict[tuple[str, str], Found], tables: list[Measurements], took: Took) -> dict[str, Any]:
    seed = {"training": study.config.training.seed, "intervals": SEED}
    about = {
        **made_by(),
        "data": of_shop(study.dataset, shop),
        "split": {"kind": "time", "cuts": list(dict.fromkeys(cut for cut, _ in found)), "days": study.config.evaluation.period_days},
        "protocol": {"metrics": METRICS, **PROTOCOL},
        "bundles": {f"{variant}, {cut}": of.bundles for (cut, variant), of in found.items()},
        "seed": seed,
    }
    price = None if took.model is None else {**asdict(took), "for_1000_customers": took.for_thousand()}
    return {"about": about, "tables": to_json(tables), "language_model": price}


def _print(tables: list[Measurements], took: Took) -> None:
    show(tables)
    if took.model is None:
        output().print("the configuration names no language model, so nothing is priced")
    else:
        output().print(price_table(took))

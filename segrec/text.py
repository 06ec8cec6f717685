"""`segrec text`: fine-tune the BERT on a shop's own texts, and ask it what reads alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from recsys.bundle import Bundle, text_config
from recsys.candidates.content import ItemTexts
from recsys.config import Config, load_config
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError, RecsysError
from recsys.text.encoder import load_encoder
from recsys.text.finetune import METRICS
from recsys.training.finetuning import fit_trunk
from recsys.training.stages import alone, stage_seed, written_whole
from recsys.types import Floats, utc64
from segrec.arguments import moment
from segrec.console import output, steps
from serving.bundles import newest_bundle

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fine-tune the BERT, and ask it what reads alike.")

STEPS = 400
WORK = ".work"


@app.command()
def finetune(
    config: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="TOML file; its [text] and [finetune] count here.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of an imported shop.")] = Path("shops/shop"),
    out: Annotated[Path, typer.Option(help="Folder for the tuned BERT; text.trunk may name it.")] = Path("trunks/tuned"),
    as_of: Annotated[str | None, typer.Option(help="Learn only from what was known before this time; default: all.")] = None,
    n_steps: Annotated[int | None, typer.Option("--steps", min=1, help=f"Updates; default: finetune.n_steps, or {STEPS}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Fine-tune the BERT on what a shop's customers bought and wrote. A run that was stopped goes on where it was.

    `segrec train` does this by itself where finetune.n_steps is above 0, with a trunk for every cut in time. A trunk made here knows all
    until --as-of, and training refuses it where the first ranking period begins earlier.

    Example: segrec text finetune shop.toml --data shops/mine --out trunks/mine --steps 400
    """
    settings = Config() if config is None else load_config(config)
    if Path(settings.text.trunk).expanduser().resolve() == out.resolve():
        raise ConfigError(f"--out {out} is the trunk that the fine-tuning begins with; choose another folder")
    steps_wanted = n_steps or settings.finetune.n_steps or STEPS
    settings = settings.model_copy(update={"finetune": settings.finetune.model_copy(update={"n_steps": steps_wanted})})
    shop = Dataset.load(data)
    known = shop if as_of is None else shop.before(utc64(moment(as_of)))
    work = out.with_name(out.name + WORK)
    with alone(work), steps() as progress, written_whole(out) as folder:
        report = fit_trunk(known, settings, work, folder, seed=stage_seed(settings.training.seed, "trunk"), progress=progress)
    if as_json:
        print(json.dumps({"trunk": str(out), **report}))
        return
    output().print(_learning(report["Recall@20"], report["best_step"]))
    print(
        f"trunk in {out}, metrics in {work / METRICS}; it knows all until {report['known_until']}; "
        f'next: trunk = "{out.resolve()}" under [text] of a configuration whose ranking periods begin later, then segrec train'
    )


@app.command()
def similar(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a folder of bundles (the newest one counts).")],
    text: Annotated[str, typer.Argument(help="Any text: a description, a wish, a review.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Items wanted.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show the items of a bundle that read most like a text, which its BERT has never seen.

    Example: segrec text similar bundles/ "dark roasted coffee beans" -k 5
    """
    path = newest_bundle(bundle)
    loaded = Bundle.load(path)
    if loaded.texts is None:
        raise RecsysError(f"the texts of bundle {loaded.version} could not be loaded; train it again")
    encoder = load_encoder(text_config(path, loaded.manifest), loaded.config.training.n_threads)
    if encoder.fingerprint != loaded.manifest["texts"]["fingerprint"]:
        raise ConfigError(
            f"bundle {loaded.version} was read by another BERT than {loaded.config.text.trunk!r} is now; put that back, or train again"
        )
    found = _nearest(loaded.texts, loaded.catalogue, loaded.texts.facing(encoder.encode([text])), k)
    if as_json:
        print(json.dumps([{"item_id": id_, "title": title, "cosine": cosine} for id_, title, cosine in found], ensure_ascii=False))
        return
    table = Table(title=Text(f"nearest to: {text}"), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("item", "title", "cosine"):
        table.add_column(heading, justify="right" if heading == "cosine" else "left")
    for id_, title, cosine in found:
        table.add_row(Text(id_), Text(title), f"{cosine:.3f}")
    output().print(table)


def _nearest(texts: ItemTexts, catalogue: Catalogue, query: Floats, k: int) -> list[tuple[str, str, float]]:
    """Id, title and cosine of the items nearest to a query of shape (1, dim), best first; items of one text together."""
    rows, scores = texts.index.search(query, min(k, len(texts.embeddings)))
    found = []
    for row, score in zip(rows[0], scores[0], strict=True):
        items = np.flatnonzero(texts.text_of_item == row).tolist()
        found += [(catalogue.items.ids[item], catalogue.titles[item], round(float(score), 4)) for item in items]
    return found[:k]


def _learning(recalls: Sequence[float], best_step: int) -> Table:
    table = Table(title=f"Recall@20 of what customers wanted next; kept: step {best_step}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("validation", justify="right")
    table.add_column("Recall@20", justify="right")
    for number, recall in enumerate(recalls):
        table.add_row("untuned" if number == 0 else str(number), f"{recall:.4f}")
    return table

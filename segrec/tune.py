"""`segrec tune`: search a ranker's settings, and say how much better the best ones are than those it has."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from offline_eval.significance import Bootstrap, bootstrap
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError
from recsys.features.spec import feature_names
from recsys.threads import limit_threads
from recsys.training.pipeline import ranking_rows
from recsys.training.rows import Rows
from recsys.training.search import Found, Judges, Search, as_toml
from recsys.training.stages import Progress, alone, stage_seed
from recsys.types import utc64
from segrec.arguments import moment
from segrec.console import output, say, steps
from segrec.language_model import language_model
from segrec.shipping import WORK


def tune(
    config: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="TOML file; without one all settings have their defaults.")
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of an imported shop.")] = Path("shops/shop"),
    out: Annotated[
        Path, typer.Option(help="Folder for bundles; what `segrec train` has kept there is not made again, and trials are kept there too.")
    ] = Path("bundles"),
    ranker: Annotated[str, typer.Option(help="Name of the ranker whose settings are searched.")] = "home",
    trials: Annotated[int, typer.Option(min=1, help="Settings to try, those tried before and the present ones among them.")] = 40,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so many minutes of trials; default: no limit.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Use only what happened before this time; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Search a ranker's settings on the rows that it is trained on; needs optuna. A search that was stopped goes on where it was.

    40 % of the customers are learned from by nothing: half of them choose the settings, by their NDCG@10 of the last ranking period; the
    other half tell how much better the chosen ones are than the present ones.

    Example: segrec tune shop.toml --data shops/mine --out bundles/ --ranker home --trials 60 --minutes 30
    """
    settings = Config() if config is None else load_config(config)
    if ranker not in settings.rankers:
        raise ConfigError(f"there is no ranker {ranker!r}; there are: {', '.join(settings.rankers)}")
    shop = Dataset.load(data)
    end = shop.interactions.times[-1] + np.timedelta64(1, "us") if as_of is None else utc64(moment(as_of))
    with steps() as progress, language_model(settings, shop) as model:
        folders = ranking_rows(ranker, shop, settings, end, work=out / WORK, language_model=model, progress=progress)
        found = _search(ranker, settings, [Rows.load(folder) for folder in folders], out / WORK, trials, minutes, progress)
    told = _told(found)
    if as_json:
        print(json.dumps(_as_json(found, told)))
        return
    print(as_toml(ranker, found.config))
    output().print(_verdict(found, told), soft_wrap=True)


def _search(name: str, settings: Config, rows: list[Rows], work: Path, n_trials: int, minutes: float | None, progress: Progress) -> Found:
    seed, n_threads = stage_seed(settings.training.seed, f"search-{name}"), settings.training.n_threads
    search = Search(name, feature_names(settings), settings.rankers[name], seed, n_threads, progress)
    begun = time.monotonic()

    def is_over() -> bool:
        return minutes is not None and time.monotonic() - begun > 60 * minutes

    with alone(work), limit_threads(n_threads):
        judges = Judges.of(rows, np.random.default_rng(seed))
        say(f"{len(judges.known.sizes):,} queries to learn from, {len(judges.choosing.sizes):,} choose, {len(judges.telling.sizes):,} tell")
        return search.run(judges, work / "trials.sqlite", n_trials, is_over)


def _told(found: Found) -> Bootstrap:
    """Column 0: the present settings, 1: the best."""
    values = np.stack([found.present, found.best], axis=1)
    return bootstrap([str(customer) for customer in found.customers], values, np.random.default_rng(0))


def _verdict(found: Found, told: Bootstrap) -> str:
    present, best = told.means
    apart, share = told.difference(1, 0), told.relative(1, 0)
    better = (
        "no other settings were better"
        if (found.present == found.best).all()
        else (f"{apart.estimate:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}], {share.estimate:+.1%} [{share.low:+.1%}, {share.high:+.1%}]")
    )
    return (
        f"NDCG@10 among the rows of {apart.n:,} customers who chose nothing: present {present:.4f}, best {best:.4f}: {better} "
        f"(95 %; {found.n_trials} trials)"
    )


def _as_json(found: Found, told: Bootstrap) -> dict[str, object]:
    apart = told.difference(1, 0)
    interval = {"estimate": apart.estimate, "low": apart.low, "high": apart.high}
    return {
        "ranker": found.config.model_dump(),
        "trials": found.n_trials,
        "customers": apart.n,
        "NDCG@10": {"present": float(told.means[0]), "best": float(told.means[1]), "difference": interval},
    }

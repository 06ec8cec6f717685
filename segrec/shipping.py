"""From an imported shop to a bundle that can be served, with the measured quality of its twin."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from offline_eval.result import EvaluationResult
from recsys.bundle import Bundle, read_manifest
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError, DataError, LeakError
from recsys.training.former import load_former
from recsys.training.pipeline import train
from recsys.training.stages import Progress, Stages, alone
from segrec.evaluation import METRICS, for_manifest, kept_evaluation
from segrec.language_model import language_model

WORK, TWINS = ".work", "twins"


@dataclass(frozen=True)
class Shipped:
    """path: the bundle; twin: the one it was measured by, trained as of one evaluation period earlier; results: of the twin."""

    path: Path
    twin: Path | None
    results: tuple[EvaluationResult, ...]


def ship(
    dataset: Dataset,
    config: Config,
    out: Path,
    progress: Progress,
    *,
    as_of: np.datetime64 | None = None,
    measure: bool = True,
    former: Path | None = None,
) -> Shipped:
    """Train the twin, measure it on what came after, then train on everything before `as_of` and quote the twin.

    as_of: None = just after the last event
    former: the bundle whose segments go on, see `recsys.training.pipeline.train`; None = segments begin anew

    Raises:
        DataError: `as_of` is outside the data, or what lies before it is too short or too thin.
        ConfigError: `former` is later than `as_of`, or of another shop.
    """
    first, last = dataset.interactions.times[[0, -1]]
    end = last + np.timedelta64(1, "us") if as_of is None else as_of
    if not first < end <= last + np.timedelta64(1, "D"):
        raise DataError(f"as_of {_brief(end)} is outside the data, which go from {_brief(first)} to {_brief(last)}")
    if former is not None:
        _check_former(former, dataset, end)
    with alone(out / WORK), language_model(config, dataset) as model:
        fit = partial(
            train,
            dataset,
            config,
            work=out / WORK,
            language_model=model,
            former=former,
            provenance=provenance(),
            progress=progress,
        )
        return _measured(dataset, config, end, out, progress, fit) if measure else Shipped(fit(end, out), None, ())


def _check_former(former: Path, dataset: Dataset, end: np.datetime64) -> None:
    """Refuse, before anything is trained, a former bundle that is later than `end`, damaged or of another shop."""
    known_until = np.datetime64(read_manifest(former)["as_of"])
    if known_until > end:
        raise ConfigError(
            f"the former bundle {former} knows all until {_brief(known_until)}, which is after {_brief(end)}; name an earlier one"
        )
    load_former(former).held(dataset.before(end).customers)


def _measured(dataset: Dataset, config: Config, end: np.datetime64, out: Path, progress: Progress, fit: Callable[..., Path]) -> Shipped:
    """The bundle as of `end`, after its twin was trained and measured. fit: trains on what was before a time, into a folder."""
    days = config.evaluation.period_days
    try:
        twin = fit(end - np.timedelta64(round(days * 86_400), "s"), out / TWINS)
    except LeakError:
        raise
    except DataError as error:
        about = f"this was for the twin, which ends {days:g} days earlier to be measured; --no-measure trains without one"
        raise DataError(f"{error} ({about})") from error
    known = dataset.before(end)
    results = kept_evaluation(Bundle.load(twin), known, METRICS, Stages(out / WORK, progress))
    quoted = {"twin": twin.name, **for_manifest(results)}
    return Shipped(fit(end, out, evaluate=lambda _: quoted), twin, tuple(results))


def _brief(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]"))


def provenance() -> dict[str, str]:
    """The version of this package where it is installed, and the commit where it runs from a checkout."""
    found = {}
    with suppress(PackageNotFoundError):
        found["segrec"] = version("segrec")
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy may lie in a checkout of something else
        return {**found, "commit": _git("rev-parse", "HEAD")}
    except (OSError, subprocess.CalledProcessError):
        return found


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return asked.stdout.strip()

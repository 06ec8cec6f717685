"""Who is compared: bundles, lists in files, and the two baselines, all asked the same question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from offline_eval.evaluate import Recommend
from offline_eval.lists import Lists, read_lists
from offline_eval.systems import EngineSystem
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.keys import nearest
from segrec.asking import ALL, DISCOVERY, Period, Question
from segrec.evaluation import PERSONAL, POPULAR_7D, baselines_of, strategies_of
from serving.bundles import newest_bundle

BASELINES = {"popular": POPULAR_7D, "personal": PERSONAL}
TABLES = (ALL, DISCOVERY)


@dataclass(frozen=True)
class Contestant:
    """One side: a bundle, lists by table and system, or a baseline; files: what was read."""

    name: str
    bundle: Bundle | None = None
    lists: Mapping[str, Mapping[str, Lists]] = field(default_factory=dict)
    baseline: str | None = None
    file: Path | None = None

    def systems(self, title: str, asked: Question) -> dict[str, Recommend]:
        """What answers for a table, by name; nothing where this side has nothing to say of it."""
        if self.bundle is not None:
            strategy = strategies_of(self.bundle).get(title)
            return {} if strategy is None else {self.name: EngineSystem(Engine(self.bundle), Snapshot.of(self.bundle), strategy)}
        if self.baseline is not None:
            known = baselines_of(asked.period, title)
            return {self.name: known[self.baseline]} if self.baseline in known else {}
        of_table = self.lists.get(title, {})
        return {self.name if len(of_table) == 1 else system: lists for system, lists in of_table.items()}


def contestants(arguments: Sequence[str]) -> list[Contestant]:
    """Sides from the command line: a path, `popular`, `personal`, or NAME=PATH where another name is wanted.

    Raises:
        DataError: there is no such path, a file is no file of lists, or two sides have one name.
        BundleError: a bundle cannot be loaded.
    """
    sides = [_contestant(argument) for argument in arguments]
    names = [side.name for side in sides]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two sides are called {twice!r}; write NAME=PATH to tell them apart")
    return sides


def period_of(sides: Sequence[Contestant], dataset: Dataset) -> Period | None:
    """The period that all bundles are measured in; None = there is no bundle.

    Raises:
        DataError: two bundles are to be measured on different periods or events; or see `Period.of`.
    """
    periods = {side.name: Period.of(side.bundle, dataset) for side in sides if side.bundle is not None}
    told = {name: f"{period.start} to {period.end}, {period.positive_events}" for name, period in periods.items()}
    if len(set(told.values())) > 1:
        said = "; ".join(f"{name}: {of}" for name, of in told.items())
        raise DataError(
            f"the bundles are to be measured on different periods or events: {said}; "
            "train all as of one time, with one evaluation.period_days and data.positive_events"
        )
    return next(iter(periods.values()), None)


def tables_of(sides: Sequence[Contestant], asked: Question) -> dict[str, dict[str, Recommend]]:
    """By table the systems of all sides, the reference first; a table that the reference or all others are not in is left out.

    Raises:
        DataError: there is no table that two sides have, or two systems have one name.
    """
    tables = {}
    for title in TABLES:
        of_sides = [side.systems(title, asked) for side in sides]
        systems = {name: system for of_side in of_sides for name, system in of_side.items()}
        if len(systems) < sum(map(len, of_sides)):
            raise DataError(f"two systems of {title!r} have one name; they are called: {', '.join(n for of in of_sides for n in of)}")
        if of_sides[0] and len(systems) > 1:
            tables[title] = systems
    if not tables:
        raise DataError(f"nothing can be compared: no table ({' or '.join(TABLES)}) has lists of {sides[0].name} and of another side")
    return tables


def _contestant(argument: str) -> Contestant:
    name, _, place = argument.rpartition("=")
    if place in BASELINES:
        return Contestant(name or place, baseline=BASELINES[place])
    path = Path(place)
    if path.is_dir():
        bundle = Bundle.load(newest_bundle(path))
        return Contestant(name or bundle.version, bundle)
    if not path.is_file():
        raise DataError(
            f"there is no bundle and no file of lists {place};{nearest(place, BASELINES)} baselines are: {', '.join(BASELINES)}"
        )
    lists = read_lists(path)
    unknown = [title for title in lists if title not in TABLES]
    if unknown:
        raise DataError(f"{path} has lists for the table {unknown[0]!r};{nearest(unknown[0], TABLES)} there are: {', '.join(TABLES)}")
    return Contestant(name or path.name.partition(".")[0], lists=lists, file=path)

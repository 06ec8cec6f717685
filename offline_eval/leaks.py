"""What knew the future: the checks of `segrec eval leaks`, and the first of them, fitting again without the future.

Everything is fitted as of a time twice: on the shop as it is, and on one in which nothing at or after the time ever happened. What was
fitted on the past alone is equal in both, bit by bit; whatever is not has seen what it should foretell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.leaks_ended import write_ended
from recsys.bundle import MANIFEST
from recsys.data.dataset import Dataset
from recsys.errors import LeakError

Fit: TypeAlias = Callable[[Dataset, np.datetime64, Path], Path]
"""fit(shop, time, work): everything as of the time, fitted in a work folder; the folder of its parts, laid out like a bundle.

It may look at nothing but the shop that it is given, whose `folder` holds the other tables, and at what it left in the work folder.
"""

_GROUPED = ("sources", "rankers", "labels")
"""Folders of a bundle whose folders are parts."""
_ORDER = ("labels", "encoder", "voice", "segmentation", "profiles", "texts", "mentions", "catalogue", "history", "features", "sources")
"""Parts as a training makes them."""
_FEEDS = {
    "encoder": ("voice", "segmentation", "profiles", "texts", "features", "sources"),
    "voice": ("segmentation", "profiles", "features", "sources"),
    "segmentation": ("profiles", "features", "sources"),
    "profiles": ("features", "sources"),
    "texts": ("sources",),
    "catalogue": ("features",),
}
"""What is fitted from which part: it differs where that does, without any fault of its own."""
_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One leak. where: the part, file, feature, table or rows; what: what is wrong, with figures; mend: what would be right."""

    where: str
    what: str
    mend: str


@dataclass(frozen=True)
class Check:
    """One question that was asked of a shop and its training.

    looked_at: what was compared, with figures
    findings:  leaks; none = passed
    notes:     what is no leak here, or cannot be judged, yet should be known
    """

    name: str
    looked_at: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A file that is not the same in two folders. part: such as "sources/als"; file: its path in the folder; what: how they differ."""

    part: str
    file: str
    what: str


@dataclass(frozen=True)
class Refitted:
    """What fitting again gave. whole: for each time the parts that were fitted on the whole shop, where that was possible."""

    check: Check
    whole: Mapping[np.datetime64, Path]


def refit(
    dataset: Dataset, times: Sequence[np.datetime64], fit: Fit, work: Path, columns: Mapping[str, Sequence[str]] | None = None
) -> Refitted:
    """Fit as of each time with the whole shop and with one that ends there, and compare all files.

    There are two work folders, one of the whole shop and one of those that end. Times come in their order, so that whatever a fit finds
    there of earlier times was fitted on a shop that ended before its own time: it knows even less, and was compared at that time.

    Args:
        dataset: all of an imported shop.
        work: an empty folder; holds the shops that end, and what is fitted.
        columns: names of the columns of arrays, by file ("features/items.npy"), to name what differs.

    Returns:
        A finding for each part that knew what came after a time. A part that differs between two trainings on one and the same shop is
        one too, for nothing can be said of it. A `LeakError` of the training itself is a finding as well.
    """
    found: dict[np.datetime64, list[Difference] | str] = {}
    whole: dict[np.datetime64, Path] = {}
    tried, unstable = set[str](), set[str]()
    for number, time in enumerate(sorted(times)):
        try:
            whole[time] = fit(dataset, time, work / "whole")
            ended = Dataset.load(write_ended(dataset.folder, time, work / f"shop-{number}"))
            there = differences(whole[time], fit(ended, time, work / "ended"), columns or {})
            if not {difference.part for difference in there} <= tried:
                again = fit(Dataset.load(dataset.folder), time, work / "again")
                unstable |= {difference.part for difference in differences(whole[time], again, {})}
                tried |= {difference.part for difference in there}
            found[time] = there
        except LeakError as error:
            found[time] = str(error)
    n_files = sum(len(_files(folder)) for folder in whole.values())
    looked_at = f"{n_files:,} files as of {', '.join(map(_brief, times))}, fitted with and without what came after"
    return Refitted(Check("what is fitted", looked_at, tuple(_findings(found, unstable))), whole)


def differences(one: Path, other: Path, columns: Mapping[str, Sequence[str]]) -> list[Difference]:
    """Files of two folders that are not the same bit by bit, the manifest aside, in the order in which a training makes them."""
    names = sorted(_files(one) | _files(other), key=lambda name: (_place(name)[0], _part(name), name not in columns, name))
    return [Difference(_part(name), name, what) for name in names if (what := _difference(one / name, other / name, columns.get(name, ())))]


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}


def _part(name: str) -> str:
    parts = name.split("/")
    return "/".join(parts[:2] if parts[0] in _GROUPED else parts[:1])


def _place(name: str) -> tuple[int, str]:
    top = name.split("/")[0]
    return (_ORDER.index(top) if top in _ORDER else len(_ORDER)), name


def _difference(one: Path, other: Path, columns: Sequence[str]) -> str:
    """How two files differ; empty when they do not."""
    if not (one.is_file() and other.is_file()):
        return f"only there {'with' if one.is_file() else 'without'} the future"
    if one.read_bytes() == other.read_bytes():
        return ""
    if one.suffix != ".npy":
        return "differs"
    with_future, without = np.load(one), np.load(other)
    if with_future.shape != without.shape or with_future.dtype != without.dtype:
        return f"is {with_future.dtype} {with_future.shape} with the future and {without.dtype} {without.shape} without"
    return _cells(with_future, without, columns)


def _cells(one: NDArray[Any], other: NDArray[Any], columns: Sequence[str]) -> str:
    differ = np.asarray(one != other).reshape(len(one) if one.ndim else 1, -1)  # (n_rows, n_columns)
    if one.dtype.kind == "f":
        differ &= ~(np.isnan(one) & np.isnan(other)).reshape(differ.shape)
    told = f"{differ.any(axis=1).sum():,} of {len(differ):,} rows differ"
    if differ.shape[1] == len(columns):
        told += f", in {_some([columns[int(column)] for column in np.flatnonzero(differ.any(axis=0))])}"
    return told


def _findings(found: Mapping[np.datetime64, list[Difference] | str], unstable: set[str]) -> Iterable[Finding]:
    for time, there in found.items():
        if isinstance(there, str):
            yield Finding(f"training as of {_brief(time)}", there, "it stopped by itself: do what it says")
    parts: dict[str, dict[np.datetime64, list[Difference]]] = {}
    for time, there in found.items():
        for difference in there if isinstance(there, list) else []:
            parts.setdefault(difference.part, {}).setdefault(time, []).append(difference)
    for part, at in sorted(parts.items(), key=lambda pair: _place(pair[0])):
        if part in unstable:
            yield Finding(part, "differs between two trainings on the same shop: nothing can be said of it", _STEADY)
            continue
        files = {difference.file: difference.what for there in at.values() for difference in there}
        said = _some([f"{file.removeprefix(part + '/')} ({what})" for file, what in files.items()])
        upstream = [other for other in parts if part.split("/")[0] in _FEEDS.get(other, ())]
        follows = f"; perhaps only because it is fitted from {_some(upstream)}" if upstream else ""
        yield Finding(part, f"knows what came after {', '.join(map(_brief, at))}: {said}{follows}", _MEND)


_MEND = "fit it on Dataset.before(time) alone, dated tables and reviews included"
_STEADY = "draw from a seed of its own, and set training.n_threads = 1"


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _brief(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).removesuffix("T00:00:00")

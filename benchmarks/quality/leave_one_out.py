"""The protocol of the published tables: the last item of every customer is hidden, the one before chooses settings or trains nothing."""

from __future__ import annotations

import re
import resource
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.quality.ranks import Asked, Ranks, ranks_of
from benchmarks.quality.rivals import fit_rivals
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.leave_last import leave_last
from recsys.training.pipeline import train_by_position
from recsys.training.split import MIN_SEQUENCE, query_times, split_by_position
from recsys.training.stages import Progress

HIDDEN = {"pure": 2, "refit": 1}
"""How many of the last items of each customer the shipped sources do not know."""


@dataclass(frozen=True)
class Measured:
    """Ranks of one protocol, and what it cost: seconds to train the engine and the rivals, and to ask; and the most memory that was held
    by then. Stages that an earlier run or row left in the work folder take none."""

    ranks: Ranks
    training_seconds: float
    asking_seconds: float
    peak_mb: float


def measure(
    dataset: Dataset, config: Config, protocol: str, *, at_target: bool, validate: bool, work: Path, progress: Progress
) -> Measured:
    """Train by position and ask for the last item of every customer, or with `validate` for the last but one.

    In the pure protocol the item before the wanted one is part of the past but has trained nothing: it comes in as live events do.
    To validate, everything is one step earlier: what was fitted is the same, and the last item stays unseen.

    at_target: whether a query is asked at the time of the wanted item; else just after what the customer bought before it
    """
    n_hidden = HIDDEN[protocol]
    if validate and protocol == "refit":
        raise ValueError("the refitted sources know the validation items: settings are chosen with protocol 'pure'")
    started = time.perf_counter()
    trained = train_by_position(split_by_position(dataset, config, n_hidden, at_target=at_target), config, work=work, progress=progress)
    codes = dataset.event_codes(config.data.positive_events)
    known, _ = leave_last(dataset, codes, n_hidden, MIN_SEQUENCE)
    rivals = {} if at_target else fit_rivals(known, config)  # they ask for no time
    past, wanted = leave_last(dataset, codes, n_hidden if validate else 1, MIN_SEQUENCE)
    times = query_times(past, wanted, at_target=at_target)
    then = time.perf_counter()
    ranks = ranks_of(Asked(trained, rivals, _without(past, known)), wanted, times, config.training.n_threads, progress)
    return Measured(ranks, then - started, time.perf_counter() - then, _peak_mb(config.training.n_threads))


def _peak_mb(n_processes: int) -> float:
    """The most that this process has held, and the most that so many children held, in MB: an upper bound.

    Of those that still run it is known of each; of those that have ended only what the largest held. What processes map together counts
    for each. Of those that run only Linux tells.
    """
    own, ended = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    children = " ".join(listed.read_text() for listed in Path("/proc/self/task").glob("*/children")).split()
    told = ""
    for child in children:
        with suppress(OSError):  # it has just ended
            told += Path(f"/proc/{child}/status").read_text()
    running = sum(int(kilobytes) for kilobytes in re.findall(r"VmHWM:\s*(\d+)", told))
    return (own + max(running, n_processes * ended)) / 1024


def _without(past: Dataset, known: Dataset) -> Dataset:
    """The lines of `past` that `known` lacks: both keep the order of the shop, and what `known` keeps of a customer comes first."""
    n_known = np.bincount(known.interactions.customers[known.interactions.customers >= 0], minlength=len(past.customers))
    lines = past.interactions
    order = np.argsort(lines.customers, kind="stable")
    customers = lines.customers[order]
    starts = np.searchsorted(customers, customers)
    is_live = (customers >= 0) & (np.arange(len(order)) - starts >= n_known[customers])
    return replace(past, interactions=lines.take(np.sort(order[is_live])))

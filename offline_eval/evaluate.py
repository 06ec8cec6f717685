"""As a shop lives: one query per active customer at the cut, measured against what the customer bought after it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.answers import Judge, Unmeasurable
from offline_eval.facts import ItemFacts
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.relevance import Truth
from recsys.types import Flags, Ints, Query

Recommend: TypeAlias = Callable[[Sequence[Query]], Sequence[Sequence[str]]]
"""Anything that can be asked: a list of item ids, best first, for each query."""

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as progress(done, total, what)."""

BATCH = 128
_CELLS_PER_CHUNK = 1_000_000
"""Places of lists measured at once: enough to be quick, few enough to fit in memory with lists of any length."""


@dataclass(frozen=True)
class Exposures:
    """What each system put before all customers, for the metrics of whole sets of lists.

    metrics: names as printed, for example "Coverage@10"
    shown:   item numbers, -1 = none; int32 (n_systems, n, depth)
    offered: the catalogue that counts; bool (n_items,)
    """

    metrics: tuple[str, ...]
    shown: Ints
    offered: Flags

    def values(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """For each system and metric one value per list of these rows, whose mean is the figure; float64 (n_systems, n_metrics, n_rows)."""
        wanted = parse_metrics(",".join(self.metrics))
        return np.array([[metric.of_set(shown[rows], self.offered) for metric in wanted] for shown in self.shown])


@dataclass(frozen=True)
class Measurements:
    """Every metric of every system for every query, and what metrics of whole sets of lists are made of.

    title:     which truth was measured, for example "all purchases"
    systems:   names of what was asked
    metrics:   names as printed, of the metrics of single lists
    customers: customer of each query, length n
    times:     time of each query, ISO 8601, length n
    slices:    for each kind of slice ("tier") the label of each query, length n
    values:    float64, shape (n_systems, n_metrics, n)
    exposures: None = no metric of whole sets was asked for
    """

    title: str
    systems: tuple[str, ...]
    metrics: tuple[str, ...]
    customers: tuple[str, ...]
    times: tuple[str, ...]
    slices: Mapping[str, tuple[str, ...]]
    values: NDArray[np.float64]
    exposures: Exposures | None = None

    def __post_init__(self) -> None:
        n = len(self.customers)
        shape = len(self.systems), len(self.metrics), n
        lengths = [len(self.times), *(len(labels) for labels in self.slices.values())]
        if self.values.shape != shape or any(length != n for length in lengths):
            raise ValueError(f"expected values of shape {shape} and {n} times and labels, got {self.values.shape} and {lengths}")
        if len(set(self.queries)) < n:
            raise ValueError("a customer is measured twice at one time; pool different cuts only")

    @property
    def queries(self) -> tuple[tuple[str, str], ...]:
        """Time and customer of each query, which identify it."""
        return tuple(zip(self.times, self.customers, strict=True))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of all metrics, in the order of `columns`: those of single lists, then those of whole sets."""
        return self.metrics + (() if self.exposures is None else self.exposures.metrics)

    def columns(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """For each system and metric of `figures` one value per query of these rows, whose mean is the figure of these rows.

        Returns:
            float64, shape (n_systems, n_figures, n_rows)
        """
        values = self.values[:, :, rows]
        return values if self.exposures is None else np.concatenate([values, self.exposures.values(rows)], axis=1)


def evaluate(
    systems: Mapping[str, Recommend],
    truth: Truth,
    time: dt.datetime,
    metrics: Sequence[Metric],
    *,
    title: str = "all purchases",
    slices: Mapping[str, Mapping[str, str]] | None = None,
    batch: int = BATCH,
    progress: Progress | None = None,
    facts: ItemFacts | None = None,
) -> Measurements:
    """Ask every system the same queries, one per customer of the truth, and measure the answers.

    Args:
        systems: what to ask, by name.
        truth: relevant items after `time` by customer, from `relevant_items` or `new_items`.
        time: the cut, aware; every query has it, and no system may know anything later.
        metrics: what to measure; lists are asked for at their largest cut-off.
        slices: for each kind of slice the label of each customer; a customer without one is under "none".
        batch: queries handed to a system at once.
        facts: what was known of the items at `time`; metrics beyond relevance need it.

    Raises:
        ValueError: there is no customer, system or metric; the facts lack what a metric is made of; a system answers another
            number of lists, repeats an item in one, or names an item that the facts do not know.
    """
    if not truth or not systems or not metrics:
        raise ValueError(f"nothing to evaluate: {len(truth)} customers, {len(systems)} systems, {len(metrics)} metrics")
    for metric in metrics:
        metric.check(facts)
    customers = sorted(truth)
    queries = _queries(customers, time, max(metric.k for metric in metrics))
    single, of_sets = ([metric for metric in metrics if metric.is_of_sets is kind] for kind in (False, True))
    judge = Judge(truth, customers, queries[0].k, facts)
    values, shown = np.empty((len(systems), len(single), len(customers))), []
    for row, (name, recommend) in enumerate(systems.items()):
        answers = _ask(name, recommend, queries, batch, progress)
        shown.append(_measure(name, answers, judge, customers, single, of_sets, values[row]))
    return Measurements(
        title=title,
        systems=tuple(systems),
        metrics=tuple(str(metric) for metric in single),
        customers=tuple(customers),
        times=(time.isoformat(),) * len(customers),
        slices={kind: tuple(labels.get(customer, "none") for customer in customers) for kind, labels in (slices or {}).items()},
        values=values,
        exposures=Exposures(tuple(map(str, of_sets)), np.array(shown), facts.offered) if of_sets and facts is not None else None,
    )


def pool(parts: Sequence[Measurements]) -> Measurements:
    """Measurements at several cuts as one; a customer's queries stay together when resampled.

    Raises:
        ValueError: the parts differ in title, systems, metrics or kinds of slices, share a query, or hold a metric of whole sets.
    """
    first = parts[0]
    if any(part.exposures is not None for part in parts):
        raise ValueError("metrics of whole sets of lists belong to one catalogue at one cut and cannot be pooled; leave them out")
    for part in parts:
        if (part.title, part.systems, part.metrics, set(part.slices)) != (first.title, first.systems, first.metrics, set(first.slices)):
            raise ValueError(
                f"cannot pool {part.title!r} ({part.systems}, {part.metrics}, {tuple(part.slices)}) "
                f"with {first.title!r} ({first.systems}, {first.metrics}, {tuple(first.slices)})"
            )
    return Measurements(
        title=first.title,
        systems=first.systems,
        metrics=first.metrics,
        customers=tuple(customer for part in parts for customer in part.customers),
        times=tuple(time for part in parts for time in part.times),
        slices={kind: tuple(label for part in parts for label in part.slices[kind]) for kind in first.slices},
        values=np.concatenate([part.values for part in parts], axis=2),
    )


def _queries(customers: Sequence[str], time: dt.datetime, k: int) -> list[Query]:
    return [Query(k=k, time=time, customer_id=customer, request_id=f"eval/{time.isoformat()}/{customer}") for customer in customers]


def _ask(name: str, recommend: Recommend, queries: Sequence[Query], batch: int, progress: Progress | None) -> list[Sequence[str]]:
    answers: list[Sequence[str]] = []
    for first in range(0, len(queries), batch):
        asked = queries[first : first + batch]
        answered = recommend(asked)
        if len(answered) != len(asked):
            raise ValueError(f"{name} was asked {len(asked)} queries and gave {len(answered)} lists; one list per query is needed")
        answers.extend(answered)
        if progress is not None:
            progress(len(answers), len(queries), f"asking {name}")
    return answers


def _measure(
    name: str,
    answers: Sequence[Sequence[str]],
    judge: Judge,
    customers: Sequence[str],
    single: Sequence[Metric],
    of_sets: Sequence[Metric],
    values: NDArray[np.float64],
) -> Ints:
    """Fill in the values, (n_metrics, n), of one system; what it showed, (n, depth), as far as metrics of whole sets read it."""
    depth = max((metric.k for metric in of_sets), default=0)
    shown = np.empty((len(answers), depth), np.int32)
    step = max(1, _CELLS_PER_CHUNK // judge.depth)
    for first in range(0, len(answers), step):
        rows = slice(first, first + step)
        try:
            judged = judge.judge(answers[rows], first)
        except Unmeasurable as error:
            raise ValueError(f"the list of {name} for customer {customers[error.query]!r} cannot be measured: {error}") from error
        for column, metric in enumerate(single):
            values[column, rows] = metric.of(judged)
        shown[rows] = judged.items[:, :depth]
    return shown

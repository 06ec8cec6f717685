"""As a shop lives: one query per active customer at the cut, measured against what the customer bought after it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval.metrics import Metric
from offline_eval.relevance import Truth
from recsys.types import Query

Recommend: TypeAlias = Callable[[Sequence[Query]], Sequence[Sequence[str]]]
"""Anything that can be asked: a list of item ids, best first, for each query."""

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as progress(done, total, what)."""

BATCH = 128


@dataclass(frozen=True)
class Measurements:
    """Every metric of every system for every query.

    title:     which truth was measured, for example "all purchases"
    systems:   names of what was asked
    metrics:   names as printed
    customers: customer of each query, length n
    times:     time of each query, ISO 8601, length n
    slices:    for each kind of slice ("tier") the label of each query, length n
    values:    float64, shape (n_systems, n_metrics, n)
    """

    title: str
    systems: tuple[str, ...]
    metrics: tuple[str, ...]
    customers: tuple[str, ...]
    times: tuple[str, ...]
    slices: Mapping[str, tuple[str, ...]]
    values: NDArray[np.float64]

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
) -> Measurements:
    """Ask every system the same queries, one per customer of the truth, and measure the answers.

    Args:
        systems: what to ask, by name.
        truth: relevant items after `time` by customer, from `relevant_items` or `new_items`.
        time: the cut, aware; every query has it, and no system may know anything later.
        metrics: what to measure; lists are asked for at their largest cut-off.
        slices: for each kind of slice the label of each customer; a customer without one is under "none".
        batch: queries handed to a system at once.

    Raises:
        ValueError: there is no customer, system or metric; a system answers another number of lists, or repeats an item in one.
    """
    if not truth or not systems or not metrics:
        raise ValueError(f"nothing to evaluate: {len(truth)} customers, {len(systems)} systems, {len(metrics)} metrics")
    customers = sorted(truth)
    queries = _queries(customers, time, max(metric.k for metric in metrics))
    values = np.empty((len(systems), len(metrics), len(customers)))
    for row, (name, recommend) in enumerate(systems.items()):
        answers = _ask(name, recommend, queries, batch, progress)
        for column, (customer, ranked) in enumerate(zip(customers, answers, strict=True)):
            values[row, :, column] = _measure(name, customer, ranked, truth, metrics)
    return Measurements(
        title=title,
        systems=tuple(systems),
        metrics=tuple(str(metric) for metric in metrics),
        customers=tuple(customers),
        times=(time.isoformat(),) * len(customers),
        slices={kind: tuple(labels.get(customer, "none") for customer in customers) for kind, labels in (slices or {}).items()},
        values=values,
    )


def pool(parts: Sequence[Measurements]) -> Measurements:
    """Measurements at several cuts as one; a customer's queries stay together when resampled.

    Raises:
        ValueError: the parts differ in title, systems, metrics or kinds of slices, or share a query.
    """
    first = parts[0]
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


def _measure(name: str, customer: str, ranked: Sequence[str], truth: Truth, metrics: Sequence[Metric]) -> list[float]:
    try:
        return [metric(ranked, truth[customer]) for metric in metrics]
    except ValueError as error:
        raise ValueError(f"the list of {name} for customer {customer!r} cannot be measured: {error}") from error

"""What an evaluation found: a figure with an interval for every system, metric and slice, and comparisons of two systems."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_eval.evaluate import Measurements
from offline_eval.significance import N_RESAMPLES, Interval, bootstrap
from segmentation.profile import STAGES, TIERS

OVERALL = "overall"
_KNOWN = {label: position for position, label in enumerate((*TIERS, *STAGES))}


@dataclass(frozen=True)
class Figure:
    """The mean of one metric of one system over a slice ("overall", "tier=high"); n: customers in it."""

    system: str
    metric: str
    slice: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """How much better a system is than a reference on one metric and slice, paired by query.

    difference: of the means; relative: as a share of the reference's mean, 0.04 = 4 % better
    """

    system: str
    reference: str
    metric: str
    slice: str
    difference: Interval
    relative: Interval


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of all systems, metrics and slices, and the values per query that they were made of.

    about: whatever is needed to reproduce it, for example bundle versions and the seed
    """

    measurements: Measurements
    figures: tuple[Figure, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slices, "overall" first."""
        return tuple(dict.fromkeys(figure.slice for figure in self.figures))

    def figure(self, system: str, metric: str, slice_: str = OVERALL) -> Figure:
        """One figure.

        Raises:
            KeyError: there is none of that system, metric and slice.
        """
        for figure in self.figures:
            if (figure.system, figure.metric, figure.slice) == (system, metric, slice_):
                return figure
        raise KeyError(f"no figure of {system!r}, {metric!r}, {slice_!r}; systems: {self.measurements.systems}, slices: {self.slices}")

    def to_json(self) -> str:
        """Everything, values per query included; NaN (no interval) becomes null."""
        measured = {**vars(self.measurements), "values": self.measurements.values.tolist()}
        content = {"about": dict(self.about), "figures": [asdict(figure) for figure in self.figures], "measurements": measured}
        return json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> EvaluationResult:
        """Read what `to_json` wrote."""
        content = json.loads(text)
        measured = content["measurements"]
        tuples = {name: tuple(measured[name]) for name in ("systems", "metrics", "customers", "times")}
        slices = {kind: tuple(labels) for kind, labels in measured["slices"].items()}
        measurements = Measurements(measured["title"], **tuples, slices=slices, values=np.array(measured["values"], np.float64))
        figures: list[dict[str, Any]] = [
            {name: np.nan if value is None else value for name, value in figure.items()} for figure in content["figures"]
        ]
        return EvaluationResult(measurements, tuple(Figure(**figure) for figure in figures), content["about"])


def summarise(
    measurements: Measurements, rng: np.random.Generator, n_resamples: int = N_RESAMPLES, about: Mapping[str, Any] | None = None
) -> EvaluationResult:
    """Means with 95 % intervals, overall and for every slice; small slices are kept, their intervals say how little they know."""
    figures = []
    cells = [(system, metric) for system in measurements.systems for metric in measurements.metrics]
    for name, rows in _slices(measurements):
        columns = measurements.values[:, :, rows].reshape(len(cells), -1).T
        resampled = bootstrap(_customers(measurements, rows), columns, rng, n_resamples)
        for column, (system, metric) in enumerate(cells):
            found = resampled.mean(column)
            figures.append(Figure(system, metric, name, found.estimate, found.low, found.high, found.n))
    return EvaluationResult(measurements, tuple(figures), about or {})


def compare(
    measurements: Measurements,
    system: str,
    reference: str,
    rng: np.random.Generator,
    other: Measurements | None = None,
    n_resamples: int = N_RESAMPLES,
) -> tuple[Comparison, ...]:
    """Compare a system with a reference on every metric and slice, paired by query, with 95 % intervals.

    Args:
        other: where the reference was measured, if elsewhere; slices are those of `measurements`.

    Raises:
        ValueError: a system was not measured, or the two were measured on different queries or metrics.
    """
    other = measurements if other is None else other
    ours, theirs = _of_system(measurements, system), _of_system(other, reference)
    theirs = theirs[:, _alignment(measurements, other)]
    n_metrics = len(measurements.metrics)
    comparisons = []
    for name, rows in _slices(measurements):
        columns = np.concatenate([ours[:, rows], theirs[:, rows]]).T
        resampled = bootstrap(_customers(measurements, rows), columns, rng, n_resamples)
        for column, metric in enumerate(measurements.metrics):
            pair = column, column + n_metrics
            comparisons.append(Comparison(system, reference, metric, name, resampled.difference(*pair), resampled.relative(*pair)))
    return tuple(comparisons)


def _slices(measurements: Measurements) -> Iterator[tuple[str, NDArray[np.intp]]]:
    yield OVERALL, np.arange(len(measurements.customers))
    for kind, labels in measurements.slices.items():
        for label in sorted(set(labels), key=lambda label: (_KNOWN.get(label, len(_KNOWN)), label)):
            yield f"{kind}={label}", np.flatnonzero(np.array(labels) == label)


def _customers(measurements: Measurements, rows: NDArray[np.intp]) -> list[str]:
    return [measurements.customers[row] for row in rows]


def _of_system(measurements: Measurements, system: str) -> NDArray[np.float64]:
    if system not in measurements.systems:
        raise ValueError(f"{system!r} was not measured; measured were: {', '.join(measurements.systems)}")
    values: NDArray[np.float64] = measurements.values[measurements.systems.index(system)]
    return values


def _alignment(measurements: Measurements, other: Measurements) -> NDArray[np.intp]:
    """Rows of the other measurements in the order of the first."""
    if (measurements.title, measurements.metrics) != (other.title, other.metrics):
        raise ValueError(f"cannot pair {measurements.title!r} {measurements.metrics} with {other.title!r} {other.metrics}")
    row_of = {query: row for row, query in enumerate(other.queries)}
    unpaired = set(row_of).symmetric_difference(measurements.queries)
    if unpaired:
        raise ValueError(
            f"{len(unpaired)} queries were asked of one side only, for example {min(unpaired)}; measure both on the same customers"
        )
    return np.array([row_of[query] for query in measurements.queries], np.intp)


def without_nan(value: Any) -> Any:
    """The same JSON value with null for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value

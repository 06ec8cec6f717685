"""What an evaluation found: a figure with an interval for every system, metric and slice, and comparisons of two systems."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_eval.evaluate import Exposures, Measurements
from offline_eval.hypotheses import benjamini_hochberg, holm, minimum_detectable, sign_flip
from offline_eval.significance import N_RESAMPLES, Doubles, Interval, bootstrap, per_customer
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
    """How much better a system is than a reference on one metric and slice, over the queries for which both have a value.

    difference: of the means; relative: as a share of the reference's mean, 0.04 = 4 % better
    p:          that so large a difference is luck, by flipping signs; NaN = no customer has a value on both sides
    p_holm, p_bh: p corrected after Holm and after Benjamini-Hochberg, over the slices of one kind for one metric; "overall" stands alone
    detectable: the least true difference that so many customers show 4 times in 5 at 5 %, in the metric's unit; NaN for one
                customer, and where nobody differs
    detectable_relative: the same as a share of the reference's mean
    """

    system: str
    reference: str
    metric: str
    slice: str
    difference: Interval
    relative: Interval
    p: float = np.nan
    p_holm: float = np.nan
    p_bh: float = np.nan
    detectable: float = np.nan
    detectable_relative: float = np.nan


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
        exposures = measured.pop("exposures")
        if exposures is not None:
            shown, offered = exposures.shown.tolist(), exposures.offered.tolist()
            measured["exposures"] = {"metrics": exposures.metrics, "shown": shown, "offered": offered}
        content = {"about": dict(self.about), "figures": [asdict(figure) for figure in self.figures], "measurements": measured}
        return json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> EvaluationResult:
        """Read what `to_json` wrote."""
        content = json.loads(text)
        measured = content["measurements"]
        tuples = {name: tuple(measured[name]) for name in ("systems", "metrics", "customers", "times")}
        slices = {kind: tuple(labels) for kind, labels in measured["slices"].items()}
        shape = len(tuples["systems"]), len(tuples["metrics"]), len(tuples["customers"])
        values = np.array(measured["values"], np.float64).reshape(shape)
        measurements = Measurements(measured["title"], **tuples, slices=slices, values=values, exposures=_exposures(measured))
        figures: list[dict[str, Any]] = [
            {name: np.nan if value is None else value for name, value in figure.items()} for figure in content["figures"]
        ]
        return EvaluationResult(measurements, tuple(Figure(**figure) for figure in figures), content["about"])


def summarise(
    measurements: Measurements, rng: np.random.Generator, n_resamples: int = N_RESAMPLES, about: Mapping[str, Any] | None = None
) -> EvaluationResult:
    """Means with 95 % intervals, overall and for every slice; small slices are kept, their intervals say how little they know."""
    figures = []
    cells = [(system, metric) for system in measurements.systems for metric in measurements.figures]
    for name, rows in slices_of(measurements):
        columns = measurements.columns(rows).reshape(len(cells), -1).T
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
    """Compare a system with a reference on every metric and slice, paired by query, with 95 % intervals and p-values.

    Args:
        other: where the reference was measured, if elsewhere; slices are those of `measurements`.

    Raises:
        ValueError: a system was not measured, or the two were measured on different queries or metrics.
    """
    other = measurements if other is None else other
    if (measurements.title, measurements.figures) != (other.title, other.figures):
        raise ValueError(f"cannot pair {measurements.title!r} {measurements.figures} with {other.title!r} {other.figures}")
    ours, theirs = _row(measurements, system), _row(other, reference)
    order = paired_rows(measurements, other)
    flips = rng.spawn(1)[0]  # intervals stay as they are, whatever is tested beside them
    comparisons = []
    for name, rows in slices_of(measurements):
        columns = _paired(measurements.columns(rows)[ours], other.columns(order[rows])[theirs])
        customers = _customers(measurements, rows)
        resampled = bootstrap(customers, columns, rng, n_resamples)
        tests = _tests(customers, columns, flips)
        for column, metric in enumerate(measurements.figures):
            pair = column, column + len(measurements.figures)
            p, least, share = tests[column]
            told = Comparison(system, reference, metric, name, resampled.difference(*pair), resampled.relative(*pair), p)
            comparisons.append(replace(told, detectable=least, detectable_relative=share))
    return corrected(comparisons)


def _paired(ours: Doubles, theirs: Doubles) -> Doubles:
    """Both as columns, without a value wherever either has none; (n_metrics, n) each, (n, 2 * n_metrics) together."""
    lacking = np.isnan(ours) | np.isnan(theirs)
    return np.where(np.concatenate([lacking, lacking]), np.nan, np.concatenate([ours, theirs])).T


def _tests(customers: list[str], columns: Doubles, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """p and the least detectable difference, absolute and relative, of each metric.

    columns: of the system, then of the reference; (n, 2 * n_metrics)
    """
    ours, theirs = np.split(columns, 2, axis=1)
    sums, counts = per_customer(customers, ours - theirs)
    n, n_queries = np.count_nonzero(counts, axis=0), counts.sum(axis=0)
    p = np.where(n > 0, sign_flip(sums, rng), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        scatter = ((sums - counts * (sums.sum(axis=0) / n_queries)) ** 2).sum(axis=0)
        errors = np.sqrt(scatter * n / (n - 1)) / n_queries
        usual = np.nansum(theirs, axis=0) / np.count_nonzero(~np.isnan(theirs), axis=0)
        least = np.where(errors > 0, minimum_detectable(1.0) * errors, np.nan)
        shares = np.where(usual != 0, least / np.abs(usual), np.nan)
    return [(_or_nan(a), _or_nan(b), _or_nan(c)) for a, b, c in zip(p, least, shares, strict=True)]


def corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same with p-values corrected over the slices of a kind for one metric; of one pair of systems."""
    comparisons = list(comparisons)
    families: dict[tuple[str, str], list[int]] = {}
    for row, comparison in enumerate(comparisons):
        families.setdefault((comparison.metric, comparison.slice.partition("=")[0]), []).append(row)
    for rows in families.values():
        p = np.array([comparisons[row].p for row in rows])
        for row, strict, lenient in zip(rows, holm(p), benjamini_hochberg(p), strict=True):
            comparisons[row] = replace(comparisons[row], p_holm=_or_nan(strict), p_bh=_or_nan(lenient))
    return tuple(comparisons)


def _or_nan(number: float) -> float:
    """As a float, and what is no number as the one `np.nan`: equal results are then equal."""
    return float(number) if np.isfinite(number) else np.nan


def slices_of(measurements: Measurements) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Name and rows of every slice, "overall" first."""
    yield OVERALL, np.arange(len(measurements.customers))
    for kind, labels in measurements.slices.items():
        for label in sorted(set(labels), key=_place):
            yield f"{kind}={label}", np.flatnonzero(np.array(labels) == label)


def _place(label: str) -> tuple[int, int, str]:
    """Tiers and stages in their own order, then bins of numbers ("5-9") by where they begin, then others by name."""
    begins = re.match(r"\d+", label)
    return _KNOWN.get(label, len(_KNOWN)), int(begins[0]) if begins else sys.maxsize, label


def _customers(measurements: Measurements, rows: NDArray[np.intp]) -> list[str]:
    return [measurements.customers[row] for row in rows]


def _row(measurements: Measurements, system: str) -> int:
    if system not in measurements.systems:
        raise ValueError(f"{system!r} was not measured; measured were: {', '.join(measurements.systems)}")
    return measurements.systems.index(system)


def _exposures(measured: Mapping[str, Any]) -> Exposures | None:
    if "exposures" not in measured:
        return None
    kept = measured["exposures"]
    return Exposures(tuple(kept["metrics"]), np.array(kept["shown"], np.int32), np.array(kept["offered"], np.bool_))


def paired_rows(measurements: Measurements, other: Measurements) -> NDArray[np.intp]:
    """Rows of the other measurements in the order of the queries of the first; a side without times has the one time of the other.

    Raises:
        ValueError: the two were made of different queries.
    """
    queries, row_of = _timed(measurements, other), {query: row for row, query in enumerate(_timed(other, measurements))}
    unpaired = set(row_of).symmetric_difference(queries)
    if unpaired:
        raise ValueError(
            f"{len(unpaired)} queries were asked of one side only, for example {min(unpaired)}; measure both on the same customers"
        )
    return np.array([row_of[query] for query in queries], np.intp)


def _timed(measurements: Measurements, other: Measurements) -> Sequence[tuple[str, str]]:
    if any(measurements.times) or len(set(other.times)) > 1:
        return measurements.queries
    return [(other.times[0], customer) for customer in measurements.customers]


def without_nan(value: Any) -> Any:
    """The same JSON value with null for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value

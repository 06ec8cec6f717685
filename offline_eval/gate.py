"""May the new replace the old? A policy names what is protected and by how much it may fall; every promise is tested for all at once.

For each protected metric and slice, each customer has a surplus: (new - old, in the better direction) + the margin. Its mean is below 0
where the new is worse by more than the margin. Signs of customers are flipped, for all questions together, so that a customer of several
slices and metrics is one piece of evidence, and correlated questions cost less than independent ones.

Source:
    max-T: Westfall & Young (1993), Resampling-Based Multiple Testing, single step; sums divided by the root of their squares stay valid
    for unequal variances: Canay, Romano & Shaikh (2017), Econometrica 85(3). Non-inferiority: Wellek (2010), Testing Statistical
    Hypotheses of Equivalence and Noninferiority. That all must hold needs no correction: Berger (1982), Technometrics 24(4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator
from scipy.special import ndtri

from offline_eval.evaluate import Measurements
from offline_eval.hypotheses import POWER, flipped, holm
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.result import OVERALL, paired_rows, slices_of
from offline_eval.significance import Doubles, per_customer
from recsys.errors import ConfigError
from recsys.keys import Section, nearest, read_toml

N_FLIPS = 20_000

WORSE, HOLDS, UNDECIDED = "worse", "holds", "undecided"

_OF_HITS = ("Serendipity", "Revenue", "Margin")
_ROUNDING = 1e-12


class Protected(Section):
    """One promise: a metric that may not fall by more than a margin in any of some slices."""

    metric: str = Field(description="as printed, for example NDCG@10")
    table: str = Field("all purchases", description="which table it is of")
    slices: tuple[str, ...] = Field((OVERALL,), min_length=1, description='"overall", one slice ("tier=high"), or all of a kind ("tier")')
    margin: float | None = Field(None, ge=0, description="how much worse is still accepted, in the metric's unit")
    relative_margin: float | None = Field(None, ge=0, lt=1, description="the same as a share of the old mean; one of the two is required")

    @field_validator("metric")
    @classmethod
    def _is_known(cls, text: str) -> str:
        metrics = parse_metrics(text)
        if len(metrics) != 1:
            raise ValueError(f"one metric for each promise, got {text!r}")
        return str(metrics[0])

    @model_validator(mode="after")
    def _has_one_margin(self) -> Self:
        if (self.margin is None) == (self.relative_margin is None):
            raise ValueError("needs either margin or relative_margin")
        return self


class GatePolicy(Section):
    """What a gate asks; a TOML file with one [[protect]] for each promise."""

    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="chance of any false alarm (harm), or of letting pass what breaks a promise (safety)"
    )
    rule: Literal["harm", "safety"] = Field(
        "harm", description="harm = stop what is shown to be worse; safety = let pass only what is shown not to be worse (non-inferiority)"
    )
    correction: Literal["max-t", "holm"] = Field(
        "max-t", description="how the chance of any false alarm, that something is worse, is kept to alpha over all promises"
    )
    seed: int = Field(7, ge=0, description="of the flips")
    protect: tuple[Protected, ...] = Field(min_length=1, description="the promises")

    @property
    def metrics(self) -> str:
        """Names of all protected metrics, as `parse_metrics` reads them."""
        return ",".join(dict.fromkeys(promise.metric for promise in self.protect))


@dataclass(frozen=True)
class Verdict:
    """What was found for one metric of one slice.

    n:          customers with a value on both sides
    n_dropped:  queries that have a value on the old side and none on the new, and so are not judged
    difference: new less old, as are its bounds; a rise is worse where lower_is_better, else better
    low, high:  bounds of the difference, one-sided each; NaN = no bound. The one towards worse is at alpha: within the margin it says
                "holds". The one towards better is corrected: beyond the margin it says "worse" (under Holm: already its first step)
    margin:     in the metric's unit
    p:          that so bad a surplus is luck, corrected over all promises
    detectable: the least fall beyond the margin that is found 4 times in 5, in the metric's unit (corrected); NaN where nobody differs
    state:      "worse", "holds" or "undecided"; undecided for n = 0, where all other numbers are NaN
    """

    table: str
    metric: str
    slice: str
    lower_is_better: bool
    n: int
    n_dropped: int
    old: float
    new: float
    difference: float
    low: float
    high: float
    margin: float
    p: float
    detectable: float
    state: str


@dataclass(frozen=True)
class GateResult:
    """Verdicts of all promises, in the order of the policy."""

    policy: GatePolicy
    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """What stops the new: what is worse, and under the rule of safety also what is undecided, unless the old has no value there."""
        passing = (HOLDS,) if self.policy.rule == "safety" else (HOLDS, UNDECIDED)
        return tuple(verdict for verdict in self.verdicts if verdict.state not in passing and (verdict.n or verdict.n_dropped))


@dataclass(frozen=True)
class _Question:
    """One metric of one slice.

    customers: of each query with both values
    old, new:  their values
    sign:      -1 = lower is better
    n_dropped: queries with a value on the old side only
    """

    promise: Protected
    slice: str
    customers: Sequence[str]
    old: Doubles
    new: Doubles
    sign: int
    n_dropped: int

    @property
    def margin(self) -> float:
        """In the metric's unit."""
        if self.promise.margin is not None:
            return self.promise.margin
        return float((self.promise.relative_margin or 0.0) * abs(self.old.mean()))

    @property
    def surplus(self) -> Doubles:
        """Of each query; a relative margin moves with the old value, so that its own uncertainty counts."""
        better = self.sign * (self.new - self.old)
        if self.promise.margin is not None:
            return better + self.promise.margin
        share: Doubles = (self.promise.relative_margin or 0.0) * np.sign(self.old.mean()) * self.old
        return better + share


def load_policy(path: Path) -> GatePolicy:
    """Read a policy from a TOML file.

    Raises:
        ConfigError: there is no such file, it is no TOML, a key is unknown or a value wrong.
    """
    try:
        return GatePolicy.model_validate(read_toml(path, "policy"))
    except ValidationError as error:
        raise ConfigError(
            f"{path}: " + "; ".join(_problem(detail["loc"], detail["msg"], detail["type"]) for detail in error.errors())
        ) from error


def gate(new: Sequence[Measurements], old: Sequence[Measurements], policy: GatePolicy) -> GateResult:
    """Judge the first system of `new` against the first of `old` on every promise; slices are those of `old`.

    Args:
        new, old: one per table, of the same queries.

    Raises:
        ValueError: a table, metric or slice of the policy was not measured, no customer of a slice that is named has a value, the new
            lacks a value that it must have, a value is infinite, or the queries differ.
    """
    questions = _without_repeats(
        question for promise in policy.protect for question in _questions(promise, _of(new, promise), _of(old, promise))
    )
    judged = iter(_judge([question for question in questions if question.customers], policy))
    return GateResult(policy, tuple(next(judged) if question.customers else _unseen(question) for question in questions))


def _judge(questions: Sequence[_Question], policy: GatePolicy) -> list[Verdict]:
    """Of questions that somebody answers."""
    if not questions:
        raise ValueError("nobody has a value of anything that is protected")
    sums, counts, scaled = _columns(questions)
    observed = scaled.sum(axis=0)
    flips = np.concatenate(list(flipped(scaled, np.random.default_rng(policy.seed), N_FLIPS)))
    reach = limits(flips, policy.alpha, policy.correction)
    p = _p_values(flips, observed, policy)
    single = _quantile(flips, policy.alpha)
    return [
        _verdict(question, sums[:, column], counts[:, column], p[column], single[column], reach[column], policy)
        for column, question in enumerate(questions)
    ]


def _without_repeats(questions: Iterable[_Question]) -> list[_Question]:
    """A slice that a policy names twice with one margin is asked once: asked twice it would cost power under Holm."""
    kept: dict[tuple[object, ...], _Question] = {}
    for question in questions:
        promise = question.promise
        kept.setdefault((promise.table, promise.metric, promise.margin, promise.relative_margin, question.slice), question)
    return list(kept.values())


def _questions(promise: Protected, new: Measurements, old: Measurements) -> Iterator[_Question]:
    order, ours, theirs = paired_rows(old, new), _column(promise, new), _column(promise, old)
    metric = parse_metrics(promise.metric)[0]
    for name, rows in _chosen(promise, old):
        before, after = old.columns(rows)[0, theirs], new.columns(order[rows])[0, ours]
        where = f"{promise.metric} of {name!r} in {promise.table!r}"
        if np.isinf(before).any() or np.isinf(after).any():
            raise ValueError(f"{where} has infinite values")
        both = ~np.isnan(before) & ~np.isnan(after)
        n_dropped = int((~np.isnan(before) & np.isnan(after)).sum())
        if n_dropped and _always_has_a_value(metric):
            raise ValueError(f"{where}: {n_dropped} queries have a value on the old side and none on the new; an empty list counts 0")
        if name in promise.slices and not both.any():
            raise ValueError(f"no customer has a value of {where} on both sides")
        customers = [old.customers[row] for row in rows[both]]
        yield _Question(promise, name, customers, before[both], after[both], -1 if metric.lower_is_better else 1, n_dropped)


def _always_has_a_value(metric: Metric) -> bool:
    """Whether only what was bought decides if there is a value; of other metrics a short list, or none, may say nothing."""
    return not metric.needs_facts or metric.name in _OF_HITS


def _column(promise: Protected, measured: Measurements) -> int:
    if promise.metric not in measured.figures:
        raise ValueError(f"{promise.metric} of {promise.table!r} was not measured; measured were: {', '.join(measured.figures)}")
    return measured.figures.index(promise.metric)


def _chosen(promise: Protected, old: Measurements) -> Iterator[tuple[str, np.ndarray]]:
    there = dict(slices_of(old))
    for wanted in promise.slices:
        names = [name for name in there if name == wanted or name.startswith(f"{wanted}=")]
        if not names:
            raise ValueError(f"there is no slice {wanted!r} in {promise.table!r};{nearest(wanted, there)} there are: {', '.join(there)}")
        for name in names:
            yield name, there[name]


def _columns(questions: Sequence[_Question]) -> tuple[Doubles, Doubles, Doubles]:
    """Surplus of each customer summed over their queries, number of the queries, and the sums at root mean square 1 / n; (n, m) each."""
    everybody = {customer: row for row, customer in enumerate(sorted({c for question in questions for c in question.customers}))}
    sums, counts = np.zeros((2, len(everybody), len(questions)))
    for column, question in enumerate(questions):
        rows = [everybody[customer] for customer in sorted(set(question.customers))]
        own_sums, own_counts = per_customer(question.customers, question.surplus[:, None])
        sums[rows, column], counts[rows, column] = own_sums[:, 0], own_counts[:, 0]
    lengths = np.sqrt((sums**2).sum(axis=0))
    return sums, counts, np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)


def limits(flips: Doubles, alpha: float, correction: str) -> Doubles:
    """How far above 0 flipped sums go by luck when all questions are asked at once: max-t looks at the farthest of each flip, holm at each
    question alone at alpha / m (its first step, which decides whether there is any alarm).

    flips: (n_flips, m), from `offline_eval.hypotheses.flipped`, each column of root sum of squares 1; returns (m,)
    """
    if correction == "holm":
        return _quantile(flips, alpha / flips.shape[1])
    return np.full(flips.shape[1], _quantile(flips.max(axis=1, keepdims=True), alpha)[0])


def _p_values(flips: Doubles, observed: Doubles, policy: GatePolicy) -> Doubles:
    """That a surplus so low is luck, corrected; flips are symmetric, so how high they go stands for how low; (m,)"""
    if policy.correction == "holm":
        return holm(_tail(flips, -observed))
    return _tail(flips.max(axis=1, keepdims=True), -observed)


def _tail(flips: Doubles, observed: Doubles) -> Doubles:
    p: Doubles = ((flips >= observed - 1e-9).sum(axis=0) + 1) / (len(flips) + 1)
    return p


def _quantile(flips: Doubles, alpha: float) -> Doubles:
    """The value that at most a share alpha of the flips and the observed one together reach; infinite where flips are too few."""
    place = len(flips) - int(np.floor(alpha * (len(flips) + 1) + 1e-9))
    if place >= len(flips):
        return np.full(flips.shape[1], np.inf)
    found: Doubles = np.partition(flips, place, axis=0)[place]
    return found


def _verdict(question: _Question, sums: Doubles, counts: Doubles, p: float, single: float, limit: float, policy: GatePolicy) -> Verdict:
    n, n_queries = int(np.count_nonzero(counts)), counts.sum()
    mean = sums.sum() / n_queries
    scatter = sums[counts > 0] - counts[counts > 0] * mean
    error = np.sqrt((scatter**2).sum() * n / (n - 1)) / n_queries if n > 1 else np.nan
    with np.errstate(invalid="ignore"):  # an infinite reach of no error at all: no bound
        low, high = mean - _reach(single, n) * error, mean + _reach(limit, n) * error
    state = WORSE if p <= policy.alpha and mean < 0 else HOLDS if low > 0 else UNDECIDED
    margin, (before, after) = question.margin, (float(question.old.mean()), float(question.new.mean()))
    bounds = [question.sign * (bound - margin) for bound in (low, high)][:: question.sign]
    moved = error > _ROUNDING * abs(mean) and bool((question.new != question.old).any())
    least = (_reach(limit, n) + ndtri(POWER)) * error if moved else np.nan
    return replace(
        _unseen(question),
        n=n,
        old=before,
        new=after,
        difference=after - before,
        low=_or_nan(bounds[0]),
        high=_or_nan(bounds[1]),
        margin=margin,
        p=float(p),
        detectable=_or_nan(least),
        state=state,
    )


def _unseen(question: _Question) -> Verdict:
    """Of a question that nobody answers."""
    promise, unknown = question.promise, (np.nan,) * 8
    return Verdict(promise.table, promise.metric, question.slice, question.sign < 0, 0, question.n_dropped, *unknown, UNDECIDED)


def _reach(limit: float, n: int) -> float:
    """How many standard errors a sum divided by the root of its squares reaches at a limit; infinite where n customers never do."""
    room = n - limit**2
    return float(limit * np.sqrt((n - 1) / room)) if room > _ROUNDING * n else np.inf


def _or_nan(number: float) -> float:
    return float(number) if np.isfinite(number) else np.nan


def _of(tables: Sequence[Measurements], promise: Protected) -> Measurements:
    found = next((table for table in tables if table.title == promise.table), None)
    if found is None:
        raise ValueError(f"there is no table {promise.table!r}; there are: {', '.join(table.title for table in tables)}")
    return found


def _problem(place: Iterable[int | str], message: str, kind: str) -> str:
    *above, last = place or ("",)
    key = ".".join(map(str, [*above, last]))
    if kind == "extra_forbidden":
        known = Protected.model_fields if above else GatePolicy.model_fields
        return f"unknown key {key!r};{nearest(str(last), known)} there are: {', '.join(known)}"
    return f"{key}: {message.removeprefix('Value error, ')}"

"""What an evaluation found, as plain JSON values: figures and comparisons, metrics by k, lists beside one another, and what moved.

`segrec.evaluation_page` shows it to a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from offline_eval.evaluate import Measurements, evaluate
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.result import Comparison, EvaluationResult, Figure, compare, corrected, summarise, without_nan
from offline_eval.slices import CATEGORY, measure_categories
from recsys.types import aware
from segrec.asking import Answered, rng_of

CUTOFFS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
N_MOVED = 8
N_SHOWN = 2
"""Customers shown who gained most, who lost most, and who were drawn at random."""
N_HISTORY = 12

Json = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One table: its figures, and its comparisons with the reference."""

    answered: Answered
    result: EvaluationResult
    comparisons: tuple[Comparison, ...]

    @property
    def title(self) -> str:
        return self.answered.measurements.title


@dataclass(frozen=True)
class Report:
    """All tables, and what is needed to make them again."""

    parts: tuple[Part, ...]
    about: Mapping[str, Any]
    seed: int

    @property
    def results(self) -> list[EvaluationResult]:
        return [part.result for part in self.parts]


def part_of(answered: Answered, pairs: Sequence[tuple[str, str]], seed: int) -> Part:
    """Figures of all systems, and the comparison of each pair of (system, reference)."""
    measured = answered.measurements
    compared = [row for system, reference in pairs for row in compare(measured, system, reference, rng_of(measured.title, seed))]
    result = summarise(measured, rng_of(measured.title, seed))
    figures, more = _by_category(answered, pairs, seed)
    return Part(answered, replace(result, figures=(*result.figures, *figures)), (*compared, *more))


def _by_category(answered: Answered, pairs: Sequence[tuple[str, str]], seed: int) -> tuple[list[Figure], list[Comparison]]:
    """Figures and comparisons of the systems that are compared, for what was wanted of one category at a time."""
    metrics = parse_metrics(",".join(answered.measurements.figures))
    lists = {name: answered.lists[name] for pair in pairs for name in pair}
    period = answered.period
    if not lists:
        return [], []
    parts = measure_categories(lists, answered.truth, period.catalogue, aware(period.start), metrics, facts=answered.facts)
    figures: list[Figure] = []
    for name, part in parts.items():
        figures += [replace(figure, slice=f"{CATEGORY}={name}") for figure in summarise(part, rng_of(part.title, seed)).figures]
    compared: list[Comparison] = []
    for pair in pairs:
        rows = [(name, row) for name, part in parts.items() for row in compare(part, *pair, rng_of(part.title, seed))]
        compared += corrected([replace(row, slice=f"{CATEGORY}={name}") for name, row in rows])
    return figures, compared


def to_json(report: Report) -> Json:
    """For machines: without what only a picture needs."""
    plain: Json = without_nan(
        {
            "about": dict(report.about),
            "results": [
                {
                    "title": part.title,
                    "systems": list(part.answered.measurements.systems),
                    "customers": len(set(part.answered.measurements.customers)),
                    "figures": [asdict(figure) for figure in part.result.figures],
                    "notices": [asdict(notice) for notice in part.answered.notices],
                    "moved": [moved(part.answered, *pair) for pair in _pairs(part)],
                }
                for part in report.parts
            ],
            "comparisons": [{"table": part.title, **asdict(row)} for part in report.parts for row in part.comparisons],
        }
    )
    return plain


def for_page(report: Report) -> Json:
    """`to_json` and what the page shows besides."""
    content = to_json(report)
    for part, of_part in zip(report.parts, content["results"], strict=True):
        of_part["by_k"] = without_nan(list(by_k(part.answered, report.seed)))
        of_part["lists"] = side_by_side(part.answered, _pairs(part), report.seed)
    return content


def by_k(answered: Answered, seed: int) -> Iterator[Json]:
    """Each metric of single lists at all usual cut-offs up to its own, over all customers."""
    measured = answered.measurements
    for metric in parse_metrics(",".join(measured.metrics)):
        if str(metric) == metric.name:
            continue  # MRR of whole lists has no cut-off
        wanted = [Metric(metric.name, k) for k in sorted({*(k for k in CUTOFFS if k < metric.k), metric.k})]
        again = evaluate(answered.lists, answered.truth, aware(answered.period.start), wanted, title=measured.title, facts=answered.facts)
        figures = {(figure.system, figure.metric): figure for figure in summarise(again, rng_of(measured.title, seed)).figures}
        points = {system: [asdict(figures[system, str(at)]) | {"k": at.k} for at in wanted] for system in measured.systems}
        yield {"metric": metric.name, "cutoffs": [at.k for at in wanted], "systems": points}


def moved(answered: Answered, system: str, reference: str) -> Json:
    """Customers whose first metric rose and fell most against the reference, and items that are shown to more and to fewer."""
    measured = answered.measurements
    change, before, after = _changes(measured, system, reference)
    order = np.argsort(-change, kind="stable")

    def customer(row: int) -> Json:
        return {"customer_id": measured.customers[row], "before": float(before[row]), "after": float(after[row])}

    gained = [customer(row) for row in order[:N_MOVED] if change[row] > 0]
    lost = [customer(row) for row in order[::-1][:N_MOVED] if change[row] < 0]
    first = parse_metrics(measured.metrics[0])[0]
    items = _exposure(answered, system, reference, first.k)
    return {
        "system": system,
        "reference": reference,
        "metric": str(first),
        "n_gained": int((change > 0).sum()),
        "n_lost": int((change < 0).sum()),
        "n_unmoved": int((change == 0).sum()),
        "customers_gained": gained,
        "customers_lost": lost,
        "items_gained": [item for item in items[:N_MOVED] if item["after"] > item["before"]],
        "items_lost": [item for item in items[::-1][:N_MOVED] if item["after"] < item["before"]],
    }


def side_by_side(answered: Answered, pairs: Sequence[tuple[str, str]], seed: int) -> list[Json]:
    """A few customers: what they bought before the cut, what after it, and the list of each system with its hits."""
    measured = answered.measurements
    k = min(parse_metrics(measured.metrics[0])[0].k, 10)
    titles = _titles(answered)
    shown = []
    for row, why in _chosen(measured, pairs, seed).items():
        customer = measured.customers[row]
        wanted = answered.truth[customer]
        lists = [
            {
                "system": system,
                "value": float(measured.values[number, 0, row]),
                "items": [_item(id_, titles) | {"hit": id_ in wanted} for id_ in answered.lists[system].of.get(customer, ())[:k]],
            }
            for number, system in enumerate(measured.systems)
        ]
        history, n_lines = _history(answered, customer)
        shown.append(
            {
                "customer_id": customer,
                "why": why,
                "slices": {kind: labels[row] for kind, labels in measured.slices.items()},
                "n_lines": n_lines,
                "history": [_item(id_, titles) for id_ in history],
                "bought": [_item(id_, titles) for id_ in list(wanted)[:N_HISTORY]],
                "n_bought": len(wanted),
                "metric": measured.metrics[0],
                "lists": without_nan(lists),
            }
        )
    return shown


def _pairs(part: Part) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.system, row.reference) for row in part.comparisons))


def _changes(measured: Measurements, system: str, reference: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first metric gained for each query, in the better direction (0 where one side has no value); before; after."""
    before, after = (measured.values[measured.systems.index(name), 0] for name in (reference, system))
    sign = -1 if parse_metrics(measured.metrics[0])[0].lower_is_better else 1
    return np.nan_to_num(sign * (after - before)), before, after


def _chosen(measured: Measurements, pairs: Sequence[tuple[str, str]], seed: int) -> dict[int, str]:
    """Rows of the customers to show, and why each was chosen."""
    chosen: dict[int, str] = {}
    if pairs:
        change, _, _ = _changes(measured, *pairs[0])
        order = np.argsort(-change, kind="stable")
        chosen |= {int(row): f"gained most: {pairs[0][0]} against {pairs[0][1]}" for row in order[:N_SHOWN] if change[row] > 0}
        chosen |= {int(row): f"lost most: {pairs[0][0]} against {pairs[0][1]}" for row in order[::-1][:N_SHOWN] if change[row] < 0}
    drawn = rng_of("shown", seed).permutation(len(measured.customers))
    return chosen | {int(row): "drawn at random" for row in [row for row in drawn if row not in chosen][:N_SHOWN]}


def _exposure(answered: Answered, system: str, reference: str, k: int) -> list[Json]:
    """Items by how many more customers see them among the first k, most first."""
    titles = _titles(answered)
    before, after = (Counter(item for ranked in answered.lists[name].of.values() for item in ranked[:k]) for name in (reference, system))
    items = sorted(before.keys() | after.keys(), key=lambda id_: (before[id_] - after[id_], id_))
    return [_item(id_, titles) | {"before": before[id_], "after": after[id_]} for id_ in items]


def _titles(answered: Answered) -> dict[str, str]:
    items = answered.period.dataset.items
    return {id_: title or "" for id_, title in zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True)}


def _item(id_: str, titles: Mapping[str, str]) -> Json:
    return {"item_id": id_, "title": titles.get(id_, "")}


def _history(answered: Answered, customer: str) -> tuple[list[str], int]:
    """Distinct items that a customer bought before the cut, newest first, as far as they are shown; and how many lines there were."""
    period = answered.period
    number = period.dataset.customers.number(customer)
    lines = period.dataset.interactions.between(None, period.start)
    is_bought = np.isin(lines.events, period.dataset.event_codes(period.positive_events))
    items = lines.items[is_bought & (lines.customers == (-2 if number is None else number))][::-1]
    ids = period.dataset.item_ids.ids
    return [ids[item] for item in list(dict.fromkeys(items.tolist()))[:N_HISTORY]], len(items)

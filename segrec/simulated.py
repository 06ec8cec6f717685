"""What systems brought in a simulation: figures with intervals, over all visits and by planted segment, as tables and as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from offline_eval.result import without_nan
from offline_eval.significance import Interval, bootstrap
from recsys.synthetic.shopper import Outcomes, Shoppers

MEASURES = ("views", "carts", "purchases", "revenue")
EXPECTED, REALISED = "expected", "realised"
ALL = "all visits"


@dataclass(frozen=True)
class Figure:
    """What a system brought per 100 visits: a mean with its 95 % interval, customers being drawn.

    kind:  EXPECTED, by the truth, or REALISED, as luck had it; the former has less noise
    group: ALL, or a persona; n_visits: in it
    difference: to the first system at the same visits; None for the first itself
    """

    system: str
    group: str
    kind: str
    measure: str
    n_visits: int
    mean: Interval
    difference: Interval | None


@dataclass(frozen=True)
class SimulationResult:
    """Figures of all systems; about: world, bundle, period, and how they were asked."""

    about: Mapping[str, Any]
    figures: tuple[Figure, ...]

    def to_json(self) -> str:
        """For machines; NaN (no interval) becomes null."""
        content = {"about": dict(self.about), "figures": [asdict(figure) for figure in self.figures]}
        return json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False, indent=2)


def compare(outcomes: Mapping[str, Outcomes], shoppers: Shoppers, by: str | None = None) -> tuple[Figure, ...]:
    """Figures of every system, over all visits and, with by = "persona", over those of each planted segment."""
    values = np.concatenate([_per_visit(outcome) for outcome in outcomes.values()], axis=1)
    customers, personas = np.array(shoppers.customer_ids), np.array(shoppers.personas)
    groups = {ALL: np.ones(len(customers), np.bool_)}
    if by == "persona":
        groups |= {str(name): personas == name for name in np.unique(personas)}
    return tuple(
        figure for group, mine in groups.items() for figure in _figures(list(outcomes), group, customers[mine].tolist(), values[mine])
    )


def simulation_tables(result: SimulationResult) -> list[Table]:
    """Expected, realised, and expected against the first system, a row per system; then by persona, where there are any."""
    about = result.about
    over = f"per 100 visits [95 %], {about['visits']:,} visits of {about['customers']:,} customers, lists of {about['k']}"
    expected, realised = ([f for f in result.figures if f.group == ALL and f.kind == kind] for kind in (EXPECTED, REALISED))
    tables = [
        _table(f"{EXPECTED} {over}", "system", [(f.system, f.measure, _mean(f)) for f in expected]),
        _table(f"{REALISED} {over}", "system", [(f.system, f.measure, _mean(f)) for f in realised]),
        _table(f"{EXPECTED}, more than {expected[0].system}", "system", [(f.system, f.measure, _more(f)) for f in expected]),
    ]
    personas = [f for f in result.figures if f.group != ALL and (f.kind, f.measure) == (EXPECTED, "purchases")]
    if personas:
        cells = [(f"{f.group} ({f.n_visits:,})", f.system, _mean(f, 0)) for f in personas]
        tables.append(_table("expected purchases per 100 visits [95 %]", "persona (visits)", cells))
    return tables


def _table(title: str, corner: str, cells: Sequence[tuple[str, str, str]]) -> Table:
    """cells: row, column, text; every row has every column."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(corner)
    for column in dict.fromkeys(column for _, column, _ in cells):
        table.add_column(Text(column), justify="right")
    for row in dict.fromkeys(row for row, _, _ in cells):
        table.add_row(Text(row), *(Text(text) for name, _, text in cells if name == row))
    return table


def _mean(figure: Figure, n_decimals: int = 1) -> str:
    mean, n = figure.mean, 0 if figure.measure == "revenue" else n_decimals
    return f"{mean.estimate:.{n}f}" + (f" [{mean.low:.{n}f}, {mean.high:.{n}f}]" if np.isfinite(mean.low) else "")


def _more(figure: Figure) -> str:
    if figure.difference is None:
        return "-"
    more, n = figure.difference, 0 if figure.measure == "revenue" else 1
    return f"{more.estimate:+.{n}f}" + (f" [{more.low:+.{n}f}, {more.high:+.{n}f}]" if np.isfinite(more.low) else "")


def _figures(systems: Sequence[str], group: str, customers: Sequence[str], values: NDArray[np.float64]) -> Iterator[Figure]:
    """values: per visit, by system, kind and measure; (n_visits, n_systems * 8)."""
    drawn = bootstrap(customers, values, np.random.default_rng(zlib.crc32(group.encode())))
    cells = [(kind, measure) for kind in (EXPECTED, REALISED) for measure in MEASURES]
    for row, system in enumerate(systems):
        for column, (kind, measure) in enumerate(cells):
            at = row * len(cells) + column
            difference = drawn.difference(at, column) if row else None
            yield Figure(system, group, kind, measure, len(customers), drawn.mean(at), difference)


def _per_visit(outcome: Outcomes) -> NDArray[np.float64]:
    """Expected, then realised, of each of MEASURES per 100 visits; (n_visits, 8)."""
    answers = outcome.answers
    realised = answers.viewed >= 0, answers.carted, answers.bought, answers.revenue
    return 100 * np.stack([*(getattr(outcome.expected, name) for name in MEASURES), *realised], axis=1).astype(np.float64)

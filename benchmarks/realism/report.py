"""A comparison as tables for the terminal, as sentences, as JSON and as the page docs/realism.md."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from benchmarks.realism.comparison import Comparison, Difference, ShapeDistance, Shop
from benchmarks.realism.definitions import GROUPS, FigureDefinition, Group, Kind
from offline_eval.result import without_nan

ABSENT = "-"
MEASURES = {"KS": "KS", "TV": "share moved", "mean": "mean difference"}


def tables(comparison: Comparison) -> list[Table]:
    """One table per group of figures, then the distances."""
    return [*(_figure_table(group, comparison.shops) for group in shown_groups(comparison.shops)), _distance_table(comparison)]


def shown_groups(shops: Sequence[Shop]) -> list[Group]:
    """Groups of which some shop has a figure."""
    return [group for group in GROUPS if any(math.isfinite(shop.figure(one.name)) for shop in shops for one in group.figures)]


def _figure_table(group: Group, shops: Sequence[Shop]) -> Table:
    table = _table(group.title, [shop.name for shop in shops])
    for definition in group.figures:
        table.add_row(definition.label, *cells(definition, shops))
    return table


def _distance_table(comparison: Comparison) -> Table:
    table = _table("distances", distance_columns(comparison))
    for distance in comparison.distances:
        table.add_row(shape_label(distance), *distance_cells(distance))
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table


def cells(definition: FigureDefinition, shops: Sequence[Shop]) -> list[str]:
    """The figure of each shop."""
    return [formatted(shop.figure(definition.name), definition.kind) for shop in shops]


def distance_columns(comparison: Comparison) -> list[str]:
    """Headings over `distance_cells`."""
    if comparison.planted is None:
        return ["between the real"]
    return [*(f"to {shop.name}" for shop in comparison.real), "between the real", "as near?"]


def distance_cells(distance: ShapeDistance) -> list[str]:
    """The distances of one shape, and whether the planted shop is as near to a real one as those to each other."""
    numbers = [formatted(value, "number") for value in (*distance.to_real, distance.between_real)]
    if not distance.to_real:
        return numbers
    return [*numbers, ("yes" if distance.is_nearer else "no") if distance.is_known else ABSENT]


def shape_label(distance: ShapeDistance) -> str:
    """Name of the shape and its measure."""
    return f"{distance.definition.label} ({MEASURES[distance.definition.measure]})"


def formatted(value: float, kind: Kind) -> str:
    """A figure with three digits or so; a dash where there is none."""
    if not math.isfinite(value):
        return ABSENT
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "count" or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def verdict(comparison: Comparison) -> list[str]:
    """The answer in two or three sentences; none without a planted shop."""
    planted = comparison.planted
    if planted is None:
        return []
    real = joined([shop.name for shop in comparison.real])
    inside = comparison.n_compared - len(comparison.differences)
    known = [distance for distance in comparison.distances if distance.is_known]
    sentences = [
        f"{inside} of {comparison.n_compared} figures of {planted.name} lie inside the range of {real} or near it "
        "(shares within 5 points, others within a quarter)."
    ]
    if known:
        near = sum(distance.is_nearer for distance in known)
        sentences.append(f"In {near} of {len(known)} shapes it is as near to one of them as they are to each other, or nearer.")
    return sentences


def differences(comparison: Comparison) -> list[str]:
    """Where the planted shop differs, in words, the furthest first: figures outside the range, then shapes further than the yardstick."""
    return [
        *(_difference_sentence(one, comparison) for one in comparison.differences),
        *(_shape_sentence(one) for one in comparison.distances if one.is_known and not one.is_nearer),
    ]


def _difference_sentence(one: Difference, comparison: Comparison) -> str:
    kind = one.definition.kind
    real = [shop for shop in comparison.real if math.isfinite(shop.figure(one.definition.name))]
    against = joined([f"{formatted(shop.figure(one.definition.name), kind)} in {shop.name}" for shop in real])
    label = one.definition.label[0].upper() + one.definition.label[1:]
    return f"{label}: {formatted(one.planted, kind)}, against {against}; {_how_far(one)}."


def _how_far(one: Difference) -> str:
    direction = "above" if one.planted > one.nearest else "below"
    if one.definition.kind == "share":
        return f"{100 * abs(one.planted - one.nearest):.0f} points {direction} the nearest"
    low, high = sorted((abs(one.planted), abs(one.nearest)))
    return f"{direction} the nearest by a factor of {high / low:.1f}" if low > 0 else f"{direction} the nearest"


def _shape_sentence(one: ShapeDistance) -> str:
    label = one.definition.label[0].upper() + one.definition.label[1:]
    nearest, between = formatted(one.nearest, "number"), formatted(one.between_real, "number")
    return (
        f"{label}: the shape is {nearest} away from the nearest real shop ({MEASURES[one.definition.measure]}), those are {between} apart."
    )


def joined(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def to_json(comparison: Comparison) -> str:
    """All figures, distances and sentences; null for what a shop does not have."""
    content = {
        "shops": [
            {
                "name": shop.name,
                "is_planted": shop.is_planted,
                "figures": shop.measured.figures,
                "profiles": {name: [x.tolist(), y.tolist()] for name, (x, y) in shop.measured.profiles.items() if len(x) <= 60},
            }
            for shop in comparison.shops
        ],
        "distances": [
            {
                "name": one.definition.name,
                "measure": one.definition.measure,
                "to_real": dict(zip((shop.name for shop in comparison.real), one.to_real, strict=False)),
                "between_real": one.between_real,
                "is_nearer": one.is_nearer if one.is_known else None,
            }
            for one in comparison.distances
        ],
        "differences": differences(comparison),
    }
    return json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False, indent=2)

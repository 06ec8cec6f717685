"""The report of an evaluation as one HTML page that needs nothing else: `segrec.evaluation_report` in words and pictures.

Here numbers become places in pictures; the words are in templates/evaluation.html. Whatever comes from the shop is escaped. Every system
has a letter, a shape and a colour: the letter alone is enough to read the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from string import ascii_uppercase
from typing import Any

import jinja2

from segrec.segment_page import COLOURS, TEMPLATES, UNKNOWN, colour

DASHES = ("none", "7 4", "2 4", "9 3 2 3")
"""Of lines; together with the letter at the end of each line."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400.0, 270.0, 62.0, 40.0, 12.0, 34.0
LABEL_HEIGHT = 14.0

Json = Mapping[str, Any]


def page(report: Json) -> str:
    """The page; report: as `segrec.evaluation_report.for_page` makes it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure, "change": change, "plural": plural}
    parts = [_part(result, [row for row in report["comparisons"] if row["table"] == result["title"]]) for result in report["results"]]
    return environment.get_template("evaluation.html").render(about=report["about"], parts=parts, colour=colour, n_colours=len(COLOURS))


def figure(value: float | None) -> str:
    """A metric with four decimals, and large ones with one."""
    return UNKNOWN if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def change(share: float | None) -> str:
    """A relative difference with its sign."""
    return UNKNOWN if share is None else f"{share:+.1%}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _part(result: Json, comparisons: Sequence[Json]) -> dict[str, Any]:
    """One table as the template draws it."""
    letters = {system: ascii_uppercase[row] if row < 26 else f"A{row}" for row, system in enumerate(result["systems"])}
    pairs = list(dict.fromkeys((row["system"], row["reference"]) for row in comparisons))
    metrics = list(dict.fromkeys(row["metric"] for row in result["figures"]))
    shown = list(dict.fromkeys(name for pair in pairs for name in pair[::-1])) or result["systems"][:1]
    return {
        **result,
        "lists": [{**person, **_apart_from(shown, person["lists"])} for person in result["lists"]],
        "letters": letters,
        "metrics": metrics,
        "n_figures": {(row["system"], row["metric"]): row for row in result["figures"] if row["slice"] == "overall"},
        "curves": [curve(of_metric) for of_metric in result["by_k"]],
        "shown": shown,
        "levels": [_levels(metric, shown, result["figures"]) for metric in metrics],
        "pairs": [_pair(pair, [row for row in comparisons if (row["system"], row["reference"]) == pair]) for pair in pairs],
    }


def _apart_from(shown: Sequence[str], lists: Sequence[Json]) -> dict[str, list[Json]]:
    """The lists of the systems that are compared, and those of the others, which a reader opens if wanted."""
    return {"lists": [of for of in lists if of["system"] in shown], "others": [of for of in lists if of["system"] not in shown]}


def curve(of_metric: Json) -> dict[str, Any]:
    """Lines of one metric over its cut-offs, evenly spaced; a little apart, so that no interval hides another."""
    cutoffs, systems = of_metric["cutoffs"], of_metric["systems"]
    known = [point for points in systems.values() for point in points if point["mean"] is not None]
    top = max((point["high"] or point["mean"] for point in known), default=1.0) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(len(cutoffs) - 1, 1)
    apart = min(4.0, step / (4 * max(len(systems), 1)), 20 / max(len(systems), 1))

    def y(value: float) -> float:
        return round(TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for row, (system, points) in enumerate(systems.items()):
        shift = (row - (len(systems) - 1) / 2) * apart
        places = [
            {
                "x": round(LEFT + at * step + shift, 1),
                "y": y(point["mean"]),
                "low": None if point["low"] is None else y(point["low"]),
                "high": None if point["high"] is None else y(point["high"]),
            }
            for at, point in enumerate(points)
            if point["mean"] is not None
        ]
        lines.append({"system": system, "row": row, "dash": DASHES[row % len(DASHES)], "places": places})
    ends = _apart([line["places"][-1]["y"] if line["places"] else HEIGHT for line in lines])
    return {
        "metric": of_metric["metric"],
        "lines": [{**line, "label": end} for line, end in zip(lines, ends, strict=True)],
        "cutoffs": [(k, round(LEFT + at * step, 1)) for at, k in enumerate(cutoffs)],
        "ticks": [(value, y(value)) for value in (0.0, top / 2, top)],
        "systems": systems,
    }


def _apart(heights: Sequence[float]) -> list[float]:
    """The same heights, moved until labels do not cover one another, from the topmost down, and up again from the bottom."""
    order = sorted(range(len(heights)), key=lambda row: heights[row])
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + LABEL_HEIGHT)
    limit = HEIGHT - BOTTOM
    for row in order[::-1]:
        moved[row] = round(min(moved[row], limit), 1)
        limit = moved[row] - LABEL_HEIGHT
    return moved


def _levels(metric: str, systems: Sequence[str], figures: Sequence[Json]) -> dict[str, Any]:
    """A metric in every slice, on one scale; of the systems that are compared."""
    rows = [row for row in figures if row["metric"] == metric and row["system"] in systems]
    low, high = _ends(rows, "mean", 0.0)
    slices = [
        {
            "slice": slice_,
            "n": max(row["n"] for row in of_slice),
            "rows": [{**row, **_span(row, "mean", low, high)} for row in sorted(of_slice, key=lambda row: systems.index(row["system"]))],
        }
        for slice_, of_slice in _by_slice(rows)
    ]
    return {"metric": metric, "low": low, "high": high, "kinds": _by_kind(slices)}


def _pair(pair: tuple[str, str], rows: Sequence[Json]) -> dict[str, Any]:
    """Relative differences of one system and its reference in every slice, each metric on its own scale around 0."""
    metrics = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        flat = [{**row, **row["relative"]} for row in rows if row["metric"] == metric]
        low, high = _ends(flat, "estimate", 0.0)
        slices = [{**row, **_span(row, "estimate", low, high)} for row in flat]
        zero = round(100 * (0 - low) / (high - low), 2)
        metrics.append({"metric": metric, "low": low, "high": high, "zero": zero, "kinds": _by_kind(slices)})
    return {"system": pair[0], "reference": pair[1], "metrics": metrics}


def _ends(rows: Sequence[Json], middle: str, always: float) -> tuple[float, float]:
    """A scale that holds all intervals and one value that must be on it."""
    values = [value for row in rows for value in (row["low"], row["high"], row[middle]) if value is not None] + [always]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _span(row: Json, middle: str, low: float, high: float) -> dict[str, float | None]:
    """Where an interval begins, how wide it is, and where its middle lies, in percent of the scale; None = there is none."""

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / (high - low), 2)

    start, end = place(row["low"]), place(row["high"])
    return {"start": start, "width": None if start is None or end is None else round(end - start, 2), "middle": place(row[middle])}


def _by_slice(rows: Sequence[Json]) -> Iterator[tuple[str, list[Json]]]:
    slices = list(dict.fromkeys(row["slice"] for row in rows))
    ordered = sorted(rows, key=lambda row: slices.index(row["slice"]))
    for slice_, of_slice in groupby(ordered, key=lambda row: row["slice"]):
        yield str(slice_), list(of_slice)


def _by_kind(slices: Sequence[Json]) -> list[tuple[str, list[Json]]]:
    kinds: dict[str, list[Json]] = {}
    for of_slice in slices:
        kinds.setdefault(str(of_slice["slice"]).partition("=")[0], []).append(of_slice)
    return list(kinds.items())

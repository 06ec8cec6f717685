"""The report of a segmentation as one HTML page that needs nothing else: `segrec.segment_report` in words and pictures.

Here numbers become places in pictures and texts; the words are in templates/segments.html. Whatever comes from the shop is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from segmentation.choice import MIN_STABILITY, N_RESAMPLES

TEMPLATES = Path(__file__).with_name("templates")
COLOURS = ("#1f5fa8", "#b8500a", "#117733", "#882255", "#6b5d00", "#5b4bc4", "#0b7a72", "#b0307a")
"""All at least 4.5 to 1 against white; told apart by readers who do not see all colours, together with the ids that stand beside them."""
UNKNOWN = "n/a"
MIXED = 0.2
"""A mood nearer to 0 than this is neither good nor bad."""
GONE = "#626b77"
"""Of a segment that there is no more."""
SIDE = 400.0
"""Of a square picture, in its own units."""
LABEL_HEIGHT, LABEL_WIDTH = 18.0, 26.0

Json = Mapping[str, Any]
Place = tuple[float, float]


def page(report: Json, succession: Json | None) -> str:
    """The page.

    Args:
        report: as `segrec.segment_report.report_of` makes it
        succession: what became of a former fit's segments, as `segrec.segment` keeps it; None = there was none
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "money": money, "number": number, "words": _words, "stage": _stage, "mood": mood}
    outcome = report["outcome"]
    tones = {segment["id"]: colour(row) for row, segment in enumerate(report["segments"])}
    return environment.get_template("segments.html").render(
        report=report,
        succession=succession,
        colour=colour,
        tone=lambda id_: tones.get(id_, GONE),
        map=None if report["map"] is None else map_picture(report["map"]),
        choice=choice_picture(report["choice"]) if report["choice"] else None,
        reliability=None if outcome is None or outcome["churn"] is None else reliability_picture(outcome["churn"]["bins"]),
        flow=None if succession is None else flow_picture(succession["moves"]),
        value_end=_end(segment["value"] for segment in report["segments"]),
        min_stability=MIN_STABILITY,
        n_resamples=N_RESAMPLES,
    )


def colour(row: int) -> str:
    """Of the segment in this row; from the ninth on they begin again, and the points of the map become squares."""
    return COLOURS[row % len(COLOURS)]


def percent(share: float | None) -> str:
    """Whole percents, and tenths of small ones; what is nearly nothing or nearly all says so."""
    if share is None or math.isnan(share):
        return UNKNOWN
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


def money(amount: float | None) -> str:
    """Without cents from 100 on."""
    return UNKNOWN if amount is None else f"{amount:,.0f}" if abs(amount) >= 100 else f"{amount:,.2f}"


def mood(score: float | None) -> str:
    """In a word, with the score from -1 to 1."""
    if score is None:
        return UNKNOWN
    word = "mixed" if abs(score) < MIXED else "content" if score > 0 else "discontented"
    return f"{word} ({score:+.2f})"


def number(value: float | None) -> str:
    """A count, or a measure with two decimals."""
    return UNKNOWN if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def map_picture(drawn: Json) -> dict[str, Any]:
    """One path of points per segment, and a label at each centre that none other covers."""
    xs, ys = zip(*drawn["points"], *drawn["centres"], strict=True)
    left, top = min(xs), max(ys)
    scale = (SIDE - 20) / (max(max(xs) - left, top - min(ys)) or 1.0)

    def place(x: float, y: float) -> Place:
        return round(10 + (x - left) * scale, 1), round(10 + (top - y) * scale, 1)

    groups: dict[int, list[str]] = {}
    for (x, y), segment in zip(drawn["points"], drawn["segments"], strict=True):
        at_x, at_y = place(x, y)
        groups.setdefault(segment, []).append(f"M{at_x:g} {at_y:g}h0")
    return {
        "width": round((max(xs) - left) * scale + 20, 1),
        "height": round((top - min(ys)) * scale + 20, 1),
        "paths": {segment: "".join(moves) for segment, moves in sorted(groups.items())},
        "labels": _apart([place(*centre) for centre in drawn["centres"]]),
        "n_points": len(drawn["points"]),
    }


def choice_picture(candidates: Sequence[Json]) -> dict[str, Any]:
    """Stability with its band and silhouette, by number of segments; from 0 to 1, below 0 counts as 0."""
    first, last = candidates[0]["n_segments"], candidates[-1]["n_segments"]

    def place(n: int, value: float) -> Place:
        return round(40 + (n - first) / max(last - first, 1) * 340, 1), round(20 + (1 - min(max(value, 0), 1)) * 180, 1)

    def line(name: str, shift: float = 0.0) -> list[Place]:
        known = [row for row in candidates if row[name] is not None and row["deviation"] is not None]
        return [place(row["n_segments"], row[name] + shift * row["deviation"]) for row in known]

    return {
        "stability": line("stability"),
        "band": line("stability", 1) + line("stability", -1)[::-1],
        "silhouette": line("silhouette"),
        "numbers": [(row["n_segments"], place(row["n_segments"], 0)[0]) for row in candidates],
        "limit": place(first, MIN_STABILITY)[1],
    }


def reliability_picture(bins: Sequence[Json]) -> list[dict[str, Any]]:
    """A point per bin: what was said from left to right, what came from below upwards; in a square of 300 from (45, 10)."""
    return [{"x": round(45 + 300 * part["said"], 1), "y": round(310 - 300 * part["came"], 1), **part} for part in bins]


def flow_picture(moves: Sequence[Json]) -> dict[str, Any]:
    """Bands from the former segments on the left to the new ones on the right, as wide as there are customers in them."""
    before = list(dict.fromkeys(move["before"] for move in moves))
    after = sorted({move["after"] for move in moves}, key=lambda id_: (id_ not in before, before.index(id_) if id_ in before else 0, id_))
    total = sum(move["customers"] for move in moves) or 1
    gap = 8.0
    unit = (360 - gap * max(len(before), len(after))) / total
    left, right = _stacked(before, moves, "before", unit, gap), _stacked(after, moves, "after", unit, gap)
    tops = {("before", id_): top for id_, top, _ in left} | {("after", id_): top for id_, top, _ in right}
    bands = []
    for move in sorted(moves, key=lambda move: (before.index(move["before"]), after.index(move["after"]))):
        height = move["customers"] * unit
        start, end = tops["before", move["before"]], tops["after", move["after"]]
        tops["before", move["before"]] += height
        tops["after", move["after"]] += height
        bands.append({**move, "path": _band(start, end, height)})
    return {"left": left, "right": right, "bands": bands}


def _stacked(ids: Sequence[str], moves: Sequence[Json], side: str, unit: float, gap: float) -> list[tuple[str, float, float]]:
    """Id, top and height of each block of a column."""
    blocks, top = [], 10.0
    for id_ in ids:
        height = unit * sum(move["customers"] for move in moves if move[side] == id_)
        blocks.append((id_, round(top, 2), round(height, 2)))
        top += height + gap
    return blocks


def _band(start: float, end: float, height: float) -> str:
    upper = f"M60 {start:.1f}C200 {start:.1f} 200 {end:.1f} 340 {end:.1f}"
    return f"{upper}L340 {end + height:.1f}C200 {end + height:.1f} 200 {start + height:.1f} 60 {start + height:.1f}Z"


def _apart(places: Sequence[Place]) -> list[Place]:
    """The same places, moved up and down until no label covers another."""
    order = sorted(range(len(places)), key=lambda row: (places[row][1], row))
    moved: dict[int, Place] = {}
    for row in order:
        x, y = places[row]
        y = max(y, LABEL_HEIGHT)
        while any(abs(x - other_x) < LABEL_WIDTH and abs(y - other_y) < LABEL_HEIGHT for other_x, other_y in moved.values()):
            y += 2
        moved[row] = (x, round(y, 1))
    return [moved[row] for row in range(len(places))]


def _end(spreads: Any) -> float:
    """Where the scale of value ends: the highest of what is drawn."""
    return max((max(spread["highest"], spread["mean"]) for spread in spreads if spread is not None), default=1.0) or 1.0


def _words(names: Sequence[str]) -> str:
    return ", ".join(name.capitalize() if name.isupper() else name for name in names)


def _stage(name: str) -> str:
    return name.replace("_", " ")

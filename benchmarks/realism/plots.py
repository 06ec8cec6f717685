"""The curves as small SVG files; the only file that imports matplotlib. Equal numbers give equal files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.realism.comparison import Shop, distribution
from benchmarks.realism.definitions import SHAPES

MAX_POINTS = 100
WIDTH, HEIGHT = 3.6, 3.0
PLANTED = "#c2410c"
REAL = ("#1d4ed8", "#0f766e", "#6d28d9", "#4d7c0f")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "realism",
    "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "legend.frameon": False,
}
WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")

Panel = Callable[[Axes, Sequence[Shop]], None]


def lorenz(of: str) -> Panel:
    """Share of lines over the share of items, or customers, that have least."""

    def draw(axes: Axes, shops: Sequence[Shop]) -> None:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        for shop, look in _looks(shops):
            at, share = shop.measured.profiles[f"lorenz_{of}"]
            places = np.linspace(0, 1, MAX_POINTS)
            axes.plot(places, np.interp(places, at, share), **look)
        axes.set(title=f"lines over {of}", xlabel=f"share of {of}, fewest lines first", ylabel="share of lines")

    return draw


def ranks(axes: Axes, shops: Sequence[Shop]) -> None:
    """Lines of an item over its rank."""
    for shop, look in _looks(shops):
        rank, lines = shop.measured.profiles["ranks_items"]
        places = np.unique(np.geomspace(1, len(rank), MAX_POINTS).astype(np.int64)) - 1
        axes.plot(rank[places], lines[places], **look)
    axes.set(title="lines over rank", xlabel="rank / items", ylabel="lines / mean of items", xscale="log", yscale="log")


def spread(name: str) -> Panel:
    """Cumulative share of values over their median, on a logarithmic axis."""
    shape = next(shape for shape in SHAPES if shape.name == name)

    def draw(axes: Axes, shops: Sequence[Shop]) -> None:
        shares = np.linspace(0.002, 0.998, MAX_POINTS)
        for shop, look in _looks(shops):
            if (found := distribution(shop, shape)) is not None:
                values = found.quantiles(shares)
                axes.plot(values[values > 0], shares[values > 0], **look)
        axes.set(title=shape.label, xlabel="value / median", ylabel="share up to there", xscale="log", xlim=(0.01, 100))

    return draw


def profile(name: str, title: str, label: str, names: Sequence[str] = ()) -> Panel:
    """A curve as it is."""

    def draw(axes: Axes, shops: Sequence[Shop]) -> None:
        for shop, look in _looks(shops):
            axes.plot(*shop.measured.profiles[name], **look)
        axes.set(title=title, xlabel=label)
        axes.set_ylim(bottom=0)
        if names:
            axes.set_xticks(range(len(names)), names)

    return draw


PLOTS: dict[str, tuple[Panel, ...]] = {
    "long-tail": (lorenz("items"), ranks, lorenz("customers")),
    "baskets": (spread("basket_items"), spread("basket_money"), spread("price")),
    "time": (spread("gap"), spread("repeat_gap"), spread("rate")),
    "again": (
        profile("repeat_share", "share of repeat lines", "k-th basket of the customer"),
        profile("new_items", "share of items that are new", "month of the data"),
        spread("baskets_per_customer"),
    ),
    "calendar": (
        profile("weekday", "share of baskets", "weekday", WEEKDAYS),
        profile("month", "baskets per day over the mean", "month of the year"),
    ),
}
"""Panels of each file."""


def write_plots(shops: Sequence[Shop], folder: Path) -> list[Path]:
    """Write one SVG per name, panels side by side, the legend in the first; the paths, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):
        for name, panels in PLOTS.items():
            figure = Figure(figsize=(WIDTH * len(panels), HEIGHT), layout="constrained")
            axes: Sequence[Axes] = figure.subplots(1, len(panels), squeeze=False)[0]
            for place, panel in zip(axes, panels, strict=True):
                panel(place, shops)
                _plain_ticks(place)
            axes[0].legend(fontsize=8)
            paths.append(folder / f"{name}.svg")
            figure.savefig(paths[-1], format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return paths


def _plain_ticks(axes: Axes) -> None:
    """Numbers as 0.01, not as powers of ten, and no small ticks: they are most of a file."""
    axes.minorticks_off()
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "log":
            axis.set_major_formatter("{x:g}")


def _looks(shops: Sequence[Shop]) -> list[tuple[Shop, dict[str, Any]]]:
    """How each shop is drawn: the planted one thick, the real ones dashed or dotted too, for eyes that see no colours."""
    real = iter(zip(REAL, ("--", ":", "-.", (0, (1, 3))), strict=True))
    looks = []
    for shop in shops:
        colour, line = (PLANTED, "-") if shop.is_planted else next(real)
        looks.append((shop, {"color": colour, "linestyle": line, "linewidth": 1.8 if shop.is_planted else 1.4, "label": shop.name}))
    return looks

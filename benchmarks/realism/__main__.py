"""Compares how people buy in a planted shop with how they buy in real ones.

    python -m benchmarks.realism --planted worlds/planted --real shops/complete-journey --real shops/online-retail --out docs/realism

Prints figures side by side, the distances between shapes, and where the planted shop differs. With --out it also draws the curves as
SVG files into that folder and writes a page of the same name beside it (docs/realism.md); that needs the extra `plots`.
Without --planted the real shops are compared with each other alone.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from benchmarks.realism.comparison import Comparison, Shop, compare
from benchmarks.realism.measures import Measured, measure
from benchmarks.realism.page import write_page
from benchmarks.realism.purchases import purchases_of
from benchmarks.realism.report import differences, tables, to_json, verdict
from benchmarks.realism.sessions import measure_sessions
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from segrec.console import output, say


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare, print, write."""
    options = _options(arguments)
    given = [(options.planted, True)] if options.planted else []
    try:
        shops = [load(folder, is_planted) for folder, is_planted in (*given, *((folder, False) for folder in options.real))]
    except DataError as error:
        raise SystemExit(f"realism: {error}") from None
    comparison = compare(shops)
    _print(comparison)
    if options.json is not None:
        options.json.write_text(to_json(comparison), encoding="utf-8")
    if options.out is not None:
        _write(comparison, options)


def load(folder: Path, is_planted: bool) -> Shop:
    """Measure the shop in a folder; that of a planted world is in its folder `shop`."""
    inside = folder / "shop"
    path = inside if is_planted and inside.is_dir() else folder
    say(f"  reading {folder}")
    measured = Measured.joined([measure(purchases_of(Dataset.load(path))), measure_sessions(path)])
    return Shop(folder.name or folder.resolve().name, measured, is_planted)


def _print(comparison: Comparison) -> None:
    console = output()
    for table in tables(comparison):
        console.print(table)
    for sentence in verdict(comparison):
        console.print(sentence)
    for sentence in differences(comparison):
        console.print(f"- {sentence}")


def _write(comparison: Comparison, options: argparse.Namespace) -> None:
    from benchmarks.realism.plots import write_plots  # matplotlib is an extra, and only needed here

    planted = f"--planted {options.planted} " if options.planted else ""
    real = " ".join(f"--real {folder}" for folder in options.real)
    page = options.out.with_suffix(".md")
    write_page(
        comparison, write_plots(comparison.shops, options.out), f"python -m benchmarks.realism {planted}{real} --out {options.out}", page
    )
    say(f"  written: {page}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.realism", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planted", type=Path, help="folder of a planted world, or of its imported shop")
    parser.add_argument("--real", type=Path, action="append", required=True, help="folder of an imported shop; may be repeated")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--out", type=Path, help="folder for pictures; the page is written beside it")
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.out is not None and importlib.util.find_spec("matplotlib") is None:
        parser.error("--out draws pictures with matplotlib; install it with: pip install -e '.[plots]', or leave --out away")
    return options


if __name__ == "__main__":
    main()

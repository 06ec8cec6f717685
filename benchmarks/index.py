"""How much the vector index finds, how fast, and what it adds to bare FAISS; hnswlib and usearch in the same run.

    python -m benchmarks.index --data shops/complete-journey --n 10000,100000
    python -m benchmarks.index --texts titles.parquet:title --n 1000000 --kinds hnsw,ivf_sq8,ivf_pq

One query at a time, the best 200 rows, real texts as queries. Times are processor time on one thread, the median over the queries: on a
busy machine the clock on the wall says little. Where a size needs more texts than there are, mixtures of near ones fill it up
(`benchmarks.textlike`). Filters let a random 50 %, 5 % or .5 % pass. "bare" is FAISS called directly on the same
index with the same breadth, and with its own selector where there is a filter; both calls take turns, and "adds" is the median of
the differences. A bare call with a selector may return too few rows, or not the best: its recall tells. "states" is the recall that
the index vouches for; with --told it was told other real texts, as a shop tells it the queries of its customers, else it had to guess.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.index_systems import N_BEST, System, systems
from benchmarks.textlike import TextLike, encode, read_texts, text_like
from recsys.text.index_recall import best_scores
from recsys.threads import limit_threads
from recsys.types import Flags, Floats
from segrec.console import output, steps

SHARES = (None, 0.5, 0.05, 0.005)
KINDS = "exact,hnsw,ivf,ivf_sq8,ivf_pq"
_TIE = 1e-5


@dataclass(frozen=True)
class Row:
    """One line of the table: a system under one filter. Milliseconds of processor time; NaN where there is no bare call."""

    n: int
    index: str
    share: float | None
    recall: float
    stated: float
    p50_ms: float
    p95_ms: float
    bare_recall: float = math.nan
    bare_p50_ms: float = math.nan
    adds_us: float = math.nan


@dataclass(frozen=True)
class Filter:
    """A share of the vectors drawn at random, how many best rows there are, and the score of the last of them for each query, (q, 1)."""

    share: float | None
    eligible: Flags | None
    n_best: int
    last: Floats


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[], help="folder of an imported shop; may be repeated")
    parser.add_argument("--texts", action="append", default=[], help="FILE.parquet:COLUMN; may be repeated")
    parser.add_argument("--n", default="10000,100000", help="sizes, with commas between them")
    parser.add_argument("--kinds", default=KINDS, help="kinds of index, with commas between them")
    parser.add_argument("--no-peers", action="store_true", help="leave hnswlib and usearch out")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--told", action="store_true", help="every second query only tells our indexes what they will be asked")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "segrec-index", help="keeps the encoded texts")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    if not args.data and not args.texts:
        parser.error("give texts with --data SHOP or --texts FILE.parquet:COLUMN")
    found: list[dict[str, Any]] = []
    with limit_threads(1):
        with steps() as progress:
            real = encode(read_texts(args.data, args.texts), args.work / "encoded", 1, progress)
        for n in map(int, args.n.split(",")):
            world = text_like(real, n, args.queries)
            rows = measure(world.told() if args.told else world, args.kinds.split(","), with_peers=not args.no_peers)
            found += [asdict(row) for row in rows]
            if args.json is not None:
                args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def measure(world: TextLike, kinds: Sequence[str], with_peers: bool) -> list[Row]:
    """All rows of one size; what is said of each system is printed as it comes, the table at the end."""
    n, dim = world.vectors.shape
    say = output().print
    say(f"\n{n:,} vectors of {dim}: {world.n_real:,} real texts, {n - world.n_real:,} mixtures; {len(world.queries)} queries")
    filters = [_filter(world, share) for share in SHARES]
    rows = []
    for system in systems(world.vectors, kinds, with_peers, world.samples):
        if isinstance(system, str):
            say(system)
            continue
        say(f"{system.name}: built in {system.seconds:.0f} s, {system.memory_mb:,.0f} MB; {system.note}", soft_wrap=True)
        rows += [_row(world, system, chosen) for chosen in filters if chosen.share is None or system.filters]
    say(_table(rows))
    return rows


def _filter(world: TextLike, share: float | None) -> Filter:
    eligible = np.random.default_rng(1).random(len(world.vectors)) < (1 if share is None else share)
    eligible[0] = True  # somebody is
    n_best = min(N_BEST, int(eligible.sum()))
    last = best_scores(world.queries, world.vectors[eligible], n_best)[:, -1:]
    return Filter(share, None if share is None else eligible, n_best, last)


def _row(world: TextLike, system: System, chosen: Filter) -> Row:
    """Ask every query; our call and the bare one take turns in going first. The first queries are asked twice, to warm up."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    found: dict[str, list[NDArray[np.integer[Any]]]] = {"ours": [], "bare": []}
    calls = {"ours": system.call} if system.bare is None else {"ours": system.call, "bare": system.bare}
    q = len(world.queries)
    for number in [*range(min(10, q)), *range(q)]:
        for name in sorted(calls, reverse=number % 2 == 0):
            start = time.process_time()
            rows = calls[name](world.queries[number : number + 1], chosen.eligible)
            times[name].append(1000 * (time.process_time() - start))
            found[name].append(rows)
    ours, bare = np.array(times["ours"][-q:]), np.array(times["bare"][-q:])
    p50, p95 = np.quantile(ours, (0.5, 0.95)).tolist()
    row = Row(len(world.vectors), system.name, chosen.share, _recall(world, found["ours"][-q:], chosen), system.stated, p50, p95)
    if not len(bare):
        return row
    adds = 1000 * float(np.median(ours - bare))
    return replace(row, bare_recall=_recall(world, found["bare"][-q:], chosen), bare_p50_ms=float(np.median(bare)), adds_us=adds)


def _recall(world: TextLike, found: Sequence[NDArray[np.integer[Any]]], chosen: Filter) -> float:
    """Mean share of the best rows that were found; rows that are not eligible count as not found."""
    hits = []
    for query, rows, last in zip(world.queries, found, chosen.last, strict=True):
        known = rows[rows >= 0]
        known = known if chosen.eligible is None else known[chosen.eligible[known]]
        hits.append(np.count_nonzero(world.vectors[known] @ query >= last - _TIE) / chosen.n_best)
    return float(np.mean(hits))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"the best {N_BEST}, one query at a time, milliseconds of one core")
    for heading in ("index", "eligible", "recall", "states", "p50", "p95", "bare recall", "bare p50", "adds us", "ratio"):
        table.add_column(heading, justify="left" if heading == "index" else "right")
    for row in rows:
        share = "all" if row.share is None else f"{100 * row.share:g} %"
        states = "" if math.isnan(row.stated) else f"{row.stated:.2f}"
        cells = [row.index, share, f"{row.recall:.3f}", states, f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}"]
        if not math.isnan(row.bare_p50_ms):
            ratio = f"{row.p50_ms / row.bare_p50_ms:.2f}"
            cells += [f"{row.bare_recall:.3f}", f"{row.bare_p50_ms:.2f}", f"{row.adds_us:+.0f}", ratio]
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    main()

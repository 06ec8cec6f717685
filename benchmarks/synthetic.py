"""How fast, and in how much memory, a planted shop is made.

    python -m benchmarks.synthetic                          # 40,000 and 80,000 customers without texts, 12,000 with
    python -m benchmarks.synthetic --customers 1000000

Each world is made by `segrec synthetic make`'s own function in a process of its own, twice the size the second time: memory must stay.
Beside it, in the same run: writing rows of the same shape that mean nothing (uniform random numbers, the same columns, pyarrow alone).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.synthetic.config import WorldConfig
from recsys.synthetic.writing import TABLES, write_world

N_ITEMS, N_DAYS, PART_ROWS = 5_000, 365, 500_000


def main() -> None:
    """Make, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=40_000)
    parser.add_argument("--with-texts", type=int, default=12_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    sizes = ((options.customers, False), (2 * options.customers, False), (options.with_texts, True))
    for customers, texts in sizes:
        config = WorldConfig(n_customers=customers, n_items=N_ITEMS, n_days=N_DAYS, texts=texts)
        print(line(config, apart(measure, config, options.processes)))
    rows = apart(write_noise, 4 * PART_ROWS, options.processes)
    print(f"rows that mean nothing, pyarrow alone: {rows['rows'] / rows['seconds']:,.0f} a second in one process")


def line(config: WorldConfig, measured: dict[str, float]) -> str:
    """One world in words."""
    per_second = measured["interactions"] / measured["seconds"]
    words = f", {measured['texts'] / measured['seconds']:,.0f} reviews and messages a second" if config.texts else ""
    return (
        f"{config.n_customers:,} customers{' with texts' if config.texts else ''}: {measured['interactions']:,.0f} interactions "
        f"in {measured['seconds']:.1f} s: {per_second:,.0f} a second{words}; largest process {measured['peak_mib']:,.0f} MiB"
    )


def apart(function: object, *arguments: object) -> dict[str, float]:
    """What a function measures, run in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(there, function, arguments))
    process.start()
    there.close()
    measured: dict[str, float] = json.loads(here.recv())
    process.join()
    return measured


def _send(there: object, function: object, arguments: tuple[object, ...]) -> None:
    there.send(json.dumps(function(*arguments)))  # type: ignore[attr-defined,operator]


def measure(config: WorldConfig, n_processes: int) -> dict[str, float]:
    """Seconds, rows, and the peak of the largest process."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_world(config, Path(folder, "world"), lambda *_: None, n_processes)
        seconds = time.perf_counter() - start
        peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        counts = {name: _n_rows(Path(folder, "world", TABLES), name) for name in ("interactions", "reviews", "messages")}
    texts = counts["reviews"] + counts["messages"]
    return {"seconds": seconds, "interactions": counts["interactions"], "texts": texts, "peak_mib": max(peaks) / 1024}


def write_noise(n_rows: int, _: int) -> dict[str, float]:
    """The floor: the same columns filled with uniform random numbers."""
    rng = np.random.default_rng(1)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part in range(n_rows // PART_ROWS):
            pq.write_table(_noise(rng), Path(folder, f"{part}.parquet"), compression="zstd", compression_level=1)
    return {"seconds": time.perf_counter() - start, "rows": n_rows}


def _noise(rng: np.random.Generator) -> pa.Table:
    def ids(prefix: str, high: int) -> pa.Array:
        return pc.binary_join_element_wise(prefix, pa.array(rng.integers(high, size=PART_ROWS)).cast(pa.string()), "")

    return pa.table(
        {
            "event_id": ids("e", 10**9),
            "item_id": ids("i", N_ITEMS),
            "customer_id": ids("c", 10**5),
            "event": pa.array(np.array(["view", "cart", "purchase"])[rng.integers(3, size=PART_ROWS)]),
            "event_time": pa.array(rng.integers(10**15, size=PART_ROWS), pa.timestamp("us", "UTC")),
            "basket_id": ids("b", 10**6),
            "session_id": ids("s", 10**6),
            "quantity": pa.array(rng.random(PART_ROWS)),
            "value": pa.array(rng.random(PART_ROWS)),
        }
    )


def _n_rows(folder: Path, table: str) -> int:
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob(f"{table}-*.parquet"))


if __name__ == "__main__":
    main()

"""How fast, and in how much memory, a large shop is imported.

    python benchmarks/import_memory.py                      # 10 million interactions as Parquet
    python benchmarks/import_memory.py --format csv.gz

Writes a shop of random interactions, each with an event_id of its own (so that the check for repeats carries all of them), a thousandth of
them bad, imports it in a process of its own and prints rows per second and the peak of that process' resident memory.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from recsys.data.importers import open_shop
from recsys.data.importing import import_shop

N_ITEMS, N_CUSTOMERS, PART_ROWS = 100_000, 500_000, 250_000
FORMATS = ("parquet", "csv", "csv.gz", "jsonl")


def main() -> None:
    """Write, import, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--format", choices=FORMATS, default="parquet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "shop")
        source.mkdir()
        ids = pa.array(np.arange(N_ITEMS)).cast(pa.string())
        pq.write_table(pa.table({"item_id": ids, "title": ids}), source / "items.parquet")
        write(source / f"interactions.{options.format}", options.rows)
        size = (source / f"interactions.{options.format}").stat().st_size
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(source, Path(folder, "imported"), size))
        process.start()
        process.join()
        raise SystemExit(process.exitcode)


def write(path: Path, n_rows: int) -> None:
    """The interactions, a part at a time."""
    rng = np.random.default_rng(7)
    parts = (part(rng, first, min(PART_ROWS, n_rows - first)) for first in range(0, n_rows, PART_ROWS))
    WRITERS[path.name.split(".", 1)[1]](path, parts)


def part(rng: np.random.Generator, first: int, n_rows: int) -> pa.Table:
    """Rows first .. first + n_rows - 1; one in a thousand has a quantity that is no finite number."""
    quantity = rng.integers(1, 9, n_rows).astype(np.float64)
    quantity[rng.random(n_rows) < 0.001] = np.inf
    times = np.datetime64("2023-01-01", "s") + np.sort(rng.integers(0, 365 * 86_400, n_rows))
    return pa.table(
        {
            "event_id": [f"{first + row:016x}" for row in range(n_rows)],
            "item_id": rng.integers(0, N_ITEMS, n_rows),
            "customer_id": rng.integers(0, N_CUSTOMERS, n_rows),
            "event": pa.array(["view", "cart", "purchase"]).take(pa.array(rng.integers(0, 3, n_rows))),
            "event_time": times,
            "quantity": quantity,
            "value": quantity * 1.99,
        }
    )


def write_parquet(path: Path, parts: Iterator[pa.Table]) -> None:
    """One row group per part."""
    first = next(parts)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for rows in parts:
            writer.write_table(rows)


def write_csv(path: Path, parts: Iterator[pa.Table]) -> None:
    """With a header; gzipped when the name says so."""
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        for number, rows in enumerate(parts):
            pa_csv.write_csv(rows, file, pa_csv.WriteOptions(include_header=number == 0))


def write_json_lines(path: Path, parts: Iterator[pa.Table]) -> None:
    """One object per row."""
    with path.open("w", encoding="utf-8") as file:
        for rows in parts:
            rows.to_pandas().to_json(file, orient="records", lines=True, date_format="iso")


WRITERS: dict[str, Callable[[Path, Iterator[pa.Table]], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "csv.gz": write_csv,
    "jsonl": write_json_lines,
}


def measure(source: Path, out: Path, size: int) -> None:
    """Import and print; run in a process of its own, whose peak memory is the import's."""
    start = time.perf_counter()
    report = import_shop(open_shop("tables", source), out)
    seconds = time.perf_counter() - start
    table = report.tables["interactions"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{table.read:,} rows ({size / 1e6:,.0f} MB) read, {table.kept:,} kept, {table.refused.total:,} refused")
    print(f"{seconds:.1f} s, {table.read / seconds:,.0f} rows/s, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()

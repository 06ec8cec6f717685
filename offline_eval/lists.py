"""Ranked lists as data: those that a system gave, those of anybody else in a file, and those of today written for others to read.

A file of lists has one row per place: `customer_id`, `item_id`, and `rank` (1 is best) or `score` (higher is better; equal scores go by
item id); where there are both, the rank counts. `system` tells several systems apart, and `table` ("discovery") which truth the lists
are meant for; without it they are meant for "all purchases". Parquet, CSV (also gzipped) or JSON lines.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from offline_eval.evaluate import Recommend
from offline_eval.per_customer import TABLE
from recsys.errors import DataError
from recsys.types import Query

IDS = ("customer_id", "item_id")
_ENDINGS = ".parquet, .csv, .csv.gz, .jsonl"
APART = "customers have rows in several places of the file, read as one list; look whether two lists of one customer are in it"


@dataclass(frozen=True)
class Notice:
    """Something about lists that changes what their figures mean; count: how often; example: one id of what it is about."""

    system: str
    count: int
    what: str
    example: str

    def __str__(self) -> str:
        return f"{self.system}: {self.count:,} {self.what}, for example {self.example!r}"


def told(notices: Iterable[Notice]) -> list[str]:
    """A line for each thing that was found, with all systems in which it was found alike."""
    alike: dict[tuple[int, str, str], list[str]] = {}
    for notice in notices:
        alike.setdefault((notice.count, notice.what, notice.example), []).append(notice.system)
    return [str(Notice(", ".join(systems), *found)) for found, systems in alike.items()]


@dataclass(frozen=True)
class Lists:
    """Items for each customer, best first; asked as a system it answers from these, with an empty list for anybody else.

    notices: what was found when they were read
    """

    of: Mapping[str, Sequence[str]]
    notices: tuple[Notice, ...] = ()

    def __call__(self, queries: Sequence[Query]) -> list[Sequence[str]]:
        return [() if query.customer_id is None else self.of.get(query.customer_id, ())[: query.k] for query in queries]


@dataclass(frozen=True)
class Kept:
    """A system whose answers are kept as `lists`; one query per customer is expected."""

    system: Recommend
    answers: dict[str, Sequence[str]] = field(default_factory=dict)

    def __call__(self, queries: Sequence[Query]) -> Sequence[Sequence[str]]:
        answered = self.system(queries)
        self.answers.update((query.customer_id or "", items) for query, items in zip(queries, answered, strict=False))
        return answered

    @property
    def lists(self) -> Lists:
        """What was answered so far."""
        return Lists(self.answers)


def read_lists(path: Path) -> dict[str, dict[str, Lists]]:
    """Lists by table and system; a file without the column `system` holds one, named after the file.

    Raises:
        DataError: the file cannot be read or has no rows, lacks a column, an id, a rank or a score, holds a score that is not finite, or
            gives one customer an item or a rank twice.
    """
    frame = _read(path)
    missing = [name for name in IDS if name not in frame]
    if missing or not {"rank", "score"} & set(frame) or not len(frame):
        raise DataError(f"{path} needs rows of customer_id, item_id and rank or score; it has: {', '.join(map(str, frame))}")
    order = "rank" if "rank" in frame else "score"
    for name in IDS:
        empty = frame[name].isna() | (frame[name].astype(str) == "")
        _refuse(path, empty, f"have no {name}")
    numbers = pd.to_numeric(frame[order], errors="coerce").astype(float)
    _refuse(path, ~pd.Series(np.isfinite(numbers)), f"have no finite {order}, so nobody can tell their place")
    lines = pd.DataFrame({name: frame[name].astype(str) for name in IDS})
    lines["table"] = frame["table"].fillna(TABLE).astype(str) if "table" in frame else TABLE
    lines["system"] = frame["system"].fillna(path.name.partition(".")[0]).astype(str) if "system" in frame else path.name.partition(".")[0]
    lines["place"] = numbers if order == "rank" else -numbers
    owner = ["table", "system", "customer_id"]
    _refuse(path, lines.duplicated([*owner, "item_id"]), "repeat an item of the same customer's list; remove duplicates before measuring")
    if order == "rank":
        _refuse(path, lines.duplicated([*owner, "place"]), "repeat a rank of the same customer; is the customer in the file twice?")
    found: dict[str, dict[str, Lists]] = {}
    for table, system in lines[["table", "system"]].drop_duplicates().itertuples(index=False):
        found.setdefault(table, {})[system] = Lists({})  # in the order of the file
    for (table, system), rows in lines.sort_values([*owner, "place", "item_id"]).groupby(["table", "system"], sort=False):
        found[str(table)][str(system)] = _lists(rows, order, str(system))
    return found


def write_lists(tables: Mapping[str, Mapping[str, Lists]], path: Path) -> None:
    """Write lists by table and system as a Parquet file that `read_lists` reads back."""
    pq.write_table(pa.concat_tables([_rows(table, system, lists) for table, of in tables.items() for system, lists in of.items()]), path)


def notices(system: str, lists: Lists, customers: Collection[str], items: Collection[str], k: int) -> Iterator[Notice]:
    """What of the lists a reader of their figures must know.

    customers: whom the truth knows; items: ids that the shop has; k: places that are measured
    """
    wanted, known = set(customers), set(items)
    asked = {customer: lists.of[customer] for customer in sorted(wanted & lists.of.keys())}
    yield from lists.notices
    findings = [
        (sorted(lists.of.keys() - wanted), "customers with a list bought nothing that counts in the period, and are not measured"),
        (sorted(wanted - lists.of.keys()), "customers who bought have no list, and count as an empty one"),
        ([customer for customer, ranked in asked.items() if len(ranked) > k], f"lists are longer than {k}; the rest is not read"),
        ([c for c, ranked in asked.items() if len(ranked) < k], f"lists are shorter than {k}; their empty places are misses"),
        (
            [item for ranked in asked.values() for item in ranked[:k] if item not in known],
            "places hold an item that the shop does not have, and are misses",
        ),
    ]
    yield from (Notice(system, len(found), what, found[0]) for found, what in findings if found)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.name.endswith(".parquet"):
            return pd.DataFrame(pq.read_table(path).to_pandas(ignore_metadata=True))  # rows are numbered as they stand
        if path.name.endswith((".csv", ".csv.gz")):
            names = dict.fromkeys((*IDS, "system", "table"), str)
            return pd.read_csv(path, dtype=names, keep_default_na=False)  # "NA" may be an id; empty cells are looked for below
        if path.name.endswith(".jsonl"):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            return pd.DataFrame(rows)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    raise DataError(f"{path} is no file of lists; its name must end with one of {_ENDINGS}")


def _refuse(path: Path, wrong: pd.Series, what: str) -> None:
    if wrong.any():
        raise DataError(f"{path}: {int(wrong.sum()):,} rows {what}; the first is row {int(wrong.to_numpy().argmax()) + 1}")


def _lists(rows: pd.DataFrame, order: str, system: str) -> Lists:
    """Of one system; rows in the order of customer and place."""
    customers, starts = np.unique(rows["customer_id"].to_numpy(str), return_index=True)
    items, places = rows["item_id"].tolist(), rows["place"].to_numpy()
    ends = np.append(starts[1:], len(items))
    of = {str(customer): tuple(items[start:end]) for customer, start, end in zip(customers, starts, ends, strict=True)}
    follows = np.ones(len(items), np.bool_)
    follows[starts] = False
    steps = np.diff(places, prepend=places[:1])
    odd, what = (
        (steps != 1, "ranks leave a gap after the one before; places were closed up")
        if order == "rank"
        else (
            steps == 0,
            "scores equal the one before; such items go by item id",
        )
    )
    found = rows["customer_id"].to_numpy()[follows & odd].tolist()
    noticed = [(found, what), (_apart(rows) if order == "score" else [], APART)]
    return Lists(of, tuple(Notice(system, len(about), said, about[0]) for about, said in noticed if about))


def _apart(rows: pd.DataFrame) -> list[str]:
    """Customers whose rows do not follow one another in the file; the index of the rows is their order in it."""
    owners = rows["customer_id"].sort_index()
    begins = owners[owners != owners.shift()]
    return begins[begins.duplicated()].unique().tolist()


def _rows(table: str, system: str, lists: Lists) -> pa.Table:
    sizes = np.array([len(ranked) for ranked in lists.of.values()], np.int64)
    n = int(sizes.sum())
    return pa.table(
        {
            "table": pa.array([table] * n, pa.string()),
            "system": pa.array([system] * n, pa.string()),
            "customer_id": pa.array(np.repeat(np.array(list(lists.of), object), sizes), pa.string()),
            "rank": pa.array(np.concatenate([np.arange(1, size + 1) for size in sizes] or [np.empty(0, int)]), pa.int32()),
            "item_id": pa.array([item for ranked in lists.of.values() for item in ranked], pa.string()),
        }
    )

"""Files of profiles as other programs leave them, and reasons in words."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data.vocabulary import Vocabulary
from recsys.errors import DataError
from segmentation.reasons import ProfileReason
from segrec.segment_profiles import read_held, reason_text, write_table

AS_OF = np.datetime64("2024-06-01T00:00:00", "us")
LINEAGE = ("2024-05-01-b", "2024-01-01-a")
CUSTOMERS = Vocabulary(("c0", "c1", "c2"))


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is not set to UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


def table(**columns: pa.Array) -> pa.Table:
    plain = {
        "customer_id": pa.array(["c0", "c1", "c2"]),
        "segment": pa.array(["s0", "s1", "s0"]),
        "as_of": pa.array([dt.datetime(2024, 6, 1, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC")),
        "segmentation": pa.array(["2024-05-01-b"] * 3),
    }
    return pa.table({**plain, **columns})


@pytest.mark.parametrize(
    "as_of",
    [
        pa.array([dt.datetime(2024, 6, 1)] * 3, pa.timestamp("ns")),  # without a zone, as pandas leaves it
        pa.array(["2024-06-01 00:00:00"] * 3),
        pa.array(["2024-06-01T00:00:00.000000Z"] * 3),
        pa.array(["2024-06-01T02:00:00+02:00"] * 3),
    ],
)
@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("name", ["before.parquet", "before.csv"])
def test_a_time_is_read_in_whatever_way_it_was_kept(tmp_path: Path, as_of: pa.Array, name: str) -> None:
    write_table(table(as_of=as_of), tmp_path / name)
    held = read_held(tmp_path / name, CUSTOMERS, LINEAGE)
    assert (held.as_of, held.segment.tolist(), held.segment_ids) == (AS_OF, [0, 1, 0], ("s0", "s1"))


@pytest.mark.parametrize("name", ["before.parquet", "before.csv"])
def test_who_has_no_segment_there_had_none(tmp_path: Path, name: str) -> None:
    write_table(table(segment=pa.array(["s0", None, "s1"]).dictionary_encode()), tmp_path / name)
    assert read_held(tmp_path / name, CUSTOMERS, LINEAGE).segment.tolist() == [0, -1, 1]
    write_table(table(segment=pa.array([None] * 3, pa.string())), tmp_path / name)
    with pytest.raises(DataError, match="no rows with a segment"):
        read_held(tmp_path / name, CUSTOMERS, LINEAGE)


def test_numbers_as_ids_are_the_same_customers(tmp_path: Path) -> None:
    pq.write_table(table(customer_id=pa.array([7, 8, 9])), tmp_path / "before.parquet")
    assert read_held(tmp_path / "before.parquet", Vocabulary(("9", "8")), LINEAGE).segment.tolist() == [0, 1]


def test_segments_count_in_the_fit_that_they_are_of_and_in_those_that_go_on_from_it(tmp_path: Path) -> None:
    path = tmp_path / "before.parquet"
    write_table(table(segmentation=pa.array(["2024-01-01-a"] * 3)), path)
    assert read_held(path, CUSTOMERS, LINEAGE).segment.tolist() == [0, 1, 0]
    for said, lineage in (("goes on from 2024-01-01-c", ("2024-05-01-b", "2024-01-01-c")), ("without --former", ("2024-05-01-b",))):
        with pytest.raises(DataError, match=f"has segments of 2024-01-01-a, .*{said}"):
            read_held(path, CUSTOMERS, lineage)
    pq.write_table(table().drop_columns(["segmentation"]), path)
    with pytest.raises(DataError, match="no file of profiles"):
        read_held(path, CUSTOMERS, LINEAGE)


def test_no_text_of_a_csv_is_a_formula_and_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    ids = ["=HYPERLINK(1)", "'-2", "@x"]
    names = pa.array(["+tea", "-", "plain = tea"])
    write_table(table(customer_id=pa.array(ids), segment_name=names, mood=pa.array([-0.5, None, 1.0])), tmp_path / "before.csv")
    lines = (tmp_path / "before.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ['"\'=HYPERLINK(1)"', "\"''-2\"", '"\'@x"']
    assert [line.split(",")[4] for line in lines[1:]] == ['"\'+tea"', '"\'-"', '"plain = tea"']
    assert [line.split(",")[5] for line in lines[1:]] == ["-0.5", "", "1"]
    assert read_held(tmp_path / "before.csv", Vocabulary(tuple(ids)), LINEAGE).segment.tolist() == [0, 1, 0]


def test_only_an_item_has_a_title_and_a_segment_is_called_by_its_name() -> None:
    titles, segments = {"s1": "A teapot", "tea": "A tin of tea"}, {"s1": "Coffee people"}

    def told(code: str) -> str:
        name = {"bought_item": "tea", "bought_topic": "tea"}.get(code, "s1")
        return reason_text(ProfileReason(code, ("segment",), 0.5, 2.0, "lines", 0.4, name), titles, segments)

    assert told("bought_item").startswith("A tin of tea, bought in 2 lines")
    assert told("bought_topic").startswith("tea, bought in 2 lines")
    assert told("runner_up").endswith("0.40 of s1 Coffee people")
    assert told("segment_kept").endswith("0.40 of s1 Coffee people")

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval.evaluate import Exposures, Measurements
from offline_eval.per_customer import read_values, write_values
from recsys.errors import DataError

TIME = "2020-01-10T00:00:00+00:00"


def tables() -> list[Measurements]:
    found = []
    for title, n in (("all purchases", 3), ("discovery", 2)):
        values = np.array([[[0.25, np.nan, 1.0][:n], [0.5] * n], [[0.0] * n] * 2])
        customers, tiers = ("ann", "bob", "eve")[:n], ("low", "high", "low")[:n]
        found.append(Measurements(title, ("engine", "base"), ("NDCG@10", "MRR"), customers, (TIME,) * n, {"tier": tiers}, values))
    return found


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_values(tables(), "engine", tmp_path / "new.parquet")
    for found, expected in zip(read_values(tmp_path / "new.parquet"), tables(), strict=True):
        assert (found.title, found.systems, found.metrics) == (expected.title, ("new",), expected.metrics)
        assert (found.queries, dict(found.slices)) == (expected.queries, dict(expected.slices))
        assert np.array_equal(found.values[0], expected.values[0], equal_nan=True)


def test_a_file_from_elsewhere_needs_customers_and_metrics_only(tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": ["ann", "bob"], "NDCG@10": [0.5, None]}), tmp_path / "theirs.parquet")
    (found,) = read_values(tmp_path / "theirs.parquet")
    assert found.title == "all purchases"
    assert found.customers == ("ann", "bob")
    assert np.array_equal(found.values[0, 0], [0.5, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"customer_id": ["ann"]}, "at least one metric"),
        ({"NDCG@10": [0.5]}, "needs rows with a customer_id"),
        ({"customer_id": ["ann", None], "NDCG@10": [0.5, 0.5]}, "needs rows with a customer_id"),
        ({"customer_id": ["ann", "ann"], "NDCG@10": [0.5, 0.5]}, "measured twice"),
        ({"customer_id": ["ann"], "NDCG@10": [0.5], "age": [30]}, "no metric 'age'"),
        ({"customer_id": ["ann"], "Coverage@10": [0.5]}, "no value per customer"),
        ({"customer_id": ["ann"], "NDCG@10": ["much"]}, "could not convert"),
        ({"customer_id": ["ann", "bob"], "Novelty@10": [0.5, np.inf]}, "Novelty@10 has 1 infinite values"),
        ({"customer_id": ["ann", "bob"], "NDCG@10": [50.0, 1.0]}, r"NDCG@10 lies in \[0, 1\], yet 1 values do not, for example 50"),
        ({"customer_id": ["ann"], "CategoryDiversity@10": [-0.1]}, r"lies in \[0, 1\]"),
        ({"customer_id": ["ann"], "NDCG@10": [0.5], "time": ["yesterday"]}, "time 'yesterday' is no timestamp and not ISO 8601"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, columns: dict[str, list], reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "theirs.parquet")
    with pytest.raises(DataError, match=reason):
        read_values(tmp_path / "theirs.parquet")


@pytest.mark.parametrize(
    "time",
    [
        TIME,
        "2020-01-10T00:00:00Z",
        "2020-01-10",
        "2020-01-10T01:00:00+01:00",
        dt.datetime(2020, 1, 10),
        dt.datetime(2020, 1, 10, tzinfo=dt.UTC),
    ],
)
def test_a_time_is_read_as_we_write_it(tmp_path: Path, time: object) -> None:
    pq.write_table(pa.table({"customer_id": ["ann", "bob"], "time": [time, None], "NDCG@10": [0.5, 1.0]}), tmp_path / "theirs.parquet")
    assert read_values(tmp_path / "theirs.parquet")[0].times == (TIME, "")


def test_values_that_have_no_bound_are_read_as_they_are(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"customer_id": ["ann"], "Margin@10": [-3.0], "Novelty@10": [7.0], "MRR": [1 + 1e-7]}), tmp_path / "theirs.parquet"
    )
    assert read_values(tmp_path / "theirs.parquet")[0].values[0].ravel().tolist() == [-3.0, 7.0, 1 + 1e-7]


def test_metrics_without_a_value_per_customer_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shown = Exposures(("Coverage@1", "Gini@1"), np.zeros((2, 3, 1), np.int32), np.ones(4, np.bool_))
    write_values([replace(tables()[0], exposures=shown)], "engine", tmp_path / "new.parquet")
    (said,) = caplog.messages
    assert "Coverage@1, Gini@1 are of all lists together" in said


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs.parquet").write_text("customer_id,NDCG@10")
    with pytest.raises(DataError, match="cannot be read"):
        read_values(tmp_path / "theirs.parquet")

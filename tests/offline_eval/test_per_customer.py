from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval.evaluate import Measurements
from offline_eval.per_customer import read_values, write_values
from recsys.errors import DataError


def tables() -> list[Measurements]:
    found = []
    for title, n in (("all purchases", 3), ("discovery", 2)):
        values = np.array([[[0.25, np.nan, 1.0][:n], [0.5] * n], [[0.0] * n] * 2])
        customers, tiers = ("ann", "bob", "eve")[:n], ("low", "high", "low")[:n]
        found.append(Measurements(title, ("engine", "base"), ("NDCG@10", "MRR"), customers, ("t",) * n, {"tier": tiers}, values))
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
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, columns: dict[str, list], reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "theirs.parquet")
    with pytest.raises(DataError, match=reason):
        read_values(tmp_path / "theirs.parquet")


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs.parquet").write_text("customer_id,NDCG@10")
    with pytest.raises(DataError, match="cannot be read"):
        read_values(tmp_path / "theirs.parquet")

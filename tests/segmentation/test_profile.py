from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.profile import CustomerProfile, Profiles

TABLE = Profiles(
    segment=np.array([1, -1, 0], np.int16),
    tier=np.array([2, -1, 0], np.int8),
    stage=np.array([2, -1, 4], np.int8),
    expected_value=np.array([12.5, np.nan, 0.25], np.float32),
    churn_probability=np.array([0.125, np.nan, np.nan], np.float32),
    segment_confidence=np.array([0.5, np.nan, 0.75], np.float32),
    outlier=np.array([False, False, True]),
    segment_ids=("s0", "s1"),
    segment_names=("Tea (by terms)", "Käse (by terms)"),
    horizon_days=28.0,
    as_of=np.datetime64("2024-05-01", "us"),
)


def test_a_row_becomes_a_profile() -> None:
    as_of = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    assert TABLE.profile(0, "ann") == CustomerProfile("ann", "s1", "Käse (by terms)", "high", "loyal", 12.5, 0.125, 28.0, as_of, 0.5)
    lapsed = TABLE.profile(2, "cid")
    assert lapsed is not None
    assert (lapsed.segment, lapsed.tier, lapsed.stage) == ("s0", "low", "lapsed")
    assert math.isnan(lapsed.churn_probability)
    assert lapsed.is_outlier


@pytest.mark.parametrize("customer_num", [1, 3, -1])
def test_who_never_bought_or_is_unknown_has_no_profile(customer_num: int) -> None:
    assert TABLE.profile(customer_num, "bob") is None


@pytest.mark.parametrize("n", [3, 0])
def test_saved_profiles_come_back_memory_mapped(tmp_path: Path, n: int) -> None:
    columns = {name: column[:n] for name, column in vars(TABLE).items() if isinstance(column, np.ndarray)}
    replace(TABLE, **columns).save(tmp_path / "profiles")
    loaded = Profiles.load(tmp_path / "profiles")
    for name, column in columns.items():
        assert isinstance(getattr(loaded, name), np.memmap)
        np.testing.assert_array_equal(getattr(loaded, name), column)
    for name in ("segment_ids", "segment_names", "horizon_days", "as_of"):
        assert getattr(loaded, name) == getattr(TABLE, name)


@pytest.mark.parametrize("file", ["tier.npy", "profiles.json"])
@pytest.mark.parametrize("damage", [None, b"", b"{}"])
def test_damaged_files_are_named(tmp_path: Path, file: str, damage: bytes | None) -> None:
    TABLE.save(tmp_path)
    (tmp_path / file).unlink() if damage is None else (tmp_path / file).write_bytes(damage)
    with pytest.raises(SegmentationError, match="does not hold profiles"):
        Profiles.load(tmp_path)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        replace(TABLE, tier=np.zeros(1, np.int8))
    with pytest.raises(ValueError, match="2 segment ids but 1 names"):
        replace(TABLE, segment_names=("Tea",))

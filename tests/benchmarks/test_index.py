"""What the index benchmark measures is right: recall by a second count, its vectors real or between real ones, its texts read once."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.index import SHARES, measure
from benchmarks.index_systems import N_BEST
from benchmarks.textlike import TextLike, read_texts, text_like
from recsys.types import Floats


def topics(n: int) -> Floats:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(20, 16))[rng.integers(0, 20, n)] + 0.5 * rng.normal(size=(n, 16))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


REAL = topics(400)


def test_few_texts_are_mixed_to_as_many_vectors_as_wanted() -> None:
    world = text_like(REAL, 3000, 20)
    assert world.vectors.shape == (3000, 16)
    assert (world.n_real, len(world.queries)) == (380, 20)
    np.testing.assert_allclose(np.linalg.norm(world.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(world.vectors, text_like(REAL, 3000, 20).vectors)
    cosines = world.queries @ world.vectors.T
    assert cosines.max() < 0.9999  # no query is among the vectors
    nearest = np.sort(world.vectors @ REAL.T, axis=1)[:, -2:]
    assert np.median(nearest.mean(axis=1)) > 0.85  # each is near two real ones


def test_many_texts_are_drawn_from() -> None:
    world = text_like(REAL, 100, 20)
    assert (len(world.vectors), world.n_real) == (100, 100)
    assert (world.vectors @ REAL.T).max(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    with pytest.raises(ValueError, match="400 texts are too few for 400 queries"):
        text_like(REAL, 100, 400)


def test_texts_of_columns_are_distinct_and_never_empty(tmp_path: Path) -> None:
    pq.write_table(pa.table({"title": ["tea", "", None, "cup", "tea"]}), tmp_path / "items.parquet")
    assert read_texts([], [f"{tmp_path}/items.parquet:title"]) == ["cup", "tea"]
    with pytest.raises(ValueError, match=r"FILE\.parquet:COLUMN"):
        read_texts([], ["items"])


def test_every_kind_is_measured_with_and_without_filters(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def absent(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    rows = measure(text_like(REAL, 3000, 20), ["exact", "ivf_sq8"], with_peers=True)
    assert [(row.index, row.share) for row in rows] == [(kind, share) for kind in ("exact", "ivf_sq8") for share in SHARES]
    assert all(row.recall == 1 == row.bare_recall for row in rows if row.index == "exact")
    assert all(row.recall >= 0.95 for row in rows)
    assert not any(math.isnan(value) for row in rows for value in (row.p50_ms, row.p95_ms, row.bare_p50_ms, row.adds_us))
    said = capsys.readouterr().out
    assert "hnswlib is left out: it is not installed" in said
    assert "usearch is left out: it is not installed" in said


def test_a_size_below_the_best_asked_for_is_measured_in_full() -> None:
    world = TextLike(REAL[: N_BEST - 50], REAL[-5:], N_BEST - 50)
    assert [row.recall for row in measure(world, ["exact"], with_peers=False)] == [1.0] * len(SHARES)

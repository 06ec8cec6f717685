"""How the vector index orders ties, refuses bad input and mends what a GPU or a graph leaves out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import recsys.text.index as index_module
from recsys.errors import BundleError
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.types import Floats

EXACT = IndexConfig()
GRAPH = IndexConfig(exact_below=0, hnsw_links=8, hnsw_search=8)


def circle(n: int) -> Floats:
    """n directions around a half circle; the query (1, 0) likes them in the order of their rows."""
    angles = np.linspace(0, np.pi, n)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


QUERY = np.array([[1, 0]], np.float32)


@pytest.mark.parametrize("n_queries", [1, 30])
@pytest.mark.parametrize("n", [1, 10, 150])
@pytest.mark.parametrize("is_filtered", [False, True])
def test_of_equal_scores_the_first_rows_win(n: int, n_queries: int, is_filtered: bool) -> None:
    vectors = np.zeros((1000, 4), np.float32)
    vectors[::2, 0] = 1  # 500 equal vectors: 0, 2, 4, ...
    eligible = np.arange(1000) >= 100 if is_filtered else None
    rows, _ = VectorIndex.build(vectors, EXACT).search(np.tile(vectors[:1], (n_queries, 1)), n, eligible)
    expected = [(100 if is_filtered else 0) + 2 * place for place in range(n)]
    assert rows.tolist() == [expected] * n_queries


def test_the_configuration_picks_the_kind() -> None:
    assert VectorIndex.build(circle(100), IndexConfig(exact_below=101)).kind == "exact"
    assert VectorIndex.build(circle(100), IndexConfig(exact_below=100)).kind == "hnsw"


class BlindGpu:
    """Finds the nearest vectors but ignores who is eligible, as FAISS does on a GPU."""

    def __init__(self, vectors: Floats) -> None:
        self.vectors, self.asked = vectors, [0]

    def search(self, queries: Floats, n: int) -> Any:
        self.asked.append(n)
        scores = queries @ self.vectors.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        return rows, np.take_along_axis(scores, rows, axis=1)


@pytest.mark.parametrize(("first", "step"), [(0, 1), (0, 2), (900, 1), (997, 1)])
def test_what_a_gpu_leaves_out_is_searched_exactly(first: int, step: int) -> None:
    index = VectorIndex.build(circle(1000), EXACT)
    gpu = BlindGpu(circle(1000))
    index._gpu = gpu  # type: ignore[assignment]
    eligible = np.zeros(1000, np.bool_)
    eligible[first::step] = True
    rows, _ = index.search(np.repeat(QUERY, 2, axis=0), 50, eligible)
    assert rows.tolist() == [np.flatnonzero(eligible)[:50].tolist()] * 2
    assert max(gpu.asked) <= 1000


def test_more_than_a_gpu_returns_is_searched_exactly() -> None:
    index = VectorIndex.build(circle(3000), EXACT)
    gpu = BlindGpu(circle(3000))
    index._gpu = gpu  # type: ignore[assignment]
    assert index.search(QUERY, 2500)[0].tolist() == [list(range(2500))]
    assert gpu.asked == [0]


def test_what_a_gpu_cannot_return_is_searched_through_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_STEP", 0)
    index = VectorIndex.build(circle(3000), GRAPH)
    index._gpu = BlindGpu(circle(3000))  # type: ignore[assignment]
    walks: list[int] = []
    walk = index._fast._walk
    monkeypatch.setattr(index._fast, "_walk", lambda queries, n, breadth: walks.append(n) or walk(queries, n, breadth))
    assert index.search(QUERY, 2100)[0][0, :50].tolist() == list(range(50))
    assert walks == [2100]


def test_without_room_on_the_gpu_the_processor_searches_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(flat: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(index_module, "_Gpu", full)
    index = VectorIndex.build(circle(5000), EXACT)
    assert index.search(QUERY, 3)[0].tolist() == [[0, 1, 2]]
    assert "5000 vectors of 2 stay on the processor" in caplog.text
    assert "out of memory" in caplog.text


def test_what_the_graph_leaves_out_is_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_STEP", 0)  # always walk
    index = VectorIndex.build(circle(500), GRAPH)
    index._fast._index.hnsw.entry_point = -1  # a graph that leads nowhere
    assert index.search(QUERY, 5)[0].tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="FAISS sees no GPU on this machine")
def test_a_gpu_gives_the_answer_of_the_processor() -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    on_gpu, on_cpu = VectorIndex.build(vectors, EXACT), VectorIndex.build(vectors, EXACT)
    on_cpu._gpu = None
    for eligible in (None, np.arange(5000) % 3 == 0, np.arange(5000) % 700 == 0):
        rows, scores = on_gpu.search(vectors[:40], 20, eligible)
        expected_rows, expected_scores = on_cpu.search(vectors[:40], 20, eligible)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
        assert (rows == expected_rows).mean() > 0.99


def test_threads_may_search_at_once() -> None:
    index = VectorIndex.build(circle(2000), GRAPH)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: index.search(QUERY, 30, np.arange(2000) % 2 == 0)[0].tolist(), range(40)))
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_named(bad: float) -> None:
    vectors = circle(9)
    vectors[6, 1] = bad
    with pytest.raises(ValueError, match="row 6 of vectors is not finite"):
        VectorIndex.build(vectors, EXACT)
    with pytest.raises(ValueError, match="row 6 of queries is not finite"):
        VectorIndex.build(circle(9), EXACT).search(vectors, 1)


def test_arguments_that_do_not_fit_are_refused() -> None:
    index = VectorIndex.build(circle(9), EXACT)
    with pytest.raises(ValueError, match="width 3, the index has 2"):
        index.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        index.search(QUERY, 0)
    with pytest.raises(ValueError, match="eligible must be 9 flags"):
        index.search(QUERY, 1, np.ones(8, np.bool_))
    with pytest.raises(ValueError, match="eligible must be 9 flags"):
        index.search(QUERY, 1, np.ones(9, np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(n, dim\)"):
        index.search(QUERY[0], 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"index\.faiss"):
        VectorIndex.load(tmp_path)


@pytest.mark.parametrize("config", [EXACT, GRAPH])
def test_a_file_cut_anywhere_is_refused(config: IndexConfig, tmp_path: Path) -> None:
    VectorIndex.build(circle(20), config).save(tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for length in [*range(0, len(content), 17), len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(BundleError, match=file.name):
            VectorIndex.load(tmp_path)


def test_a_file_that_only_ends_like_an_index_is_refused(tmp_path: Path) -> None:
    VectorIndex.build(circle(20), EXACT).save(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"something else" + file.read_bytes()[14:])
    with pytest.raises(BundleError, match=r"index\.faiss is altered"):
        VectorIndex.load(tmp_path)

"""What a vector index promises, whichever kind the configuration picks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import BundleError
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.text.index_recall import best_scores
from recsys.text.live import LiveIndex
from recsys.types import Flags, Floats

KINDS = {
    "exact": IndexConfig(exact_below=10_000),
    "hnsw": IndexConfig(exact_below=0, hnsw_links=16, hnsw_search=16),
    "ivf_sq8": IndexConfig(kind="ivf_sq8"),
}
N, DIM = 4000, 24


def topics(n: int, seed: int) -> Floats:
    """Unit vectors that crowd around 40 directions, as texts of a catalogue do."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(40, DIM))
    vectors = centres[rng.integers(0, 40, n)] + 0.6 * rng.normal(size=(n, DIM))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


VECTORS, QUERIES = topics(N, 1), topics(30, 2)


@cache
def index_of(kind: str) -> VectorIndex:
    return VectorIndex.build(VECTORS, KINDS[kind])


def brute_force(query: Floats, n: int, eligible: Flags) -> Floats:
    """The n highest inner products of eligible vectors, best first."""
    return np.sort(VECTORS[eligible] @ query)[::-1][:n]


def draw(seed: int, share: float) -> Flags:
    eligible = np.random.default_rng(seed).random(N) < share
    eligible[seed % N] = True
    return eligible


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([1.0, 0.5, 0.2, 0.05, 0.01, 0.0005]),
    n=st.integers(1, 120),
    n_queries=st.sampled_from([1, 3, 30]),
)
def test_a_filter_never_shortens_an_answer(kind: str, seed: int, share: float, n: int, n_queries: int) -> None:
    eligible, queries = draw(seed, share), QUERIES[:n_queries]
    rows, scores = index_of(kind).search(queries, n, eligible)

    assert rows.shape == scores.shape == (n_queries, min(n, int(eligible.sum())))
    assert eligible[rows].all()
    assert all(len(set(line)) == len(line) for line in rows.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.einsum("qnd,qd->qn", VECTORS[rows], queries), atol=1e-5)
    best = np.stack([brute_force(query, n, eligible) for query in queries])
    if kind == "exact":
        np.testing.assert_allclose(scores, best, atol=1e-5)
    else:
        assert (scores >= best[:, -1:] - 1e-5).mean() >= 0.9  # recall of the best n


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    removed=st.sampled_from([0.001, 0.3, 0.999]),
    share=st.sampled_from([None, 0.5, 0.05]),
    n=st.integers(1, 120),
)
def test_removed_rows_shorten_no_answer_either(kind: str, seed: int, removed: float, share: float | None, n: int) -> None:
    rng = np.random.default_rng(seed)
    gone = np.flatnonzero(rng.random(N) < removed)
    changed = rng.choice(N, 5, replace=False)
    live = LiveIndex.of(index_of(kind)).without(gone).with_items(changed, topics(5, seed))
    vectors, eligible = VECTORS.copy(), draw(seed, 1.0 if share is None else share)
    vectors[changed] = topics(5, seed)
    exist = np.ones(N, np.bool_)
    exist[gone] = False
    exist[changed] = True

    rows, scores = live.search(QUERIES, n, None if share is None else eligible)
    left = exist & eligible
    assert rows.shape == (len(QUERIES), min(n, int(left.sum())))
    assert left[rows].all()
    np.testing.assert_allclose(scores, np.einsum("qnd,qd->qn", vectors[rows], QUERIES), atol=1e-5)
    if rows.size:
        last = best_scores(QUERIES, vectors[left], rows.shape[1])[:, -1:]
        assert (scores >= last - 1e-5).mean() >= index_of(kind).facts.stated_recall - 0.02  # over 30 queries only


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_vector_of_a_vector_is_itself(kind: str) -> None:
    rows, scores = index_of(kind).search(VECTORS[:50], 1)
    assert rows[:, 0].tolist() == list(range(50))
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_gives_the_same_answer(kind: str, tmp_path: Path) -> None:
    index = index_of(kind)
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path)

    assert (len(loaded), loaded.dim, loaded.kind) == (N, DIM, kind)
    np.testing.assert_array_equal(loaded.vectors(np.array([7, 3])), VECTORS[[7, 3]])
    for eligible in (None, draw(5, 0.3)):
        for before, after in zip(index.search(QUERIES, 20, eligible), loaded.search(QUERIES, 20, eligible), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_two_builds_write_equal_files(kind: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        VectorIndex.build(VECTORS, KINDS[kind]).save(tmp_path / name)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_file_is_named(kind: str, share: float, tmp_path: Path) -> None:
    index_of(kind).save(tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match=file.name):
        VectorIndex.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_without_vectors_finds_nothing(kind: str) -> None:
    empty = VectorIndex.build(np.empty((0, DIM), np.float32), KINDS[kind])
    assert empty.search(QUERIES, 5)[0].shape == (30, 0)
    assert empty.search(QUERIES, 5, np.empty(0, np.bool_))[1].shape == (30, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_eligible_or_nobody_asking_is_an_empty_answer(kind: str) -> None:
    assert index_of(kind).search(QUERIES, 5, np.zeros(N, np.bool_))[0].shape == (30, 0)
    assert index_of(kind).search(QUERIES[:0], 5)[0].shape == (0, 5)

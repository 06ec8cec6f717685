"""What every kind of index promises: full answers under any filter, the recall it states, exact scores, files that load or are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recsys.text.index as index_module
from recsys.errors import BundleError
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.text.index_choice import IndexKind
from recsys.text.index_recall import best_scores, least_effort
from recsys.types import Flags, Floats

KINDS: tuple[IndexKind, ...] = ("exact", "hnsw", "ivf", "ivf_sq8", "ivf_pq")
APPROXIMATE = KINDS[1:]
N, DIM = 6000, 24


def texts(n: int, seed: int) -> Floats:
    """Unit vectors as texts have them: crowded around 60 topics, which crowd around 6."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    topics = np.repeat(fixed.normal(size=(6, DIM)), 10, axis=0) + 0.5 * fixed.normal(size=(60, DIM))
    vectors = topics[rng.integers(0, 60, n)] + 0.5 * rng.normal(size=(n, DIM))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


VECTORS, QUERIES = texts(N, 1), texts(300, 2)


@cache
def index_of(kind: IndexKind) -> VectorIndex:
    return VectorIndex.build(VECTORS, IndexConfig(kind=kind, hnsw_links=16))


def filters(shape: str, share: float, seed: int) -> Flags:
    """Flags for about this share of the vectors, one at least: at random, the nearest to some direction, or the farthest from it."""
    rng = np.random.default_rng(seed)
    n = max(1, round(share * N))
    if shape == "random":
        rows = rng.choice(N, n, replace=False)
    else:
        order = np.argsort(VECTORS @ QUERIES[seed % len(QUERIES)])
        rows = order[:n] if shape == "far" else order[-n:]
    eligible = np.zeros(N, np.bool_)
    eligible[rows] = True
    return eligible


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    shape=st.sampled_from(["random", "near", "far"]),
    share=st.sampled_from([1.0, 0.5, 0.2, 0.05, 0.005, 0.0]),
    seed=st.integers(0, 1000),
    n=st.integers(1, 300),
    n_queries=st.sampled_from([1, 20, 300]),
)
def test_any_filter_gets_full_answers_with_the_stated_recall(
    kind: IndexKind, shape: str, share: float, seed: int, n: int, n_queries: int
) -> None:
    index, eligible, queries = index_of(kind), filters(shape, share, seed), QUERIES[:n_queries]
    rows, scores = index.search(queries, n, eligible)

    assert rows.shape == scores.shape == (n_queries, min(n, int(eligible.sum())))
    assert eligible[rows].all()
    assert all(len(set(line)) == len(line) for line in rows.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.einsum("qnd,qd->qn", VECTORS[rows], queries), atol=1e-5)
    if n_queries == len(QUERIES):  # a mean over few queries for one row each says nothing
        last = best_scores(queries, VECTORS[eligible], rows.shape[1])[:, -1:]
        assert (scores >= last - 1e-5).mean() >= index.facts.stated_recall


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    shape=st.sampled_from(["random", "near", "far"]),
    share=st.sampled_from([0.5, 0.35, 0.2]),
    seed=st.integers(0, 1000),
    n=st.integers(1, 60),
)
def test_a_walk_among_the_eligible_has_the_stated_recall(shape: str, share: float, seed: int, n: int) -> None:
    """Among so few vectors the exact search would be quicker, and a walk would never be seen."""
    index, eligible = index_of("hnsw"), filters(shape, share, seed)
    with mock.patch.object(index_module, "_STEP", 0):
        rows, scores = index.search(QUERIES, n, eligible)
    assert eligible[rows].all()
    assert rows.shape == (len(QUERIES), min(n, int(eligible.sum())))
    assert (scores >= best_scores(QUERIES, VECTORS[eligible], n)[:, -1:] - 1e-5).mean() >= index.facts.stated_recall


@cache
def index_of_copies(kind: IndexKind) -> VectorIndex:
    """Vector i is that of row i // 5: each is there five times."""
    return VectorIndex.build(np.repeat(VECTORS[: N // 5], 5, axis=0), IndexConfig(kind=kind, hnsw_links=16))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(share=st.sampled_from([1.0, 0.5, 0.1, 0.0]), seed=st.integers(0, 1000), n=st.integers(1, 300), n_queries=st.sampled_from([1, 30]))
def test_copies_of_a_vector_shorten_no_answer(kind: IndexKind, share: float, seed: int, n: int, n_queries: int) -> None:
    index, eligible, queries = index_of_copies(kind), filters("random", share, seed), QUERIES[:n_queries]
    with mock.patch.object(index_module, "_STEP", 0 if share >= 0.5 else 20):
        rows, scores = index.search(queries, n, eligible)
    assert rows.shape == (n_queries, min(n, int(eligible.sum())))
    assert eligible[rows].all()
    assert all(len(set(line)) == len(line) for line in rows.tolist())
    is_tied = np.diff(scores, axis=1) == 0
    assert (np.diff(rows, axis=1)[is_tied] > 0).all()
    if n_queries > 1:
        last = best_scores(queries, index.stored[eligible], rows.shape[1])[:, -1:]
        assert (scores >= last - 1e-5).mean() >= index.facts.stated_recall - 0.02  # over 30 queries only


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [0, N // 2, N - 1])
def test_a_single_eligible_row_is_found_wherever_it_lies(kind: IndexKind, row: int) -> None:
    eligible = np.arange(N) == row
    rows, scores = index_of(kind).search(QUERIES, 50, eligible)
    assert (rows == row).all()
    assert rows.shape == (len(QUERIES), 1)
    np.testing.assert_allclose(scores[:, 0], QUERIES @ VECTORS[row], atol=1e-5)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_the_effort_is_what_the_queries_to_come_take(kind: IndexKind) -> None:
    easy, hard = VECTORS[:300], np.random.default_rng(3).normal(size=(300, DIM)).astype(np.float32)
    hard /= np.linalg.norm(hard, axis=1, keepdims=True)
    config = IndexConfig(kind=kind, hnsw_links=4, recall=0.97)
    indexes = [VectorIndex.build(VECTORS, config, queries) for queries in (easy, hard)]
    assert indexes[0].facts.effort <= indexes[1].facts.effort
    scores = indexes[1].search(hard, 200)[1]
    assert (scores >= best_scores(hard, VECTORS, 200)[:, -1:] - 1e-5).mean() >= indexes[1].facts.stated_recall >= 0.95


def test_sample_queries_must_fit_the_vectors() -> None:
    with pytest.raises(ValueError, match=f"queries have width 3, the index has {DIM}"):
        VectorIndex.build(VECTORS, IndexConfig(kind="hnsw"), np.ones((5, 3), np.float32))
    with pytest.raises(ValueError, match="row 1 of queries is not finite"):
        VectorIndex.build(VECTORS, IndexConfig(kind="hnsw"), np.full((5, DIM), [[1.0]] + [[np.nan]] * 4, np.float32))
    untold = VectorIndex.build(VECTORS, IndexConfig(kind="ivf"))
    assert VectorIndex.build(VECTORS, IndexConfig(kind="ivf"), VECTORS[:0]).facts == untold.facts


@pytest.mark.parametrize(("n_queries", "stated"), [(100, 0.97), (300, 0.99)])  # 100 / 101 and 300 / 301, less two standard errors
def test_queries_that_find_all_cannot_vouch_for_all_to_come(n_queries: int, stated: float) -> None:
    best = np.ones((n_queries, 200), np.float32)
    assert least_effort(lambda *_: best, [1, 2], QUERIES[:n_queries], best, target=0.95) == (1, stated)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_a_handful_of_queries_is_not_all_that_is_asked(kind: IndexKind) -> None:
    one = VectorIndex.build(VECTORS, IndexConfig(kind=kind, hnsw_links=16), QUERIES[:1])
    assert one.facts.stated_recall >= 0.95
    scores = one.search(QUERIES, 200)[1]
    assert (scores >= best_scores(QUERIES, VECTORS, 200)[:, -1:] - 1e-5).mean() >= one.facts.stated_recall


@pytest.mark.parametrize("kind", KINDS)
def test_searches_without_a_filter_have_the_stated_recall(kind: IndexKind) -> None:
    index = index_of(kind)
    assert 0.95 <= index.facts.stated_recall <= 1
    for n in (10, 200, 1000):
        scores = index.search(QUERIES, n)[1]
        assert (scores >= best_scores(QUERIES, VECTORS, n)[:, -1:] - 1e-5).mean() >= index.facts.stated_recall


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_approximate_kinds_do_not_look_at_everything(kind: IndexKind) -> None:
    fast = index_of(kind)._fast
    assert fast is not None
    for eligible in (None, filters("random", 0.9, 1)):
        n_eligible = N if eligible is None else int(eligible.sum())
        assert fast.propose(QUERIES[:1], 10, eligible, n_eligible) is not None
    assert fast.propose(QUERIES[:1], 10, filters("random", 0.005, 1), 30) is None


@pytest.mark.parametrize("kind", KINDS)
def test_single_and_batch_searches_agree(kind: IndexKind) -> None:
    eligible = filters("random", 0.7, 3)
    for flags in (None, eligible):
        rows, scores = index_of(kind).search(QUERIES, 30, flags)
        alone = [index_of(kind).search(query[None, :], 30, flags) for query in QUERIES]
        np.testing.assert_allclose(scores, np.concatenate([found for _, found in alone]), atol=1e-6)
        close = np.abs(np.diff(scores, axis=1)) < 1e-6  # products of many vectors at once are added up in another order than those of one
        may_change_places = np.pad(close, ((0, 0), (0, 1))) | np.pad(close, ((0, 0), (1, 0)))
        assert ((rows == np.concatenate([found for found, _ in alone])) | may_change_places).all()
        assert may_change_places.mean() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_index_is_the_saved_one(kind: IndexKind, tmp_path: Path) -> None:
    index = index_of(kind)
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path, dim=DIM)
    assert loaded.describe() == index.describe()
    np.testing.assert_array_equal(loaded.stored, VECTORS)
    np.testing.assert_array_equal(loaded.vectors(np.array([7, 3])), VECTORS[[7, 3]])
    for eligible in (None, filters("random", 0.6, 5)):
        for before, after in zip(index.search(QUERIES, 20, eligible), loaded.search(QUERIES, 20, eligible), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_two_builds_write_equal_files(kind: IndexKind, tmp_path: Path) -> None:
    for name in ("one", "two"):
        VectorIndex.build(VECTORS[:1500], IndexConfig(kind=kind)).save(tmp_path / name)
    one, two = ((tmp_path / name / "index.faiss").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_any_byte_altered_or_cut_is_refused(kind: IndexKind, tmp_path: Path) -> None:
    VectorIndex.build(VECTORS[:1000], IndexConfig(kind=kind)).save(tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for place in np.linspace(0, len(content) - 1, 25).astype(int).tolist():
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :])
        with pytest.raises(BundleError, match=file.name):
            VectorIndex.load(tmp_path)
        file.write_bytes(content[:place])
        with pytest.raises(BundleError, match=file.name):
            VectorIndex.load(tmp_path)
    file.write_bytes(content)
    assert len(VectorIndex.load(tmp_path)) == 1000


def test_vectors_of_another_width_are_refused_when_loaded(tmp_path: Path) -> None:
    index_of("exact").save(tmp_path)
    with pytest.raises(BundleError, match=f"width {DIM}, but 384 is needed"):
        VectorIndex.load(tmp_path, dim=384)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_few_vectors_are_found_whatever_the_kind(kind: IndexKind, n: int) -> None:
    index = VectorIndex.build(VECTORS[:n], IndexConfig(kind=kind))
    assert index.search(QUERIES[:2], 3)[0].shape == (2, min(n, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_and_zeros_are_found_in_full(kind: IndexKind) -> None:
    vectors = np.zeros((1200, 8), np.float32)
    vectors[:600, 0] = 1
    index = VectorIndex.build(vectors, IndexConfig(kind=kind))
    rows, scores = index.search(vectors[:1], 700)
    assert len(set(rows[0].tolist())) == 700
    assert scores[0].tolist() == [1.0] * 600 + [0.0] * 100


@pytest.mark.parametrize("kind", KINDS)
def test_threads_may_search_at_once(kind: IndexKind) -> None:
    eligible, index = filters("random", 0.8, 4), index_of(kind)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: index.search(QUERIES[:3], 30, eligible)[0].tolist(), range(24)))
    assert all(answer == answers[0] for answer in answers)


def test_more_recall_costs_more_effort() -> None:
    efforts = [VectorIndex.build(VECTORS, IndexConfig(kind="ivf", recall=recall)).facts for recall in (0.6, 0.99)]
    assert efforts[0].effort < efforts[1].effort
    assert 0.6 <= efforts[0].stated_recall < 0.99 <= efforts[1].stated_recall

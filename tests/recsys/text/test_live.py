"""A live index answers as one built from scratch would, and a change never disturbs a search on an older snapshot."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trunks import write_trunk

from recsys.config import TextConfig
from recsys.source_config import IndexConfig
from recsys.text.encoder import TextEncoder, load_encoder
from recsys.text.index import VectorIndex
from recsys.text.live import LiveIndex
from recsys.types import Flags, Floats

N, DIM = 40, 8
EXACT = IndexConfig(kind="exact")


def unit(n: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(n, DIM))
    result: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return result


VECTORS, QUERIES = unit(N, 1), unit(5, 2)
BASE = VectorIndex.build(VECTORS, EXACT)

change = st.tuples(st.booleans(), st.lists(st.integers(0, N + 15), unique=True, max_size=8), st.integers(0, 1000))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(changes=st.lists(change, max_size=6), n=st.integers(1, 60), share=st.sampled_from([None, 0.5, 0.1, 0.0]))
def test_any_changes_answer_as_an_index_built_from_scratch(changes: list[tuple[bool, list[int], int]], n: int, share: float | None) -> None:
    live, expected = LiveIndex.of(BASE), {row: VECTORS[row] for row in range(N)}
    for is_removal, changed, seed in changes:
        rows = np.array(changed, np.int64)
        if is_removal:
            live = live.without(rows)
            expected = {row: vector for row, vector in expected.items() if row not in changed}
        else:
            vectors = unit(len(rows), seed)
            live = live.with_items(rows, vectors)
            expected.update(zip(changed, vectors, strict=True))
    eligible = None if share is None else np.random.default_rng(n).random(len(live)) < share
    assert_same(live, expected, n, eligible)
    assert_same(live.rebuilt(EXACT), expected, n, eligible)


def assert_same(live: LiveIndex, expected: dict[int, Floats], n: int, eligible: Flags | None) -> None:
    """The live index answers as an index of the eligible vectors does."""
    names = np.array([row for row in sorted(expected) if eligible is None or eligible[row]], np.int64)
    scratch = VectorIndex.build(np.array([expected[row] for row in names], np.float32).reshape(-1, DIM), EXACT)
    rows, scores = live.search(QUERIES, n, eligible)
    places, true_scores = scratch.search(QUERIES, n)
    assert rows.tolist() == names[places].tolist()
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)
    np.testing.assert_array_equal(live.vectors(names), scratch.stored)


def test_a_change_leaves_older_snapshots_as_they_were() -> None:
    before = LiveIndex.of(BASE)
    answer = before.search(QUERIES, 10)
    after = before.with_items(np.array([N]), QUERIES[:1]).without(answer[0][1, :1])
    assert after.base is before.base
    for old, new in zip(answer, before.search(QUERIES, 10), strict=True):
        np.testing.assert_array_equal(old, new)
    rows, scores = after.search(QUERIES, 10)
    assert rows[0, 0] == N
    assert scores[0, 0] == pytest.approx(1)
    assert answer[0][1, 0] not in rows[1]


def test_searches_run_while_snapshots_are_swapped() -> None:
    """Every answer belongs to one snapshot: number k has rows N to N + k, each nearer to the query than all before it."""
    query = QUERIES[:1]
    newest, is_done = [LiveIndex.of(BASE)], threading.Event()
    steps = query * np.linspace(2, 3, 200, dtype=np.float32)[:, None]

    def search() -> list[list[int]]:
        found = []
        while not is_done.is_set() or not found:
            live = newest[0]
            rows = live.search(query, 3)[0][0].tolist()
            found.append([len(live), *rows])
        return found

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        try:
            for step in range(len(steps)):
                newest[0] = newest[0].with_items(np.array([N + step]), steps[step : step + 1])
        finally:
            is_done.set()
        answers = [answer for running in searches for answer in running.result()]
    assert all(best == size - 1 for size, best, *_ in answers if size > N)
    assert newest[0].search(query, 3)[0].tolist() == [[N + 199, N + 198, N + 197]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A random BERT, 16 wide."""
    folder = write_trunk(tmp_path_factory.mktemp("trunk"), ["red", "green", "tea", "cup", "leaf", "kettle", "of", "steel"])
    return load_encoder(TextConfig(trunk=str(folder), max_tokens=16, precision="float32"), 1)


TEXTS = ["red cup", "green leaf", "steel kettle", "kettle of steel and red tea", "green green cup"]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_new_item_is_found_given_only_its_text(kind: str, encoder: TextEncoder) -> None:
    live = LiveIndex.of(VectorIndex.build(encoder.encode(TEXTS), IndexConfig.model_validate({"kind": kind})))
    grown = live.with_texts(np.array([5, 6]), ["tea of green leaf", "cup cup cup"], encoder)
    rows, scores = grown.search(encoder.encode(["tea of green leaf", "Tea of green  leaf!", "cup cup cup"]), 3)
    assert rows[:, 0].tolist() == [5, 5, 6]
    assert scores[[0, 2], 0] == pytest.approx([1, 1], abs=1e-5)
    assert len(live) == 5
    again = grown.rebuilt(IndexConfig(kind="exact"))
    assert not len(again.rows)
    assert again.search(encoder.encode(["tea of green leaf"]), 1)[0].tolist() == [[5]]
    only = np.arange(7) == 6
    assert grown.search(encoder.encode(["tea of green leaf"]), 3, only)[0].tolist() == [[6]]


def test_a_changed_text_moves_its_item(encoder: TextEncoder) -> None:
    live = LiveIndex.of(VectorIndex.build(encoder.encode(TEXTS), EXACT))
    moved = live.with_texts(np.array([0]), ["leaf of tea"], encoder)
    query = encoder.encode(["leaf of tea"])
    assert moved.search(query, 1)[0].tolist() == [[0]]
    assert len(moved) == len(live)
    assert moved.with_texts(np.empty(0, np.int64), [], encoder).search(query, 5)[0].tolist() == moved.search(query, 5)[0].tolist()


def test_any_text_has_a_vector(encoder: TextEncoder) -> None:
    live = LiveIndex.of(VectorIndex.build(encoder.encode(TEXTS), EXACT))
    odd = ["", "\0", "\u8336 \U0001f375", "<b>tea</b>", "tea " * 20_000]
    grown = live.with_texts(np.arange(5, 10), odd, encoder)
    assert np.isfinite(grown.vectors(np.arange(10))).all()
    assert grown.search(encoder.encode(["green leaf"]), 10)[0].shape == (1, 10)


def test_searches_on_an_older_snapshot_do_not_see_new_texts(encoder: TextEncoder) -> None:
    old = LiveIndex.of(VectorIndex.build(encoder.encode(TEXTS), EXACT))
    queries, newest, is_done = encoder.encode(TEXTS), [old], threading.Event()
    before = old.search(queries, 5)[0].tolist()

    def search() -> list[bool]:
        answers = [old.search(queries, 5)[0].tolist() == before]
        while not is_done.is_set():
            answers.append(old.search(queries, 5)[0].tolist() == before)
        return answers

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        try:
            for number in range(20):
                newest[0] = newest[0].with_texts(np.array([5 + number]), [TEXTS[number % 5] + " tea" * (1 + number % 4)], encoder)
        finally:
            is_done.set()
        assert all(all(running.result()) for running in searches)
    assert (len(old), len(newest[0])) == (5, 25)


def test_an_encoder_of_another_width_is_refused(encoder: TextEncoder) -> None:
    live = LiveIndex.of(BASE)
    with pytest.raises(ValueError, match="embeddings of width 16, but the index holds vectors of width 8"):
        live.with_texts(np.array([N]), ["red cup"], encoder)
    with pytest.raises(ValueError, match="1 rows need as many texts, not 2"):
        live.with_texts(np.array([N]), ["red cup", "tea"], encoder)


def test_rows_beyond_the_base_may_leave_gaps() -> None:
    live = LiveIndex.of(BASE).with_items(np.array([N + 3]), QUERIES[:1])
    assert len(live) == N + 4
    assert live.search(QUERIES, N + 4)[0].shape == (5, N + 1)
    with pytest.raises(ValueError, match=f"row {N + 1} does not exist"):
        live.vectors(np.array([N + 3, N + 1]))


def test_the_base_may_be_approximate_or_empty() -> None:
    vectors = unit(3000, 5)
    graph = LiveIndex.of(VectorIndex.build(vectors, IndexConfig(kind="hnsw"))).with_items(np.array([3000]), QUERIES[:1])
    assert graph.without(np.arange(100)).search(QUERIES, 5)[0][0, 0] == 3000
    empty = LiveIndex.of(VectorIndex.build(np.empty((0, DIM), np.float32), EXACT))
    assert empty.search(QUERIES, 3)[0].shape == (5, 0)
    assert empty.with_items(np.array([0]), QUERIES[:1]).search(QUERIES, 3)[0].tolist() == [[0]] * 5


def test_what_does_not_fit_is_refused() -> None:
    live = LiveIndex.of(BASE)
    with pytest.raises(ValueError, match=r"width 8 need vectors of shape \(1, 8\), not \(1, 9\)"):
        live.with_items(np.array([1]), np.ones((1, 9), np.float32))
    with pytest.raises(ValueError, match="not finite"):
        live.with_items(np.array([1]), np.full((1, DIM), np.nan, np.float32))
    with pytest.raises(ValueError, match="without repeats"):
        live.with_items(np.array([1, 1]), unit(2, 0))
    with pytest.raises(ValueError, match="at least 0, got -1"):
        live.without(np.array([-1]))
    with pytest.raises(ValueError, match="eligible must be 41 flags"):
        live.with_items(np.array([N]), QUERIES[:1]).search(QUERIES, 1, np.ones(N, np.bool_))

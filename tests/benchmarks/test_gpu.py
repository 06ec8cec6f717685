"""The GPU benchmark says why it does not run, fails when a check fails, and its checks know right from wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest

import benchmarks.gpu as gpu
from benchmarks.gpu import PARTS, Part, Row, main, no_faiss, no_torch, texts
from benchmarks.gpu_checks import overlap, same_items, selector_verdict
from recsys.text.index import VectorIndex
from recsys.types import Flags, Floats, Ints

VECTORS = np.eye(4, dtype=np.float32)
QUERY = np.array([[4, 3, 2, 1]], np.float32)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    return main()


@pytest.mark.skipif(no_torch() is None or no_faiss() is None, reason="there is a GPU on this machine")
def test_without_a_gpu_every_part_says_why_it_is_not_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.count("not run:") == len(PARTS)
    assert "sees no CUDA device" in said


def failing(n: int) -> Iterator[Row]:
    yield Row("something", "1", "2")
    yield Row("a check", result="FAILED .5", has_failed=True)


def breaking(n: int) -> Iterator[Row]:
    yield Row("something", "1", "2")
    raise RuntimeError("CUDA error: out of memory")


@pytest.mark.parametrize(("part", "said"), [(failing, "FAILED .5"), (breaking, "out of memory")])
def test_a_failed_check_is_told_by_the_exit_code(
    part: object, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(gpu.PARTS, "encode", Part(part, lambda: None))  # type: ignore[arg-type]
    assert run(monkeypatch, "--only", "encode") == 1
    output = capsys.readouterr().out
    assert "something" in output
    assert said in output


def test_an_unknown_part_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "--only", "encode,teleport")


class BlindCopy:
    """A FAISS index as it is on a GPU: it takes a selector and ignores it."""

    def __init__(self, index: Any) -> None:
        self.index, self.nprobe = index, 32

    def search(self, queries: Floats, n: int, params: object = None) -> Any:
        return self.index.search(queries, n)


class Resources:
    """Stands for FAISS's GPU resources."""

    def setTempMemory(self, size: int) -> None:
        assert size > 0


def test_the_parts_that_search_run_on_a_gpu_that_ignores_selectors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda resources, device, index: BlindCopy(index), raising=False)
    monkeypatch.setattr(gpu, "N_QUERIES", 40)
    monkeypatch.setattr(gpu, "DIM", 32)
    assert no_faiss() is None
    code = run(monkeypatch, "--only", "search,filters", "--n", "6000")
    said = capsys.readouterr().out
    assert code == 0, said
    assert "IGNORED" in said
    assert "FAILED" not in said
    assert said.count("full answers") == 5


def test_a_search_that_lets_ineligible_rows_through_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda resources, device, index: BlindCopy(index), raising=False)
    monkeypatch.setattr(gpu, "DIM", 32)
    monkeypatch.setattr(VectorIndex, "_completed", lambda self, proposed, queries, n, *_: tuple(part[:, :n] for part in proposed))
    assert run(monkeypatch, "--only", "filters", "--n", "6000") == 1
    assert "FAILED" in capsys.readouterr().out


def test_texts_are_distinct_and_always_the_same() -> None:
    assert len(set(texts(50))) == 50
    assert texts(50)[:20] == texts(20)


ROWS, SCORES = np.array([[0, 1]]), np.array([[4, 3]], np.float32)


def test_the_same_items_are_the_same_up_to_ties() -> None:
    true = ROWS, SCORES
    assert same_items((ROWS, SCORES), true, VECTORS, QUERY)
    assert not same_items((np.array([[0, 2]]), SCORES), true, VECTORS, QUERY)  # a worse item with a wrong score
    assert not same_items((np.array([[0, 2]]), np.array([[4, 2]], np.float32)), true, VECTORS, QUERY)
    assert not same_items((np.array([[0, 0]]), SCORES), true, VECTORS, QUERY)
    tied = np.array([[4, 3, 3, 1]], np.float32)
    assert same_items((np.array([[0, 2]]), SCORES), true, VECTORS, tied)


def test_overlap_counts_what_both_found() -> None:
    assert overlap(np.array([[1, 2], [3, -1]]), np.array([[2, 1], [3, 4]])) == 0.75


def test_a_selector_is_honoured_refused_or_ignored() -> None:
    half = np.array([True, False, True, False])

    def honours(eligible: Flags) -> Ints:
        return np.append(np.flatnonzero(eligible), -1).astype(np.int32)[None, :]

    def refuses(eligible: Flags) -> Ints:
        raise RuntimeError("selectors are not supported")

    assert selector_verdict(honours, half) == "honoured"
    assert selector_verdict(refuses, half) == "refused: RuntimeError"
    assert (
        selector_verdict(lambda eligible: np.array([[0, 1, 2, 3]], np.int32), half) == "IGNORED: 50 % of what it returned was not eligible"
    )

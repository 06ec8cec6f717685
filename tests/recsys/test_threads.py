"""Thread counts hold for a block and are given back after it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import pytest
import torch
from threadpoolctl import threadpool_info

from recsys.threads import limit_this_thread, limit_threads, single_blas


def counts(api: str) -> list[int]:
    pools: list[dict[str, Any]] = threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == api]


def everything() -> tuple[int, int, list[int], list[int]]:
    return torch.get_num_threads(), faiss.omp_get_max_threads(), counts("blas"), counts("openmp")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_library_gets_the_count_and_its_own_back(n: int) -> None:
    before = everything()
    with limit_threads(n):
        assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (n, n)
        assert set(counts("openmp")) == {n}
    assert everything() == before


def test_the_counts_come_back_after_an_error() -> None:
    before = everything()
    with pytest.raises(RuntimeError, match="lost"), limit_threads(1):
        raise RuntimeError("lost")
    assert everything() == before


def test_als_gets_one_blas_thread_and_keeps_its_own() -> None:
    before = everything()
    with limit_threads(2), single_blas():
        assert set(counts("blas")) == {1}
    assert everything() == before


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"), limit_threads(0):
        pass


def test_each_worker_of_a_pool_gets_its_own_count() -> None:
    before = faiss.omp_get_max_threads()
    with ThreadPoolExecutor(2, initializer=limit_this_thread, initargs=(1,)) as pool:
        assert pool.submit(faiss.omp_get_max_threads).result() == 1
    assert faiss.omp_get_max_threads() == before

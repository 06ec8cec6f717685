"""The one place for thread counts.

BLAS, OpenMP, torch and FAISS each keep a count of their own. Two busy pools on the same cores cost more than they bring,
and the count is part of what makes two runs equal, so it comes from the configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from threadpoolctl import threadpool_limits

_COUNTS = (("torch", "get_num_threads", "set_num_threads"), ("faiss", "omp_get_max_threads", "omp_set_num_threads"))


@contextmanager
def limit_threads(n: int) -> Iterator[None]:
    """Give every numeric library n threads for the length of a ``with`` block, then what it had before.

    Reaches libraries that are already loaded: none is imported for it, and one that loads inside the block starts with its own
    default. OpenMP counts belong to the calling thread, so other threads need their own block.

    Answering queries wants n = 1: the matrices of one query are so small that a second thread costs more than it brings, and
    several times more on busy cores.
    """
    if n < 1:
        raise ValueError(f"a thread count must be at least 1, got {n}")
    with ExitStack() as restore:
        for name, current, change in _COUNTS:
            if (library := sys.modules.get(name)) is not None:
                restore.callback(getattr(library, change), getattr(library, current)())
                getattr(library, change)(n)
        restore.enter_context(threadpool_limits(n))
        yield


def limit_this_thread(n: int) -> None:
    """Give the calling thread n OpenMP threads for good; what a pool of workers runs first in each of them."""
    for name, _, change in _COUNTS:
        if (library := sys.modules.get(name)) is not None:
            getattr(library, change)(n)


@contextmanager
def single_blas() -> Iterator[None]:
    """One BLAS thread for the length of a ``with`` block: ALS calls BLAS from threads of its own, which more would only slow down."""
    with threadpool_limits(1, "blas"):
        yield

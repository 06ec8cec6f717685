"""Nearest vectors by inner product; the only file that imports FAISS.

A small set of vectors is searched exactly, a large one through an HNSW graph. The graph (or a GPU, where FAISS has one) only makes
answers faster: what it returns is checked against the eligible set, and where it falls short the exact search answers.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys.config import IndexConfig
from recsys.errors import BundleError
from recsys.types import Flags, Floats, Ints

Found: TypeAlias = tuple[NDArray[np.int64], Floats]

_FILE = "index.faiss"
_END, _MARK = struct.Struct("<8sQ"), b"segrec-v"
"""The last bytes of a file: a mark and the length before it. FAISS itself may crash when it maps a file that was cut short."""
_STEP = 20
"""Eligible vectors that the exact search looks at in the time of one step of a walk through the graph."""
_BATCH, _GATHER_MOST = 20, 1 << 17
"""From so many queries on FAISS multiplies matrices, but not while it skips rows: then up to so many vectors are worth copying out."""
faiss.cvar.distance_compute_blas_threshold = _BATCH  # some builds come with a number that no batch reaches, 6 times slower
_GPU_MAX = 2048
"""The most vectors that one GPU search returns."""


class VectorIndex:
    """An immutable set of vectors, searchable from many threads at once.

    Scores are inner products: cosines, where vectors and queries have unit norm. Equal scores come in the order of the rows.
    """

    def __init__(self, index: Any) -> None:
        """Wrap a FAISS index: an IndexFlatIP, or an IndexHNSWFlat of inner products. `build` and `load` make one."""
        self._index = index
        self._graph = index if isinstance(index, faiss.IndexHNSW) else None
        self._flat = index if self._graph is None else faiss.downcast_index(index.storage)
        self._stored: Floats = faiss.rev_swig_ptr(self._flat.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
        self._stored.flags.writeable = False
        self._gpu = _Gpu(self._flat) if faiss.get_num_gpus() > 0 and len(self) else None

    @classmethod
    def build(cls, vectors: Floats, config: IndexConfig) -> VectorIndex:
        """An index of float32 vectors of shape (n, dim), n >= 0; row numbers are their names.

        Raises:
            ValueError: the shape is not (n, dim), or a value is not finite (the row is named).
        """
        vectors = _checked(vectors, "vectors")
        n, dim = vectors.shape
        if n < config.exact_below:
            index = faiss.IndexFlatIP(dim)
        else:
            index = faiss.IndexHNSWFlat(dim, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efSearch = config.hnsw_search
        index.add(vectors)
        return cls(index)

    @classmethod
    def load(cls, folder: Path) -> VectorIndex:
        """What `save` wrote, memory-mapped.

        Raises:
            BundleError: the file is missing, truncated, or no index of this kind.
        """
        path = folder / _FILE
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END) - _END.size
                file.seek(max(size, 0))
                if file.read() != _END.pack(_MARK, max(size, 0)):
                    raise BundleError(f"{path} is cut short or no vector index; copy or train the bundle again")
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except (OSError, RuntimeError, MemoryError) as error:
            raise BundleError(f"{path} cannot be read as a vector index: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the index into a folder of its own, as one file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _FILE
        faiss.write_index(self._index, str(path))
        with path.open("ab") as file:
            file.write(_END.pack(_MARK, file.tell()))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self._index.d)

    @property
    def kind(self) -> Literal["exact", "hnsw"]:
        """How a search without a filter goes when there is no GPU."""
        return "exact" if self._graph is None else "hnsw"

    @property
    def stored(self) -> Floats:
        """The vectors themselves, float32 (len(self), dim): a view into the index, not to be written to or kept beyond it."""
        return self._stored

    def vectors(self, rows: Ints | NDArray[np.intp]) -> Floats:
        """A copy of the vectors of the given rows; float32, shape (len(rows), dim)."""
        return np.take(self._stored, rows, axis=0)

    def search(self, queries: Floats, n: int, eligible: Flags | None = None) -> tuple[Ints, Floats]:
        """The n best rows for each query, best first.

        Args:
            queries: float32, shape (q, dim), finite.
            n: rows wanted, at least 1.
            eligible: one flag per vector, shape (len(self),); None = all.

        Returns:
            Rows (int32) and scores (float32), both of shape (q, m). m is n, or the number of eligible vectors where that is smaller:
            a filter never makes an answer shorter than it must be. Without a graph the rows are the exact best, up to rounding.

        Raises:
            ValueError: a shape does not fit the index, n < 1, or a query is not finite.
        """
        queries = _checked(queries, "queries")
        if queries.shape[1] != self.dim:
            raise ValueError(f"queries have width {queries.shape[1]}, the index has {self.dim}")
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if eligible is not None and (eligible.shape != (len(self),) or eligible.dtype != np.bool_):
            raise ValueError(f"eligible must be {len(self)} flags, one per vector; got {eligible.dtype} of shape {eligible.shape}")
        n_eligible = len(self) if eligible is None else int(np.count_nonzero(eligible))
        n = min(int(n), n_eligible)
        if n == 0 or len(queries) == 0:
            return np.empty((len(queries), n), np.int32), np.empty((len(queries), n), np.float32)
        if n_eligible == len(self):
            eligible = None
        proposed = self._proposed(queries, n, eligible, n_eligible)
        if proposed is None:
            rows, scores = self._exact(queries, n, eligible, n_eligible)
        else:
            rows, scores = self._completed(*proposed, queries, n, eligible, n_eligible)
        return rows.astype(np.int32), scores

    def _proposed(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        """What the GPU or the graph finds, ineligible rows and -1 (nothing) among it; None where the exact search is the better way."""
        share = n_eligible / len(self)
        if self._gpu is not None:
            fetched = n if eligible is None else math.ceil(1.5 * n / share) + 32
            return self._gpu.search(queries, min(fetched, len(self))) if fetched <= _GPU_MAX else None
        if self._graph is None:
            return None
        breadth = math.ceil(max(self._graph.hnsw.efSearch, 2 * n) / share)
        if n_eligible < _STEP * breadth:
            return None
        selector = None if eligible is None else faiss.IDSelectorBitmap(np.packbits(eligible, bitorder="little"))
        parameters = faiss.SearchParametersHNSW(efSearch=breadth, sel=selector)
        scores, rows = self._graph.search(queries, n, params=parameters)
        return rows, scores

    def _completed(
        self, rows: NDArray[np.int64], scores: Floats, queries: Floats, n: int, eligible: Flags | None, n_eligible: int
    ) -> Found:
        """The n best eligible rows of a proposal; a query that has fewer is searched exactly."""
        usable = rows >= 0 if eligible is None else (rows >= 0) & eligible[rows]
        rows, scores = _best(rows, np.where(usable, scores, np.float32(-np.inf)), n)
        short = np.flatnonzero(np.isneginf(scores[:, -1]))
        if len(short):
            rows[short], scores[short] = self._exact(queries[short], n, eligible, n_eligible)
        return rows, scores

    def _exact(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found:
        """The best among all eligible vectors, each of them looked at."""
        if eligible is None:  # a selector that lets all pass: FAISS reads the rows for one query twice as fast with one as without
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorAll()) if len(queries) < _BATCH else None
            return _untied(lambda k: self._flat.search(queries, k, params=parameters), n, n_eligible)
        names = np.flatnonzero(eligible)
        if len(queries) < _BATCH or n_eligible > _GATHER_MOST:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorArray(names))
            return _untied(lambda k: self._flat.search(queries, k, params=parameters), n, n_eligible)
        alone = self.vectors(names)
        places, scores = _untied(lambda k: faiss.knn(queries, alone, k, metric=faiss.METRIC_INNER_PRODUCT), n, n_eligible)
        return names[places], scores


class _Gpu:
    """A copy of the vectors on the first GPU. FAISS's GPU resources serve one search at a time, and its GPU indexes know no selectors."""

    def __init__(self, flat: Any) -> None:
        self._resources = faiss.StandardGpuResources()
        self._index = faiss.index_cpu_to_gpu(self._resources, 0, flat)
        self._lock = threading.Lock()

    def search(self, queries: Floats, n: int) -> Found:
        """Rows and scores of the n best; n at most _GPU_MAX."""
        with self._lock:
            scores, rows = self._index.search(queries, n)
        return rows, scores


def _untied(search: Callable[[int], Any], n: int, n_eligible: int) -> Found:
    """The n best of `search(k)`; k grows while the n-th score may go on beyond what was fetched: of equal scores the first rows win."""
    fetched = min(n + 1, n_eligible)
    scores, rows = search(fetched)
    while fetched < n_eligible and (scores[:, -1] == scores[:, n - 1]).any():
        fetched = min(4 * fetched, n_eligible)
        scores, rows = search(fetched)
    return _best(rows, scores, n)


def _best(rows: NDArray[np.int64], scores: Floats, n: int) -> Found:
    """The first n of each line by descending score, equal scores by ascending row."""
    order = np.lexsort((rows, -scores), axis=-1)[:, :n]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _checked(array: Floats, what: str) -> Floats:
    """The array as contiguous float32 with two axes and finite values."""
    if array.ndim != 2:
        raise ValueError(f"{what} must have the shape (n, dim), got {array.shape}")
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"row {row} of {what} is not finite: {array[row]}")
    return array

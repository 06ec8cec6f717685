"""Nearest vectors by inner product; the only file that imports FAISS.

A small set of vectors is searched exactly, a large one through an HNSW graph or in inverted lists, whole or quantised. Graph and lists
(or a GPU, where FAISS has one) only make answers faster: what they return is checked against the eligible set, scored with the vectors
themselves, and where it falls short the exact search answers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys.config import IndexConfig
from recsys.errors import BundleError
from recsys.text.index_choice import IndexKind, choose_kind, code_bytes, list_count
from recsys.text.index_file import INDEX_FILE, SAMPLED_BEST, IndexFacts, seal, unseal
from recsys.text.index_recall import least_effort
from recsys.types import Flags, Floats, Ints

Found: TypeAlias = tuple[NDArray[np.int64], Floats]

_STEP = 20
"""Eligible vectors that the exact search looks at in the time of one step of a walk through the graph."""
_BATCH, _GATHER_MOST = 20, 1 << 17
"""From so many queries on FAISS multiplies matrices, but not while it skips rows: then up to so many vectors are worth copying out."""
faiss.cvar.distance_compute_blas_threshold = _BATCH  # some builds come with a number that no batch reaches, 6 times slower
_GPU_LEAST, _GPU_MAX = 4096, 2048
"""Of fewer vectors the processor finds the best before a GPU has got the query; and the most vectors that one GPU search returns."""
_OVERFETCH = {"ivf": (1.0, 0), "ivf_sq8": (1.1, 10), "ivf_pq": (3.0, 100)}
"""Rows taken from lists for each row wanted, and so many more: codes order them only roughly, the stored vectors decide."""
_COUNTED, _TOGETHER = 1 << 14, 256
"""About so many vectors tell how the eligible ones lie in the lists; for so many queries at once that is worked out."""


class VectorIndex:
    """An immutable set of vectors, searchable from many threads at once.

    Scores are inner products: cosines, where vectors and queries have unit norm. Equal scores come in the order of the rows.

    facts: the kind, why it was chosen, and the recall it vouches for
    """

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        """Wrap a FAISS index of inner products that holds the vectors themselves too; `build` and `load` make one."""
        self.facts = facts
        self._index = index
        self._flat = _flat(index)
        self._stored = _matrix(self._flat)
        self._fast: _Proposer | None = _proposer(index, facts)
        self._gpu = _Gpu(self._flat) if len(self) >= _GPU_LEAST and faiss.get_num_gpus() > 0 else None

    @classmethod
    def build(cls, vectors: Floats, config: IndexConfig) -> VectorIndex:
        """An index of float32 vectors of shape (n, dim), n >= 0; row numbers are their names.

        `choose_kind` picks the kind. What the searches of an approximate kind spend is set here, by `least_effort` on a sample;
        `facts.stated_recall` is what that reached.

        Raises:
            ValueError: the shape is not (n, dim), or a value is not finite (the row is named).
        """
        vectors = _checked(vectors, "vectors")
        n, dim = vectors.shape
        choice = choose_kind(n, dim, config)
        facts = IndexFacts(choice.kind, choice.why, floor=config.hnsw_search or 0)
        index = _empty(choice.kind, n, dim, config)
        index.train(vectors)
        index.add(vectors)
        proposer = _proposer(index, facts)
        if proposer is not None and len(vectors):
            effort, recall = least_effort(proposer.found, proposer.efforts, vectors, config.recall)
            floor = facts.floor or math.ceil(effort * SAMPLED_BEST)
            facts = replace(facts, effort=float(effort), floor=floor, stated_recall=recall)
        return cls(index, facts)

    @classmethod
    def load(cls, folder: Path, dim: int | None = None) -> VectorIndex:
        """What `save` wrote, memory-mapped after its checksum was found to be right.

        Args:
            folder: what `save` was given.
            dim: width that the vectors must have; None = any.

        Raises:
            BundleError: the file is missing, cut, altered, no index of this version, or of another width.
        """
        path = folder / INDEX_FILE
        facts = unseal(path)
        try:
            index = cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), facts)
        except (OSError, RuntimeError, MemoryError) as error:
            raise BundleError(f"{path} cannot be read as a vector index: {error}") from error
        if dim is not None and index.dim != dim:
            raise BundleError(f"{path} holds vectors of width {index.dim}, but {dim} is needed; train the bundle again with this model")
        return index

    def save(self, folder: Path) -> None:
        """Write the index into a folder of its own, as one file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / INDEX_FILE
        faiss.write_index(self._index, str(path))
        seal(path, self.facts)

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the index, in JSON values: its facts, size and width."""
        return {**asdict(self.facts), "n": len(self), "dim": self.dim}

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self._index.d)

    @property
    def kind(self) -> IndexKind:
        """How a search without a filter goes when there is no GPU."""
        return self.facts.kind

    @property
    def stored(self) -> Floats:
        """The vectors themselves, float32 (len(self), dim): a view into the index, not to be written to or kept beyond it."""
        return self._stored

    def vectors(self, rows: Ints | NDArray[np.intp]) -> Floats:
        """A copy of the vectors of the given rows; float32, shape (len(rows), dim)."""
        return self._stored[rows]  # np.take would copy the whole matrix first: a mapped one is rarely aligned

    def search(self, queries: Floats, n: int, eligible: Flags | None = None) -> tuple[Ints, Floats]:
        """The n best rows for each query, best first.

        Args:
            queries: float32, shape (q, dim), finite.
            n: rows wanted, at least 1.
            eligible: one flag per vector, shape (len(self),); None = all.

        Returns:
            Rows (int32) and scores (float32), both of shape (q, m). m is n, or the number of eligible vectors where that is smaller:
            a filter never makes an answer shorter than it must be. The rows of the kind "exact" are the best, up to rounding; those of
            another are as many of the best as `facts.stated_recall` says, with or without a filter, and their scores are exact too.

        Raises:
            ValueError: a shape does not fit the index, n < 1, or a query is not finite.
        """
        queries = self._checked_queries(queries, n)
        if eligible is not None and (eligible.shape != (len(self),) or eligible.dtype != np.bool_):
            raise ValueError(f"eligible must be {len(self)} flags, one per vector; got {eligible.dtype} of shape {eligible.shape}")
        n_eligible = len(self) if eligible is None else int(np.count_nonzero(eligible))
        n = min(int(n), n_eligible)
        if n == 0 or len(queries) == 0:
            return np.empty((len(queries), n), np.int32), np.empty((len(queries), n), np.float32)
        if n_eligible == len(self):
            eligible = None
        asked = queries, n, eligible, n_eligible
        proposed = self._proposed(*asked)
        rows, scores = self._exact(*asked) if proposed is None else self._completed(proposed, *asked)
        return rows.astype(np.int32), scores

    def _checked_queries(self, queries: Floats, n: int) -> Floats:
        queries = _checked(queries, "queries")
        if queries.shape[1] != self.dim:
            raise ValueError(f"queries have width {queries.shape[1]}, the index has {self.dim}")
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return queries

    def _proposed(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        """What the GPU, graph or lists find, ineligible rows and -1 (nothing) among it; None where the exact search is the better way."""
        if self._gpu is not None:
            fetched = n if eligible is None else math.ceil(1.5 * n * len(self) / n_eligible) + 32
            return self._gpu.search(queries, min(fetched, len(self))) if fetched <= _GPU_MAX else None
        return None if self._fast is None else self._fast.propose(queries, n, eligible, n_eligible)

    def _completed(self, proposed: Found, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found:
        """The n best eligible rows of a proposal; a query that has fewer is searched exactly."""
        rows, scores = proposed
        if eligible is None and _falls(scores) and rows[:, -1].min() >= 0:  # what follows would change nothing
            return rows[:, :n], scores[:, :n]
        scores = np.where((rows >= 0) & (eligible is None or eligible[rows]), scores, np.float32(-np.inf))
        rows, scores = _best(rows, scores, n)
        if scores[:, -1].min() == -np.inf:
            short = np.flatnonzero(scores[:, -1] == -np.inf)
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


class _Proposer(Protocol):
    """A quick way to most of the best rows."""

    efforts: Sequence[float]

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        """At least n rows for each query with exact scores, ineligible ones and -1 (nothing) among them; None where exact is quicker."""
        ...

    def found(self, queries: Floats, n: int, effort: float) -> Floats:
        """Scores of the n best rows that so much effort finds, without a filter; best first, (q, n)."""
        ...


class _Graph:
    """A walk through an HNSW graph. It fetches so many rows that n eligible ones are among them.

    A selector would hide how far a walk got: where the eligible vectors lie behind others, it returns n of them that are not the best.
    Here such a query comes back short, and is searched exactly.
    """

    efforts: Sequence[float] = (1, 1.15, 1.3, 1.5, 1.75, 2, 2.5, 3, 4, 6, 8, 12)

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        self._index, self._effort, self._floor = index, facts.effort, facts.floor

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        share = n_eligible / self._index.ntotal
        fetched = min(math.ceil((n + 3 * math.sqrt(n * (1 - share))) / share), self._index.ntotal)  # short once in a thousand times
        breadth = max(self._floor, math.ceil(self._effort * fetched))
        return None if n_eligible < _STEP * breadth else self._walk(queries, fetched, breadth)

    def found(self, queries: Floats, n: int, effort: float) -> Floats:
        return self._walk(queries, n, max(self._floor, math.ceil(effort * n)))[1]

    def _walk(self, queries: Floats, n: int, breadth: int) -> Found:
        scores, rows = self._index.search(queries, n, params=faiss.SearchParametersHNSW(efSearch=breadth))
        return rows, scores


class _Lists:
    """Inverted lists: only those near the query are looked at. With a filter more of them are, until they hold as many eligible vectors."""

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        self._index, self._lists, self._flat = index, faiss.downcast_index(index.base_index), _flat(index)
        self._probes, self._overfetch, self._is_coded = facts.effort, _OVERFETCH[facts.kind], facts.kind != "ivf"
        self._centres = _matrix(faiss.downcast_index(self._lists.quantizer)).copy()  # aligned, which mapped ones are not
        n_lists, self._stride = int(self._lists.nlist), max(1, int(index.ntotal) // _COUNTED)
        lists = self._lists.invlists
        sizes = np.array([lists.list_size(number) for number in range(n_lists)])
        list_of_row = np.empty(index.ntotal, np.int32)
        for number in np.flatnonzero(sizes):
            list_of_row[faiss.rev_swig_ptr(lists.get_ids(int(number)), int(sizes[number]))] = number
        self._counted = list_of_row[:: self._stride].copy()
        self._rows_per_probe = float((sizes**2).sum() / index.ntotal)  # queries come where vectors are many
        self.efforts: Sequence[float] = sorted({min(n_lists, math.ceil(1.25**power)) for power in range(60)})

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        probes = min(math.ceil(self._probes * max(1, n / SAMPLED_BEST)), len(self._centres))
        looked_at = probes * self._rows_per_probe
        if n_eligible <= looked_at:
            return None
        if eligible is None:
            return self._scan(queries, n, probes)
        selector = faiss.IDSelectorBitmap(np.packbits(eligible, bitorder="little"))
        parts = [queries[start : start + _TOGETHER] for start in range(0, len(queries), _TOGETHER)]
        found = [self._scan_these(part, n, *self._nearest(part, eligible, looked_at), selector) for part in parts]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])

    def found(self, queries: Floats, n: int, effort: float) -> Floats:
        return self._scan(queries, n, int(effort))[1]

    def _scan(self, queries: Floats, n: int, probes: int) -> Found:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        if self._is_coded:
            parameters = faiss.IndexRefineSearchParameters(k_factor=self._fetched(n) / n, base_index_params=parameters)
        scores, rows = (self._index if self._is_coded else self._lists).search(queries, n, params=parameters)
        return rows, scores

    def _scan_these(self, queries: Floats, n: int, near: NDArray[np.int64], closeness: Floats, selector: Any) -> Found:
        """What the given lists hold; FAISS's Python call for it takes no parameters, its C++ call does."""
        shape = len(queries), self._fetched(n)
        rows, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
        parameters = faiss.SearchParametersIVF(nprobe=near.shape[1], sel=selector)
        pointers = [faiss.swig_ptr(array) for array in (near, closeness, scores, rows)]
        self._lists.search_preassigned_c(len(queries), faiss.swig_ptr(queries), shape[1], *pointers, False, parameters)
        if self._is_coded:
            pointers = [faiss.swig_ptr(array) for array in (scores, rows)]
            self._flat.compute_distance_subset(len(queries), faiss.swig_ptr(queries), shape[1], *pointers)
        return rows, scores

    def _nearest(self, queries: Floats, eligible: Flags, looked_at: float) -> tuple[NDArray[np.int64], Floats]:
        """Numbers of the nearest lists, just as many as hold so many eligible vectors, then -1; and how close their centres are."""
        n_eligible = self._stride * np.bincount(self._counted[eligible[:: self._stride]], minlength=len(self._centres))
        closeness = queries @ self._centres.T  # (q, n_lists)
        near = np.argsort(-closeness, axis=1)
        n_needed = 1 + np.count_nonzero(np.cumsum(n_eligible[near], axis=1) < looked_at, axis=1)
        near = near[:, : min(int(n_needed.max()), len(self._centres))]
        closeness = np.take_along_axis(closeness, near, axis=1)
        return np.where(np.arange(near.shape[1]) < n_needed[:, None], near, -1), np.ascontiguousarray(closeness)

    def _fetched(self, n: int) -> int:
        return math.ceil(self._overfetch[0] * n) + self._overfetch[1]


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


def _empty(kind: IndexKind, n: int, dim: int, config: IndexConfig) -> Any:
    """A FAISS index of the kind, for n vectors that are still to come."""
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "exact":
        return faiss.IndexFlatIP(dim)
    if kind == "hnsw":
        return faiss.IndexHNSWFlat(dim, config.hnsw_links, metric)
    centres, n_lists = faiss.IndexFlatIP(dim), list_count(n, config)
    if kind == "ivf":
        lists = faiss.IndexIVFFlat(centres, dim, n_lists, metric)
    elif kind == "ivf_sq8":
        lists = faiss.IndexIVFScalarQuantizer(centres, dim, n_lists, faiss.ScalarQuantizer.QT_8bit, metric, False)
    else:
        lists = faiss.IndexIVFPQ(centres, dim, n_lists, code_bytes(dim), 8, metric)
        lists.pq.cp.niter, lists.pq.cp.min_points_per_centroid, lists.pq.cp.max_points_per_centroid = 10, 1, 128
    lists.cp.spherical, lists.cp.niter = True, 10
    lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, 64
    return faiss.IndexRefineFlat(lists)


def _flat(index: Any) -> Any:
    """The part of a FAISS index that holds the vectors themselves, row by row."""
    if isinstance(index, faiss.IndexHNSW):
        return faiss.downcast_index(index.storage)
    return faiss.downcast_index(index.refine_index) if isinstance(index, faiss.IndexRefine) else index


def _matrix(flat: Any) -> Floats:
    """The vectors of a flat FAISS index as a read-only view, (n, dim)."""
    view: Floats = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    view.flags.writeable = False
    return view


def _proposer(index: Any, facts: IndexFacts) -> _Proposer | None:
    kinds: dict[IndexKind, type[_Graph | _Lists]] = {"hnsw": _Graph, "ivf": _Lists, "ivf_sq8": _Lists, "ivf_pq": _Lists}
    return kinds[facts.kind](index, facts) if facts.kind in kinds else None


def _untied(search: Callable[[int], Any], n: int, n_eligible: int) -> Found:
    """The n best of `search(k)`; k grows while the n-th score may go on beyond what was fetched: of equal scores the first rows win."""
    fetched = min(n + 1, n_eligible)
    scores, rows = search(fetched)
    while fetched < n_eligible and (scores[:, -1] == scores[:, n - 1]).any():
        fetched = min(4 * fetched, n_eligible)
        scores, rows = search(fetched)
    return _best(rows, scores, n)


def _falls(scores: Floats) -> bool:
    return bool((scores[:, 1:] < scores[:, :-1]).all())


def _best(rows: NDArray[np.int64], scores: Floats, n: int) -> Found:
    """The first n of each line by descending score, equal scores by ascending row."""
    if _falls(scores):  # as FAISS mostly gives them; sorting after a search, its caches cold, takes 50 us
        return rows[:, :n], scores[:, :n]
    order = np.lexsort((rows, -scores), axis=-1)[:, :n]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _checked(array: Floats, what: str) -> Floats:
    """The array as contiguous float32 with two axes and finite values."""
    if array.ndim != 2:
        raise ValueError(f"{what} must have the shape (n, dim), got {array.shape}")
    array = np.ascontiguousarray(array, np.float32)
    if not math.isfinite(np.vdot(array, array)) and not np.isfinite(array).all():  # the first is quick, but large numbers overflow it
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"row {row} of {what} is not finite: {array[row]}")
    return array

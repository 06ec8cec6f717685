"""Nearest vectors by inner product; the only file that imports FAISS.

A small set of vectors is searched exactly, a large one through an HNSW graph or in inverted lists, whole or quantised. Graph and lists
(or a GPU, where FAISS has one) only make answers faster: what they return is checked against the eligible set, scored with the vectors
themselves, and where it falls short the exact search answers.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError
from recsys.source_config import IndexConfig
from recsys.text.index_choice import IndexKind, choose_kind, code_bytes, list_count
from recsys.text.index_file import DEEP_BEST, INDEX_FILE, SAMPLED_BEST, IndexFacts, seal, unseal
from recsys.text.index_lists import ListMap
from recsys.text.index_order import Found, checked, fitting, ordered, sifted, untied
from recsys.text.index_recall import asked_of, best_scores, effort_at, least_effort
from recsys.types import Flags, Floats, Ints

_LOG = logging.getLogger(__name__)
_STEP = 20
"""Eligible vectors that the exact search looks at in the time of one step of a walk through the graph."""
_BATCH, _GATHER_MOST = 20, 1 << 17
"""From so many queries on FAISS multiplies matrices, but not while it skips rows: then up to so many vectors are worth copying out."""
faiss.cvar.distance_compute_blas_threshold = _BATCH  # some builds come with a number that no batch reaches, 6 times slower
_ALL = faiss.SearchParameters(sel=faiss.IDSelectorAll())
"""Lets all rows pass: FAISS reads the rows for one query twice as fast with a selector as without one."""
_GPU_LEAST, _GPU_MAX, _GPU_TEMPORARY = 4096, 2048, 256 << 20
"""Of fewer vectors the processor finds the best before a GPU has got the query; the most vectors that one GPU search returns; bytes that
one index keeps there to search with, of which FAISS alone would take 1.5 GB."""
_OVERFETCH = {"ivf": (1.0, 0), "ivf_sq8": (1.1, 10), "ivf_pq": (3.0, 100)}
"""Rows taken from lists for each row wanted, and so many more: codes order them only roughly, the stored vectors decide."""
_TOGETHER = 256
"""Of so many queries at once it is worked out which lists they look at."""


class VectorIndex:
    """An immutable set of vectors, searchable from many threads at once.

    Scores are inner products: cosines, where vectors and queries have unit norm. Equal scores come in the order of the rows.

    facts: the kind, why it was chosen, and the recall it vouches for
    """

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        """Wrap a FAISS index of inner products that holds the vectors themselves too; `build` and `load` make one."""
        self.facts = facts
        self._index = index
        self._n, self._dim = int(index.ntotal), int(index.d)
        self._flat = _flat(index)
        self._stored = _matrix(self._flat)
        self._fast: _Proposer | None = _proposer(index, facts)
        self._gpu = _gpu(self._flat)

    @classmethod
    def build(cls, vectors: Floats, config: IndexConfig, queries: Floats | None = None) -> VectorIndex:
        """An index of vectors; row numbers are their names.

        `choose_kind` picks the kind. What the searches of an approximate kind spend is set here, by `least_effort` on sample queries;
        `facts.stated_recall` is what that reached.

        Args:
            vectors: float32, shape (n, dim), n >= 0.
            queries: some hundreds like those to come, float32 (m, dim); None or m = 0: `sample_queries`, which also stand beside less than
                a hundred. Customers ask with other vectors than items have, and where that is known they should be passed.

        Raises:
            ValueError: a shape is not (n, dim), or a value is not finite (the row is named).
        """
        vectors = checked(vectors, "vectors")
        n, dim = vectors.shape
        choice = choose_kind(n, dim, config)
        facts = IndexFacts(choice.kind, choice.why, floor=config.hnsw_search or 0)
        index = _empty(choice.kind, n, dim, config)
        index.train(vectors)
        index.add(vectors)
        proposer = _proposer(index, facts)
        if proposer is not None and n:
            asked = asked_of(vectors, None if queries is None else fitting(queries, dim))
            facts = proposer.tuned(asked, best_scores(asked, vectors, min(DEEP_BEST, n)), config.recall)
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
        return self._n

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

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
        queries = fitting(queries, self._dim)
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if eligible is not None and (eligible.shape != (self._n,) or eligible.dtype != np.bool_):
            raise ValueError(f"eligible must be {self._n} flags, one per vector; got {eligible.dtype} of shape {eligible.shape}")
        n_eligible = self._n if eligible is None else int(np.count_nonzero(eligible))
        n = min(int(n), n_eligible)
        if n == 0 or len(queries) == 0:
            return np.empty((len(queries), n), np.int32), np.empty((len(queries), n), np.float32)
        if n_eligible == self._n:
            eligible = None
        proposed = self._proposed(queries, n, eligible, n_eligible)
        if proposed is None:
            rows, scores = self._exact(queries, n, eligible, n_eligible)
        else:
            rows, scores = self._completed(proposed, queries, n, eligible, n_eligible)
        return rows.astype(np.int32), scores

    def _proposed(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        """What the GPU, graph or lists find, ineligible rows and -1 (nothing) among it; None where the exact search is the better way."""
        if self._gpu is not None:
            fetched = n if eligible is None else math.ceil(1.5 * n * self._n / n_eligible) + 32
            if fetched <= _GPU_MAX:
                return self._gpu.search(queries, min(fetched, self._n))
        return None if self._fast is None else self._fast.propose(queries, n, eligible, n_eligible)

    def _completed(self, proposed: Found, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found:
        """The n best eligible rows of a proposal; a query that has fewer is searched exactly."""
        rows, scores = ordered(*proposed)
        if eligible is None and min(rows[:, -1].tolist()) >= 0:  # what follows would change nothing
            return rows[:, :n], scores[:, :n]
        is_in = rows >= 0
        if eligible is not None:
            is_in &= eligible[rows]
        rows, scores, short = sifted(rows, scores, is_in, n)
        if len(short):
            rows[short], scores[short] = self._exact(queries[short], n, eligible, n_eligible)
        return rows, scores

    def _exact(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found:
        """The best among all eligible vectors, each of them looked at."""
        if eligible is None:
            parameters = _ALL if len(queries) < _BATCH else None
            return untied(lambda k: self._flat.search(queries, k, params=parameters), n, n_eligible)
        names = np.flatnonzero(eligible)
        if len(queries) < _BATCH or n_eligible > _GATHER_MOST:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorArray(names))
            return untied(lambda k: self._flat.search(queries, k, params=parameters), n, n_eligible)
        alone = self.vectors(names)
        places, scores = untied(lambda k: faiss.knn(queries, alone, k, metric=faiss.METRIC_INNER_PRODUCT), n, n_eligible)
        return names[places], scores


class _Proposer(Protocol):
    """A quick way to most of the best rows."""

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        """At least n rows for each query with exact scores, ineligible ones and -1 (nothing) among them; None where exact is quicker."""
        ...

    def tuned(self, queries: Floats, best: Floats, target: float) -> IndexFacts:
        """Facts with the least effort that finds the target share of the best rows; best: their scores, best first, (q, m)."""
        ...


class _Graph:
    """A walk through an HNSW graph. It fetches so many rows that n eligible ones are among them.

    A selector would hide how far a walk got: where the eligible vectors lie behind others, it returns n of them that are not the best.
    Here such a query comes back short, and is searched exactly.
    """

    efforts: Sequence[float] = (1, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.75, 2, 2.5, 3, 4, 6, 8, 12)

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        self._index, self._n, self._facts = index, int(index.ntotal), facts
        self._steps = facts.effort * SAMPLED_BEST, (facts.deep_effort or facts.effort) * DEEP_BEST

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        fetched = n
        if eligible is not None:
            share = n_eligible / self._n
            fetched = min(math.ceil((n + 3 * math.sqrt(n * (1 - share))) / share), self._n)  # short once in a thousand times
        breadth = max(self._facts.floor, math.ceil(min(self._facts.effort * fetched, effort_at(fetched, *self._steps))))
        return None if n_eligible < _STEP * breadth else self._walk(queries, fetched, breadth)

    def tuned(self, queries: Floats, best: Floats, target: float) -> IndexFacts:
        effort, recall = least_effort(self._found, self.efforts, queries, best[:, :SAMPLED_BEST], target)
        deep, deep_recall = least_effort(self._found, self.efforts, queries, best, target)
        floor = self._facts.floor or math.ceil(effort * SAMPLED_BEST)
        return replace(self._facts, effort=float(effort), deep_effort=float(deep), floor=floor, stated_recall=min(recall, deep_recall))

    def _found(self, queries: Floats, n: int, effort: float) -> Floats:
        return self._walk(queries, n, max(self._facts.floor, math.ceil(effort * n)))[1]

    def _walk(self, queries: Floats, n: int, breadth: int) -> Found:
        scores, rows = self._index.search(queries, n, params=_walk_parameters(breadth))
        return rows, scores


@lru_cache(maxsize=64)
def _walk_parameters(breadth: int) -> Any:
    """Searches only read them, and making them takes FAISS's Python 20 us."""
    return faiss.SearchParametersHNSW(efSearch=breadth)


class _Lists:
    """Inverted lists: only those near the query are looked at. With a filter more of them are, until they hold as many eligible vectors."""

    def __init__(self, index: Any, facts: IndexFacts) -> None:
        self._index, self._lists, self._flat, self._facts = index, faiss.downcast_index(index.base_index), _flat(index), facts
        self._probes = facts.effort, facts.deep_effort or facts.effort * DEEP_BEST / SAMPLED_BEST
        self._overfetch, self._is_coded = _OVERFETCH[facts.kind], facts.kind != "ivf"
        lists, n_lists = self._lists.invlists, int(self._lists.nlist)
        list_of_row = np.empty(index.ntotal, np.int32)
        for number in range(n_lists):
            if size := lists.list_size(number):
                list_of_row[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        self._map = ListMap(_matrix(faiss.downcast_index(self._lists.quantizer)).copy(), list_of_row)  # aligned, which mapped ones are not
        self.efforts: Sequence[float] = sorted({min(n_lists, math.ceil(1.125**power)) for power in range(120)})

    def propose(self, queries: Floats, n: int, eligible: Flags | None, n_eligible: int) -> Found | None:
        probes = min(math.ceil(effort_at(n, *self._probes)), len(self._map.centres))
        looked_at = probes * self._map.rows_per_probe
        if n_eligible <= looked_at:
            return None
        if eligible is None:
            return self._scan(queries, n, probes)
        selector = faiss.IDSelectorBitmap(np.packbits(eligible, bitorder="little"))
        parts = [queries[start : start + _TOGETHER] for start in range(0, len(queries), _TOGETHER)]
        found = [self._scan_these(part, n, *self._map.nearest(part, eligible, looked_at), selector) for part in parts]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])

    def tuned(self, queries: Floats, best: Floats, target: float) -> IndexFacts:
        effort, recall = least_effort(self._found, self.efforts, queries, best[:, :SAMPLED_BEST], target)
        deep, deep_recall = least_effort(self._found, self.efforts, queries, best, target)
        return replace(self._facts, effort=float(effort), deep_effort=float(deep), stated_recall=min(recall, deep_recall))

    def _found(self, queries: Floats, n: int, effort: float) -> Floats:
        return self._scan(queries, n, int(effort))[1]

    def _scan(self, queries: Floats, n: int, probes: int) -> Found:
        parameters = _scan_parameters(probes, self._fetched(n) / n if self._is_coded else None)
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

    def _fetched(self, n: int) -> int:
        return math.ceil(self._overfetch[0] * n) + self._overfetch[1]


@lru_cache(maxsize=64)
def _scan_parameters(probes: int, k_factor: float | None) -> Any:
    """k_factor: how many rows by their codes for each row wanted; None where lists hold the vectors themselves."""
    parameters = faiss.SearchParametersIVF(nprobe=probes)
    return parameters if k_factor is None else faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=parameters)


class _Gpu:
    """A copy of the vectors on the first GPU. FAISS's GPU resources serve one search at a time.

    Its GPU indexes do not know selectors, and some ignore them without a word; so none is passed on, and whoever asks sifts the answer.
    """

    def __init__(self, flat: Any) -> None:
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(_GPU_TEMPORARY)
        self._index = faiss.index_cpu_to_gpu(self._resources, 0, flat)
        self._lock = threading.Lock()

    def search(self, queries: Floats, n: int) -> Found:
        """Rows and scores of the n best; n at most _GPU_MAX."""
        with self._lock:
            scores, rows = self._index.search(queries, n)
        return rows, scores


def n_gpus() -> int:
    """GPUs that vectors can be searched on; 0 with the build of FAISS for processors."""
    return int(faiss.get_num_gpus())


def _gpu(flat: Any) -> _Gpu | None:
    """The vectors on a GPU, where there is one with room and they are many; without room the processor searches, and the log says so."""
    try:
        return _Gpu(flat) if flat.ntotal >= _GPU_LEAST and n_gpus() else None
    except (RuntimeError, MemoryError) as error:
        _LOG.warning("%d vectors of %d stay on the processor: the GPU does not take them (%s)", flat.ntotal, flat.d, error)
        return None


def _empty(kind: IndexKind, n: int, dim: int, config: IndexConfig) -> Any:
    """A FAISS index of the kind, for n vectors that are still to come."""
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "exact":
        return faiss.IndexFlatIP(dim)
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, config.hnsw_links, metric)
        graph.hnsw.efConstruction = config.hnsw_build
        return graph
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

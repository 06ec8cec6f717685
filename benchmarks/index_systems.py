"""The indexes that `benchmarks.index` compares, each behind one call: ours with the bare FAISS call beside it, hnswlib, usearch."""

from __future__ import annotations

import importlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.text.index_choice import memory_bytes
from recsys.types import Flags, Floats

N_BEST = 200
LINKS, CONSTRUCTION = IndexConfig().hnsw_links, IndexConfig().hnsw_build
"""Of every graph, those of peers too: links per vector, and the breadth it is built with."""

Call: TypeAlias = Callable[[Floats, Flags | None], NDArray[np.integer[Any]]]
"""Rows found for one query of shape (1, dim), at most N_BEST, -1 where there was nothing."""


@dataclass(frozen=True)
class System:
    """One index, built and ready to be asked.

    bare:    the library below it, called directly; None where there is none
    stated:  the recall that it vouches for; NaN where it vouches for none
    breadth: steps of a walk, where it is a graph
    filters: whether it can search among eligible vectors
    """

    name: str
    call: Call
    seconds: float
    memory_mb: float
    note: str
    bare: Call | None = None
    breadth: int = 2 * N_BEST
    filters: bool = True
    stated: float = math.nan


def systems(vectors: Floats, kinds: Sequence[str], with_peers: bool, samples: Floats | None) -> Iterator[System | str]:
    """Each system when its turn comes, or a sentence on why it is left out; graphs of other libraries walk as broadly as ours.

    samples: what ours are told of the queries to come
    """
    breadth = 2 * N_BEST
    for kind in kinds:
        ours = _ours(vectors, IndexConfig.model_validate({"kind": kind}), samples)
        breadth = ours.breadth if kind == "hnsw" else breadth
        yield ours
    for name, build in (("hnswlib", _hnswlib), ("usearch", _usearch)) if with_peers else ():
        try:
            library = importlib.import_module(name)
        except ImportError:
            yield f"{name} is left out: it is not installed (pip install 'segrec[bench]')"
            continue
        yield build(library.Index if name == "hnswlib" else importlib.import_module("usearch.index").Index, vectors, breadth)


def _ours(vectors: Floats, config: IndexConfig, samples: Floats | None) -> System:
    """Built, saved and loaded again: what a server has is memory-mapped."""
    start = time.perf_counter()
    built = VectorIndex.build(vectors, config, samples)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder))
        disk = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        del built
        start = time.perf_counter()
        index = VectorIndex.load(Path(folder))  # the mapping outlives the name of the file
    facts = index.facts
    loading = f"loaded in {time.perf_counter() - start:.1f} s, {disk:,.0f} MB on disk"
    return System(
        name=index.kind,
        call=lambda query, eligible: index.search(query, N_BEST, eligible)[0][0],
        bare=_bare(index),
        seconds=seconds,
        memory_mb=_memory_mb(index, config),
        note=f"{loading} (effort {facts.effort:g}, deep {facts.deep_effort:g}); {facts.why}",
        breadth=facts.floor,
        stated=facts.stated_recall,
    )


def _memory_mb(index: VectorIndex, config: IndexConfig) -> float:
    return memory_bytes(index.kind, len(index), index.dim, config) / 1e6


def _bare(index: VectorIndex) -> Call:
    """FAISS on the same index with the effort that a search without a filter spends; a filter is its own selector."""
    raw, effort = index._index, index.facts.effort

    def parameters(eligible: Flags | None) -> Any:
        selector = None if eligible is None else faiss.IDSelectorBitmap(np.packbits(eligible, bitorder="little"))
        if index.kind == "exact":  # with a selector that lets all pass FAISS reads twice as fast as with none
            return faiss.SearchParameters(sel=faiss.IDSelectorAll() if selector is None else selector)
        if index.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=index.facts.floor, sel=selector)
        lists = faiss.SearchParametersIVF(nprobe=int(effort), sel=selector)
        factor = {"ivf": 1.0, "ivf_sq8": 1.15, "ivf_pq": 3.5}[index.kind]
        return lists if index.kind == "ivf" else faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists)

    searched = faiss.downcast_index(raw.base_index) if index.kind == "ivf" else raw
    unfiltered = parameters(None)  # made once, as ours are

    def call(query: Floats, eligible: Flags | None) -> NDArray[np.integer[Any]]:
        chosen = unfiltered if eligible is None else parameters(eligible)
        rows: NDArray[np.integer[Any]] = searched.search(query, N_BEST, params=chosen)[1][0]
        return rows

    return call


def _hnswlib(index_class: Any, vectors: Floats, breadth: int) -> System:
    start = time.perf_counter()
    index = index_class(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=LINKS, ef_construction=CONSTRUCTION, random_seed=1)
    index.add_items(vectors, num_threads=1)
    index.set_ef(breadth)

    def call(query: Floats, eligible: Flags | None) -> NDArray[np.integer[Any]]:
        chosen = None if eligible is None else eligible.tolist().__getitem__
        try:
            rows: NDArray[np.integer[Any]] = index.knn_query(query, N_BEST, num_threads=1, filter=chosen)[0][0]
        except RuntimeError:  # it found fewer, and then gives none
            return np.full(N_BEST, -1)
        return rows

    note = f"ef {breadth}; filters by a Python function that is asked for every row"
    return System("hnswlib", call, time.perf_counter() - start, index.index_file_size() / 1e6, note)


def _usearch(index_class: Any, vectors: Floats, breadth: int) -> System:
    start = time.perf_counter()
    index = index_class(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=CONSTRUCTION, expansion_search=breadth
    )
    index.add(np.arange(len(vectors)), vectors, threads=1)
    seconds = time.perf_counter() - start
    note = f"expansion {breadth}; no filter in Python"
    call: Call = lambda query, eligible: np.asarray(index.search(query[0], N_BEST, threads=1).keys).astype(np.int64)  # noqa: E731
    return System("usearch", call, seconds, index.memory_usage / 1e6, note, filters=False)

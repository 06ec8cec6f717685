"""Which kind of vector index fits a set of vectors, and why, in one sentence that a person can check."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from recsys.source_config import IndexConfig

IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf", "ivf_sq8", "ivf_pq"]

APPROXIMATE: tuple[IndexKind, ...] = ("hnsw", "ivf_sq8", "ivf_pq")
"""What 'auto' tries in this order, the quickest first; lists of whole vectors ('ivf') are slower than a graph of about their size."""

_EXACT_MS = 2.0
"""Up to so much an exact search may take before an approximate kind is worth its loss."""
_BYTES_PER_MS = 20e6
"""What one core of a present server reads and multiplies in a millisecond while the vectors fit its cache; half of it beyond."""
_LEAST_FOR_LISTS = 1000
"""Below so many vectors lists save nothing, and a product quantiser has too little to learn from."""
_ID = 8
"""Bytes of a row number in a list."""


@dataclass(frozen=True)
class Choice:
    """A kind of index and what speaks for it.

    why:          one sentence, the same on every machine
    memory_bytes: what searches keep busy in memory
    disk_bytes:   what the file takes; lists keep the vectors themselves beside what they search
    """

    kind: IndexKind
    why: str
    memory_bytes: int
    disk_bytes: int


def choose_kind(n: int, dim: int, config: IndexConfig) -> Choice:
    """The kind for n vectors of width dim: the configured one; for 'auto' exact while that is quick, else the quickest in memory."""
    if config.kind.startswith("ivf") and n < _LEAST_FOR_LISTS:
        return _chosen("exact", n, dim, config, f"too few for the lists of {config.kind!r}")
    if config.kind != "auto":
        return _chosen(config.kind, n, dim, config, "index.kind asks for it")
    if config.exact_below is not None:
        if n < config.exact_below:
            return _chosen("exact", n, dim, config, f"fewer than index.exact_below = {config.exact_below:,}")
    elif exact_ms(n, dim) <= _EXACT_MS:
        return _chosen("exact", n, dim, config, "an exact search is quick enough")
    return _approximate(n, dim, config)


def exact_ms(n: int, dim: int) -> float:
    """About how long one exact search takes on one core, in milliseconds."""
    return 4 * dim * n / _BYTES_PER_MS


def list_count(n: int, config: IndexConfig) -> int:
    """How many lists n vectors are parted into: as configured, else the power of two nearest to 3 times the square root of n."""
    wanted = config.ivf_lists if config.ivf_lists is not None else 2 ** round(math.log2(3 * math.sqrt(max(n, 1))))
    return max(1, min(wanted, n))


def code_bytes(dim: int) -> int:
    """Bytes of a vector in product quantisation: one for every 4 numbers, or for the next fewer numbers that divide the width."""
    return next(dim // each for each in (4, 3, 2, 1) if dim % each == 0)


def _approximate(n: int, dim: int, config: IndexConfig) -> Choice:
    allowed = config.memory_mb * 1e6
    fits = [kind for kind in APPROXIMATE if memory_bytes(kind, n, dim, config) <= allowed and (kind == "hnsw" or n >= _LEAST_FOR_LISTS)]
    if not fits and n < _LEAST_FOR_LISTS:
        return _chosen("exact", n, dim, config, "too few for lists")
    kind = fits[0] if fits else APPROXIMATE[-1]
    reason = f"an exact search would take about {exact_ms(n, dim):.1f} ms"
    if kind != APPROXIMATE[0]:
        larger = APPROXIMATE[APPROXIMATE.index(kind) - 1]
        size = _megabytes(memory_bytes(larger, n, dim, config))
        reason += f", {larger} {size} MB of the index.memory_mb = {config.memory_mb:,.0f} allowed"
    if not fits:
        reason += f"; no kind takes so little, {kind} takes least"
    return _chosen(kind, n, dim, config, reason)


def memory_bytes(kind: IndexKind, n: int, dim: int, config: IndexConfig) -> int:
    """What searches of such an index keep busy; the vectors that re-scoring reads stay on disk, but for the pages in use."""
    lists = 0 if kind in ("exact", "hnsw") else 4 * dim * list_count(n, config)
    per_vector = {
        "exact": 4 * dim,
        "hnsw": 4 * dim + 8 * config.hnsw_links + 20,
        "ivf": 4 * dim + _ID,
        "ivf_sq8": dim + _ID,
        "ivf_pq": code_bytes(dim) + _ID,
    }[kind]
    return per_vector * n + lists


def _chosen(kind: IndexKind, n: int, dim: int, config: IndexConfig, reason: str) -> Choice:
    memory = memory_bytes(kind, n, dim, config)
    what = f"{n:,} vectors of {dim} take {_megabytes(memory)} MB"
    if kind == "exact":
        what += f" and about {exact_ms(n, dim):.1f} ms"
    disk = memory + (0 if kind in ("exact", "hnsw") else 4 * dim * n)
    return Choice(kind, f"{kind}: {what}; {reason}", memory, disk)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size >= 9.5e6 else f"{size / 1e6:.1f}"

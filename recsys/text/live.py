"""A vector index that changes: what a bundle carries, the items that came or changed since, and those that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.protocols import Encoder
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.types import Flags, Floats, Ints

_EXACT = IndexConfig(kind="exact")


@dataclass(frozen=True)
class LiveIndex:
    """One immutable snapshot: a base, an exact overlay of new or changed rows, and what is left of both.

    A change gives a new snapshot that shares the base, so searches that run on the old one notice nothing; it costs a copy of the
    overlay and a few bytes per row. `rebuilt` makes a new base when the overlay has grown.

    base:    the rows from 0 to len(base) - 1 as they once were
    rows:    rows of the overlay, rising; all at or beyond len(base), or changed since; int64 (m,)
    overlay: their vectors, searched exactly, in the same order
    in_base: rows that the base still answers for, (len(base),)
    alive:   rows that exist, (len(self),); those between the base and a higher new row may never have existed
    """

    base: VectorIndex
    rows: NDArray[np.int64]
    overlay: VectorIndex
    in_base: Flags
    alive: Flags

    @staticmethod
    def of(base: VectorIndex) -> LiveIndex:
        """A snapshot of the base as it is."""
        nothing = VectorIndex.build(np.empty((0, base.dim), np.float32), _EXACT)
        flags = np.ones(len(base), np.bool_)
        return LiveIndex(base, np.empty(0, np.int64), nothing, flags, flags)

    def __len__(self) -> int:
        """The highest row plus one, removed rows included: how many flags an eligible set has."""
        return len(self.alive)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self.base.dim

    def with_items(self, rows: Ints | NDArray[np.int64], vectors: Floats) -> LiveIndex:
        """A snapshot in which these rows have these vectors, whether they are new, known or were removed.

        Args:
            rows: any rows >= 0, without repeats; new ones usually go on from len(self).
            vectors: float32, shape (len(rows), dim), finite.

        Raises:
            ValueError: a row is negative or given twice, or the vectors do not fit the rows, the index or the numbers there are.
        """
        rows = _distinct(rows)
        if vectors.shape != (len(rows), self.dim):
            raise ValueError(
                f"{len(rows)} rows of an index of width {self.dim} need vectors of shape {(len(rows), self.dim)}, not {vectors.shape}"
            )
        size = max(len(self), int(rows.max(initial=-1)) + 1)
        kept = np.flatnonzero(~np.isin(self.rows, rows))
        all_rows = np.concatenate([self.rows[kept], rows])
        order = np.argsort(all_rows)
        overlay = VectorIndex.build(np.concatenate([self.overlay.vectors(kept), vectors])[order], _EXACT)
        alive = np.concatenate([self.alive, np.zeros(size - len(self), np.bool_)])
        alive[rows] = True
        return LiveIndex(self.base, all_rows[order], overlay, _without(self.in_base, rows), alive)

    def with_texts(self, rows: Ints | NDArray[np.int64], texts: Sequence[str], encoder: Encoder) -> LiveIndex:
        """`with_items`, given only what the items' texts say: they are found from now on.

        Args:
            rows: any rows >= 0, without repeats; new ones usually go on from len(self).
            texts: one for each row; any text, the empty one too, has an embedding.
            encoder: the one that made the vectors of the base; of a bundle's texts `ItemTexts.reading` gives it.

        Raises:
            ValueError: as `with_items`, or the encoder's embeddings are of another width than the index.
        """
        if len(texts) != len(rows):
            raise ValueError(f"{len(rows)} rows need as many texts, not {len(texts)}")
        embeddings = encoder.encode(texts)
        if len(texts) and embeddings.shape[1] != self.dim:
            raise ValueError(
                f"the encoder gives embeddings of width {embeddings.shape[1]}, but the index holds vectors of width {self.dim}; "
                "encode with the model that the index was built with, or build the index again with this one"
            )
        return self.with_items(rows, embeddings.reshape(-1, self.dim))

    def without(self, rows: Ints | NDArray[np.int64]) -> LiveIndex:
        """A snapshot that never answers with these rows; those that do not exist are no error.

        Raises:
            ValueError: a row is negative or given twice.
        """
        rows = _distinct(rows)
        kept = np.flatnonzero(~np.isin(self.rows, rows))
        overlay = self.overlay
        if len(kept) < len(self.rows):
            overlay = VectorIndex.build(overlay.vectors(kept), _EXACT)
        return replace(self, rows=self.rows[kept], overlay=overlay, in_base=_without(self.in_base, rows), alive=_without(self.alive, rows))

    def vectors(self, rows: Ints | NDArray[np.int64]) -> Floats:
        """The present vectors of rows, float32 (len(rows), dim).

        Raises:
            ValueError: a row does not exist (the first such is named).
        """
        rows = np.asarray(rows, np.int64)
        exists = (rows >= 0) & (rows < len(self))
        exists[exists] = self.alive[rows[exists]]
        if not exists.all():
            raise ValueError(f"row {rows[~exists][0]} does not exist, or was removed")
        found = np.empty((len(rows), self.dim), np.float32)
        in_base = rows < len(self.base)
        in_base[in_base] = self.in_base[rows[in_base]]
        found[in_base] = self.base.vectors(rows[in_base])
        found[~in_base] = self.overlay.vectors(np.searchsorted(self.rows, rows[~in_base]))
        return found

    def search(self, queries: Floats, n: int, eligible: Flags | None = None) -> tuple[Ints, Floats]:
        """The n best rows for each query, best first, as `VectorIndex.search` over all rows that exist.

        Args:
            queries: float32, shape (q, dim), finite.
            n: rows wanted, at least 1.
            eligible: one flag per row, shape (len(self),); None = all.

        Returns:
            Rows (int32) and scores (float32), both of shape (q, m); m is n, or the number of eligible rows that exist where that is
            smaller. Equal scores come in the order of the rows.

        Raises:
            ValueError: a shape does not fit the index, n < 1, or a query is not finite.
        """
        if eligible is not None and (eligible.shape != (len(self),) or eligible.dtype != np.bool_):
            raise ValueError(f"eligible must be {len(self)} flags, one per row; got {eligible.dtype} of shape {eligible.shape}")
        in_base = self.in_base if eligible is None else self.in_base & eligible[: len(self.base)]
        rows, scores = self.base.search(queries, n, in_base)
        if not len(self.rows):
            return rows, scores
        places, live_scores = self.overlay.search(queries, n, None if eligible is None else eligible[self.rows])
        rows = np.hstack([rows, self.rows[places].astype(np.int32)])
        scores = np.hstack([scores, live_scores])
        order = np.lexsort((rows, -scores), axis=-1)[:, :n]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def rebuilt(self, config: IndexConfig) -> LiveIndex:
        """The same rows on a new base, with nothing in the overlay; rows that do not exist stay out, with zeros for a vector."""
        vectors = np.zeros((len(self), self.dim), np.float32)
        exist = np.flatnonzero(self.alive)
        vectors[exist] = self.vectors(exist)
        return replace(LiveIndex.of(VectorIndex.build(vectors, config)), in_base=self.alive, alive=self.alive)


def _distinct(rows: Ints | NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.asarray(rows, np.int64)
    if rows.ndim != 1 or len(np.unique(rows)) < len(rows):
        raise ValueError("rows must be one list without repeats")
    if (rows < 0).any():
        raise ValueError(f"a row is at least 0, got {rows.min()}")
    return rows


def _without(flags: Flags, rows: NDArray[np.int64]) -> Flags:
    """The flags with those of the rows taken down; rows beyond them are ignored."""
    left = flags.copy()
    left[rows[rows < len(flags)]] = False
    return left

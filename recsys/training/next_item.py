"""The validation that embeddings are chosen by: does the mean of what a customer wanted find what they wanted next?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.text.pooling import unit
from recsys.types import Flags, Floats, Ints

K = 20
MAX_SAMPLE = 20_000
"""Members that stand for a larger catalogue."""
RECENT = 5
"""So many of the last members of a history make the query."""
_AT_ONCE = 512


@dataclass(frozen=True)
class NextItem:
    """Histories of documents or items, and what came next.

    recent: averages the last members of each history, float32 (n, n_sample); seen: all of it, bool (n, n_sample)
    wanted: place in the sample of what came next, (n,)
    """

    recent: sp.csr_matrix
    seen: sp.csr_matrix
    wanted: Ints

    @staticmethod
    def of(held_out: Sequence[tuple[Ints, int]], sample: Ints, n_recent: int) -> NextItem:
        """held_out: each history, oldest first and not empty, and what came next; all of them in the sample, which rises."""
        recent, seen = (_means([np.searchsorted(sample, past[-n:]) for past, _ in held_out], len(sample)) for n in (n_recent, 0))
        return NextItem(recent, seen.astype(np.bool_), np.searchsorted(sample, [wanted for _, wanted in held_out]).astype(np.int32))

    def recall(self, embeddings: Floats) -> float:
        """Recall@20: the share of `hits`."""
        return float(self.hits(embeddings).mean())

    def hits(self, embeddings: Floats, written: Floats | None = None, share: float = 0.0) -> Flags:
        """Whether what came next is among the best 20 of the sample without what was seen; equal scores share their mean rank; (n,).

        The mean of the sample is taken off what is asked for, much as the content source takes off that of what was bought.

        Args:
            embeddings: of the sample, unit norm; float32 (n_sample, dim).
            written: unit direction of what each customer wrote, zeros for nothing; (n, dim). share: what it weighs, in [0, 1].
        """
        queries = self.recent @ embeddings - embeddings.mean(axis=0)
        if written is not None:
            queries = (1.0 - share) * unit(queries, queries) + share * written
        return np.concatenate(
            [self._hits(queries[start : start + _AT_ONCE] @ embeddings.T, start) for start in range(0, len(self.wanted), _AT_ONCE)]
        )

    def _hits(self, scores: Floats, start: int) -> Flags:
        """Of the queries from `start` on. scores: (m, n_sample)."""
        rows = np.arange(len(scores))
        scores[self.seen[start : start + len(scores)].toarray()] = -np.inf
        own = scores[rows, self.wanted[start : start + len(scores)]][:, None]
        ranks = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
        return np.asarray(ranks <= K)


def draw_sample(n: int, held_out: Sequence[tuple[Ints, int]], rng: np.random.Generator) -> Ints:
    """All of n members, or what `held_out` needs and some of the others, MAX_SAMPLE together; rising, int32."""
    if n <= MAX_SAMPLE:
        return np.arange(n, dtype=np.int32)
    needed = np.unique(np.concatenate([np.append(past, wanted) for past, wanted in held_out] or [np.empty(0)])).astype(np.int32)
    others = rng.permutation(np.setdiff1d(np.arange(n, dtype=np.int32), needed))
    return np.sort(np.concatenate([needed, others[: max(0, MAX_SAMPLE - len(needed))]])).astype(np.int32)


def _means(sets: Sequence[NDArray[np.integer]], n: int) -> sp.csr_matrix:
    lengths = np.array([len(members) for members in sets])
    shares = np.repeat(1 / lengths, lengths).astype(np.float32)
    return sp.csr_matrix((shares, np.concatenate(sets), np.cumsum([0, *lengths])), (len(sets), n))

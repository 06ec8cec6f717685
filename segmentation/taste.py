"""What customers like, as directions: factors of the things they buy, by correspondence analysis.

A customer's row is the sum of the factors of what it bought, at unit length: only the direction of a taste counts, not how much is
bought. Buying a thing c times counts log2(1 + c), so that what is bought again and again does not drown the rest. Factors are the right
singular vectors of the standardised residuals

    (count - n p) / sqrt(n p)      n: the customer's counts in all;  p: the thing's share of all customers' counts

each weighted by n / (n + THIN), lest one customer of one rare purchase outweigh many. So popularity is taken out, and each row is known up
to noise of variance about 1 / n. (Greenacre, Correspondence Analysis in Practice; the weight is ours.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Floats, Ints, Reals

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Counts: TypeAlias = "csr_array[np.float64, tuple[int, int]]"

N_DIMS = 10
"""More find planted tastes better; fewer, what sells in a real shop."""
THIN = 10.0
OVERSAMPLING, POWER_ITERATIONS = 10, 8


@dataclass(frozen=True)
class Bought:
    """What customers bought, each thing once, sorted by customer: parallel arrays.

    customers: int32; things: rows of the table of factors, int32; counts: log2(1 + times bought), float32
    """

    customers: Ints
    things: Ints
    counts: Floats

    @staticmethod
    def of(customers: Ints, things: Ints, n_things: int) -> Bought:
        """From one row per purchase line; a thing of -1 is left out."""
        known = things >= 0
        keys = customers[known].astype(np.int64) * n_things + things[known]
        keys, times = np.unique(keys, return_counts=True)
        who, what = np.divmod(keys, max(n_things, 1))
        return Bought(who.astype(np.int32), what.astype(np.int32), np.log2(1.0 + times).astype(np.float32))

    def rows(self, customers: Ints, factors: Floats) -> tuple[Reals, Reals]:
        """Unit rows of the given customers, shape (n, dim), and what each bought in all, shape (n,); 0 for who bought nothing known.

        customers: distinct and sorted
        """
        rows, totals = np.zeros((len(customers), factors.shape[1])), np.zeros(len(customers))
        first, last = np.searchsorted(self.customers, customers), np.searchsorted(self.customers, customers, side="right")
        some = np.flatnonzero(last > first)
        if not len(some):
            return rows, totals
        lines = np.concatenate([np.arange(first[row], last[row]) for row in some])
        starts = np.cumsum(last[some] - first[some]) - (last[some] - first[some])
        counts = self.counts[lines].astype(np.float64)
        totals[some] = np.add.reduceat(counts, starts)
        rows[some] = np.add.reduceat(counts[:, None] * factors[self.things[lines]], starts, axis=0)
        return _unit(rows), totals

    def table(self, customers: Ints, n_things: int) -> Counts:
        """The counts of the given customers, distinct and sorted, as a sparse matrix (n, n_things)."""
        from scipy.sparse import csr_array

        kept = np.isin(self.customers, customers)
        rows = np.searchsorted(customers, self.customers[kept])
        cells = (self.counts[kept].astype(np.float64), (rows, self.things[kept]))
        return csr_array(cells, shape=(len(customers), n_things))


def fit_factors(counts: Counts, rng: np.random.Generator) -> Floats:
    """Factors of things, float32 (n_things, dim) with dim at most N_DIMS; 0 for a thing that nobody bought; dim 0: all buy alike.

    counts: of customers who bought something, shape (n, n_things)
    """
    from scipy.sparse import diags_array

    totals: Reals = np.asarray(counts.sum(axis=1)).ravel()
    shares: Reals = np.asarray(counts.sum(axis=0)).ravel()
    weights, sold = np.sqrt(totals) / (totals + THIN), np.sqrt(shares / shares.sum())
    inverse = np.divide(1.0, sold, out=np.zeros_like(sold), where=sold > 0)
    scaled = (diags_array(weights) @ counts @ diags_array(inverse)).tocsr()

    def residuals(columns: Reals) -> Reals:
        return np.asarray(scaled @ columns - (weights * totals)[:, None] * (sold @ columns)[None, :], np.float64)

    dim = min(N_DIMS, min(counts.shape) - 1)
    if dim < 1:
        return np.zeros((counts.shape[1], 0), np.float32)
    basis = rng.standard_normal((counts.shape[1], min(dim + OVERSAMPLING, *counts.shape)))
    for _ in range(POWER_ITERATIONS):
        left = residuals(basis)
        basis = np.linalg.qr(np.asarray(scaled.T @ left) - sold[:, None] * ((weights * totals) @ left)[None, :])[0]
    strengths, directions = np.linalg.svd(residuals(basis), full_matrices=False)[1:]
    kept = np.flatnonzero(strengths[:dim] > 1e-9 * (weights * totals).sum())
    return np.asarray(inverse[:, None] * (basis @ directions[kept].T), np.float32)


def rows_of(counts: Counts, factors: Floats) -> tuple[Reals, Reals]:
    """The same rows and totals as `Bought.rows`, of a whole table."""
    return _unit(np.asarray(counts @ factors.astype(np.float64))), np.asarray(counts.sum(axis=1)).ravel()


def noise_of(totals: Reals) -> NDArray[np.float64]:
    """Variance with which a row is known: 1 / n, and 1 where nothing is known."""
    return np.asarray(1.0 / np.maximum(totals, 1.0))


def _unit(rows: Reals) -> Reals:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-12), np.float64)

"""Whether a difference is more than luck: sign-flip tests over customers, corrections for many questions, and what could be seen at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import ndtri

from offline_eval.significance import Doubles, grouped

N_FLIPS = 10_000
ALPHA, POWER = 0.05, 0.8
"""The usual promise of a study: of true differences of the size told, 4 in 5 are found, and 1 in 20 false ones."""

_MAX_EXACT = 15
_CELLS_PER_CHUNK = 2_000_000
_ROUNDING = 1e-9
"""Sums that are equal but for rounding count as equal."""


def sign_flip(differences: Doubles, rng: np.random.Generator, n_flips: int = N_FLIPS) -> Doubles:
    """Two-sided p-value of the paired permutation test that a mean difference is 0: signs of customers are flipped at random.

    If the two systems were as good as each other, every customer's difference could as well have had the other sign. All of the 2**n
    ways to flip are counted for at most 15 customers with a difference, else n_flips random ones and the one that was observed. Of very
    many customers random groups are flipped, which is as exact.

    Args:
        differences: of each customer, summed over their queries; one column per question, 0 = the customer has no say in it; (n, m).

    Returns:
        p in (0, 1], shape (m,); 1 where no customer has a difference. It is never below 1 / (n_flips + 1) unless counted exactly.

    Raises:
        ValueError: a difference is not finite, or n_flips is below 1.

    Source:
        Fisher (1935), The Design of Experiments, section 21; adding the observed one: Phipson & Smyth (2010), SAGMB 9(1). For rankings:
        Smucker, Allan & Carterette (2007), CIKM.
    """
    if differences.ndim != 2 or not np.isfinite(differences).all() or n_flips < 1:
        raise ValueError(f"needs finite differences in columns and n_flips >= 1, got shape {differences.shape} and {n_flips}")
    observed = np.abs(differences.sum(axis=0))
    scale = np.abs(differences).sum(axis=0)
    as_far = np.zeros(differences.shape[1])
    for sums in flipped(grouped(differences, rng), rng, n_flips):
        as_far += (np.abs(sums) >= observed - _ROUNDING * scale).sum(axis=0)
    p: Doubles = (as_far + 1) / (n_flips + 1)
    for column, moved in enumerate((differences != 0).T):
        if moved.sum() <= _MAX_EXACT:
            p[column] = _exact(differences[moved, column])
    return p


def flipped(differences: Doubles, rng: np.random.Generator, n_flips: int) -> Iterator[Doubles]:
    """Sums of the columns after random flips of the customers' signs, some flips at a time; (rows, m). Columns share the flips."""
    n = len(differences)
    rows = max(1, _CELLS_PER_CHUNK // max(n, 1))
    total = differences.sum(axis=0)
    for first in range(0, n_flips, rows):
        size = min(rows, n_flips - first)
        bits = np.unpackbits(np.frombuffer(rng.bytes((size * n + 7) // 8), np.uint8), count=size * n)
        yield total - 2 * (bits.reshape(size, n).astype(np.float64) @ differences)


def holm(p: Doubles) -> Doubles:
    """p-values adjusted so that the chance of any false claim stays below the level, whatever the dependence. NaN stays NaN, uncounted.

    Source:
        Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    return _adjusted(p, lambda ordered, m: np.maximum.accumulate(ordered * np.arange(m, 0, -1)))


def benjamini_hochberg(p: Doubles) -> Doubles:
    """p-values adjusted so that the expected share of false claims among all claims stays below the level; for independent or
    positively dependent questions. NaN stays NaN, uncounted.

    Source:
        Benjamini & Hochberg (1995), JRSS B 57(1).
    """
    return _adjusted(p, lambda ordered, m: np.minimum.accumulate((ordered * m / np.arange(1, m + 1))[::-1])[::-1])


def minimum_detectable(standard_error: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The least true difference that a two-sided test at `alpha` finds with probability `power`, in the unit of the standard error.

    Source:
        Bloom (1995), Evaluation Review 19(5): (z(1 - alpha / 2) + z(power)) * standard error; about 2.8 standard errors by default.
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha and power must lie between 0 and 1, got {alpha} and {power}")
    return float((ndtri(1 - alpha / 2) + ndtri(power)) * standard_error)


def _exact(differences: Doubles) -> float:
    """Share of all ways to flip that bring the sum as far from 0 as it is."""
    n = len(differences)
    signs = 1 - 2 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
    tolerance = _ROUNDING * np.abs(differences).sum()
    return float(np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - tolerance))


def _adjusted(p: Doubles, adjust: Callable[[Doubles, int], Doubles]) -> Doubles:
    """Apply a correction to the p-values that there are, in ascending order."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.minimum(adjust(p[order], len(order)), 1.0)
    return adjusted

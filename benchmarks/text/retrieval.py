"""How well embeddings find what was wanted, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.text.bench import SEED
from offline_eval.significance import Interval, bootstrap
from recsys.types import Flags, Floats, Ints
from segrec.console import output

K = 20
DECAYS = (1.0, 0.8, 0.7, 0.6, 0.5)
LAST = 10
_AT_ONCE = 512

Ranks = NDArray[np.float64]
"""Rank of what was wanted, 1 is best; infinite where it was left out."""


def whitened(embeddings: Floats, fitted_on: Floats | None = None) -> Floats:
    """Mean removal and PCA to unit variance, fitted on `fitted_on` (itself where not given), then unit norm; float32 (n, dim)."""
    base = embeddings if fitted_on is None else fitted_on
    centre = base.mean(axis=0)
    _, values, axes = np.linalg.svd(base - centre, full_matrices=False)
    moved = (embeddings - centre) @ axes.T / np.maximum(values / np.sqrt(len(base)), 1e-6)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def ranks(scores: Floats, wanted: Ints, is_left_out: Flags | None = None) -> Ranks:
    """Rank of the wanted column of each row, its mean rank among equals; what is left out is not ranked."""
    if is_left_out is not None:
        scores = np.where(is_left_out, -np.inf, scores)
    own = scores[np.arange(len(wanted)), wanted][:, None]
    found = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return np.where(np.isfinite(own[:, 0]), found, np.inf)


def ranks_after(embeddings: Floats, pasts: Sequence[Ints], wanted: Ints, decay: float, is_left_out: Flags | None = None) -> Ranks:
    """Rank of what each customer wanted next, for the mean of their last items, the newest with the most weight; seen items removed.

    Args:
        pasts: rows of the embeddings, oldest first.
        decay: weight of an item over that of the one after it.
        is_left_out: rows that are not ranked at all; (n,).
    """
    queries = rows_of([past[-LAST:] for past in pasts], len(embeddings), decay) @ embeddings
    seen = rows_of(pasts, len(embeddings), 1.0)
    parts = np.split(np.arange(len(wanted)), range(_AT_ONCE, len(wanted), _AT_ONCE))
    found = []
    for rows in parts:
        hidden = seen[rows].toarray() > 0
        found.append(ranks(queries[rows] @ embeddings.T, wanted[rows], hidden if is_left_out is None else hidden | is_left_out))
    return np.concatenate(found)


def same_for_all(scores: NDArray[np.number]) -> Floats:
    """Scores >= 0 that do not depend on who asks, as embeddings of one number: any query ranks them as they are; (n, 1)."""
    return np.asarray(scores + 1.0, np.float32)[:, None]


def rows_of(sets: Sequence[Ints], n: int, decay: float) -> sp.csr_matrix:
    """One row for each set, the last member with weight 1, those before with less; float32 (len(sets), n)."""
    weights = [decay ** np.arange(len(members) - 1, -1, -1) for members in sets]
    bounds = np.cumsum([0, *(len(members) for members in sets)])
    return sp.csr_matrix((np.concatenate(weights).astype(np.float32), np.concatenate(sets), bounds), (len(sets), n))


def best_decay(embeddings: Floats, pasts: Sequence[Ints], wanted: Ints, is_left_out: Flags | None = None) -> float:
    """The weight of older items with which most is found; asked of validation. Arguments as in `ranks_after`."""
    return max(DECAYS, key=lambda decay: float((ranks_after(embeddings, pasts, wanted, decay, is_left_out) <= K).mean()))


def report(title: str, found: Mapping[str, Ranks], customers: Sequence[str] | None = None, against: str = "untuned, whitened") -> None:
    """Each system with its intervals, and how far its recall is from that of the first system whose name begins with `against`.

    Args:
        found: ranks by system, all of the same queries.
        customers: of each query; unset = each its own. Whole customers are drawn.
    """
    names = list(found)
    base = next(at for at, name in enumerate(names) if name.startswith(against))
    places = np.stack([found[name] for name in names], axis=1)
    gains = np.where(places <= K, 1 / np.log2(1 + places), 0.0)
    units = [str(row) for row in range(len(places))] if customers is None else customers
    drawn = bootstrap(units, np.hstack([(places <= K).astype(np.float64), gains]), np.random.default_rng(SEED))
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("system", f"Recall@{K} (95 %)", f"NDCG@{K} (95 %)", f"Recall@{K} against {against}"):
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for at, name in enumerate(names):
        apart = drawn.relative(at, base)
        share = f"{apart.estimate:+.1%} ({apart.low:+.1%} to {apart.high:+.1%})" if at != base else ""
        table.add_row(name, _cell(drawn.mean(at)), _cell(drawn.mean(len(names) + at)), share)
    output().print(table)


def _cell(interval: Interval) -> str:
    return f"{interval.estimate:.4f} ({interval.low:.4f} to {interval.high:.4f})"

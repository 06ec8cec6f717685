"""Whether two searches found the same, and what a search made of a selector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.types import Flags, Floats

TIE = 1e-5


def same_items(found: tuple[Any, Floats], true: tuple[Any, Floats], vectors: Floats, queries: Floats) -> bool:
    """Whether both hold the same rows, but for rows whose scores are as good up to ties of 1e-5; and the scores are right.

    found, true: rows and scores of two searches, best first, (q, n)
    """
    (rows, scores), (true_rows, true_scores) = found, true
    if rows.shape != true_rows.shape or not np.allclose(scores, true_scores, rtol=0, atol=TIE):
        return False
    exact = np.einsum("qnd,qd->qn", vectors[rows], queries)
    if not np.allclose(exact, scores, rtol=0, atol=TIE) or any(len(set(line)) < len(line) for line in rows.tolist()):
        return False
    return bool((exact >= true_scores[:, -1:] - TIE).all())


def overlap(rows: NDArray[np.integer[Any]], others: NDArray[np.integer[Any]]) -> float:
    """Mean share of each line's rows that the other's line has too; -1 counts as not found."""
    shares = [len((set(one) & set(other)) - {-1}) / len(other) for one, other in zip(rows.tolist(), others.tolist(), strict=True)]
    return float(np.mean(shares))


def selector_verdict(search: Callable[[Flags], NDArray[np.integer[Any]]], eligible: Flags) -> str:
    """What a search does that is told who is eligible: honours it, refuses it, or ignores it without a word."""
    try:
        rows = search(eligible)
    except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal, which is an answer
        return f"refused: {type(error).__name__}"
    known = rows[rows >= 0]
    wrong = float(np.mean(~eligible[known])) if len(known) else 0.0
    return f"IGNORED: {100 * wrong:.0f} % of what it returned was not eligible" if wrong > 0 else "honoured"

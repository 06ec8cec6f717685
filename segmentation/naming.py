"""Names for segments, made of the terms that set each of them apart from all customers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Floats

BY_TERMS = "(by terms)"
N_TERMS, MAX_TERMS = 2, 4
MIN_EFFECT, MIN_SUPPORT = 0.25, 0.3


def distinguishing_terms(
    columns: Floats, has: NDArray[np.bool_], segments: NDArray[np.int16], n_segments: int, terms: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """At most MAX_TERMS terms per segment, the most telling first.

    A term counts where at least MIN_SUPPORT of the segment's customers have it. Its weight is the segment's mean above that of all
    customers, in standard deviations of all customers, and must be at least MIN_EFFECT. Ties go to the earlier term.

    Args:
        columns: one column per term, shape (n_customers, n_terms)
        has: which customers have the term at all; same shape
        segments: segment of each customer, shape (n_customers,)
    """
    deviation = columns.std(axis=0)
    standard = np.divide(columns - columns.mean(axis=0), deviation, out=np.zeros_like(columns), where=deviation > 1e-9)
    found = []
    for segment in range(n_segments):
        members = segments == segment
        effect = standard[members].mean(axis=0) if members.any() else np.zeros(len(terms))
        support = has[members].mean(axis=0) if members.any() else np.zeros(len(terms))
        effect = np.where(support >= MIN_SUPPORT, effect, -np.inf)
        best = [term for term in np.argsort(-effect, kind="stable")[:MAX_TERMS] if effect[term] >= MIN_EFFECT]
        found.append(tuple(terms[term] for term in best))
    return tuple(found)


def names_from_terms(terms_of_segments: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """A readable name for each segment, all different; says in brackets how it was made.

    N_TERMS terms, more where two segments would share a name, a number where that does not help. "Mixed" has no telling term.
    """
    names: list[str] = []
    for terms in terms_of_segments:
        lengths = range(N_TERMS, max(len(terms), N_TERMS) + 1)
        plain = [", ".join(map(_readable, terms[:length])) or "Mixed" for length in lengths]
        numbered = [f"{plain[-1]} {number}" for number in range(2, len(names) + 2)]
        names.append(next(name for text in plain + numbered if (name := f"{text} {BY_TERMS}") not in names))
    return tuple(names)


def _readable(term: str) -> str:
    return term.capitalize() if term.isupper() else term

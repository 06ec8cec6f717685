"""Matrix factors (implicit ALS), served through a vector index; customers are folded in from their history when they ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.features.spec import ages_in_days, half_life_weights
from recsys.protocols import ResolvedQuery
from recsys.source_config import AlsConfig
from recsys.text.index import VectorIndex
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored

CONTEXT_WEIGHT = 2.0
"""What the customer looks at now weighs as much as two items bought just now."""


@dataclass(frozen=True)
class _System:
    """Normal equations of one customer's factors, which solve left @ x = the sum of the columns of right.

    items: known items of the customer, (n_known,); left: (n_factors, n_factors); right: a column for each item, (n_factors, n_known)
    """

    items: Ints
    left: NDArray[np.float64]
    right: NDArray[np.float64]


@dataclass(frozen=True)
class FactorSource:
    """Item factors of an implicit matrix factorisation.

    factors: float32 (n_items, n_factors); zero rows for items that nobody bought
    """

    factors: Floats
    index: VectorIndex
    config: AlsConfig
    reason = ReasonCode.SIMILAR_CUSTOMERS

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items of the highest inner product with the customer's factors."""
        customer = self.customer_factors(resolved)
        if customer is None:
            return Scored.empty()
        rows, scores = self.index.search(customer[None, :], n, eligible & self._has_factors)
        return Scored(rows[0].astype(np.int32), scores[0].astype(np.float32))

    def customer_factors(self, resolved: ResolvedQuery) -> Floats | None:
        """Least-squares factors of the customer given the item factors, float32 (n_factors,); None without any known item.

        Solves (Y'Y + Y'(C - I)Y + reg I) x = Y'C p with confidence C = alpha * weight of each item of the history.

        Source: Hu, Koren & Volinsky (2008), equation 4, in the confidence scaling of the `implicit` library.
        """
        return resolved.once(self, lambda: self._folded_in(resolved))

    def _folded_in(self, resolved: ResolvedQuery) -> Floats | None:
        system = self._system(resolved)
        return None if system is None else np.asarray(np.linalg.solve(system.left, system.right.sum(axis=1)), np.float32)

    def _system(self, resolved: ResolvedQuery) -> _System | None:
        items, weights = _confidences(resolved, self.config.half_life_days)
        known = self._has_factors[items]
        if not known.any():
            return None
        rows = self.factors[items[known]].astype(np.float64)  # (n_known, n_factors)
        confidence = self.config.alpha * weights[known].astype(np.float64)
        left = self._gram + (rows.T * (confidence - 1.0)) @ rows
        return _System(items[known], left, rows.T * confidence)

    def scores(self, resolved: ResolvedQuery, items: Ints) -> Floats:
        """Inner product of each item's factors with the customer's; NaN for a customer without a known item. float32 (n,)"""
        customer = self.customer_factors(resolved)
        if customer is None:
            return np.full(len(items), np.nan, np.float32)
        return np.asarray(self.factors[items] @ customer, np.float32)

    def links(self, items: Ints, seeds: Ints) -> Floats:
        """Cosines of the factors of items and seeds, 0 where one has none; float32 (n_items, n_seeds)."""
        return np.asarray(_unit(self.factors[items]) @ _unit(self.factors[seeds]).T, np.float32)

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """The item of the customer that adds most to the inner product with each, other than the item itself; -1 = none adds to it.

        The customer's factors are linear in the right side of the normal equations, so each item of the history has its own part.

        Source: Hu, Koren & Volinsky (2008), section 5.
        """
        system = self._system(resolved)
        if system is None:
            return np.full(len(items), -1, np.int32)
        added = self.factors[items] @ np.linalg.solve(system.left, system.right)  # (n, n_known)
        added[items[:, None] == system.items] = -np.inf
        strongest = np.argmax(added, axis=1)
        return np.where(added.max(axis=1) > 0, system.items[strongest], -1).astype(np.int32)

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        rows = self.factors.astype(np.float64)
        return rows.T @ rows + self.config.regularization * np.eye(rows.shape[1])

    @cached_property
    def _has_factors(self) -> Flags:
        return np.asarray(np.any(self.factors != 0, axis=1), np.bool_)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.index.save(folder / "index")

    @staticmethod
    def load(folder: Path, config: AlsConfig) -> FactorSource:
        index = VectorIndex.load(folder / "index")
        return FactorSource(index.stored, index, config)


def _unit(factors: Floats) -> Floats:
    norms = np.linalg.norm(factors, axis=1, keepdims=True)
    return np.asarray(factors / np.where(norms > 0, norms, 1.0), np.float32)


def _confidences(resolved: ResolvedQuery, half_life_days: float | None) -> tuple[Ints, Floats]:
    """Distinct items with the summed weights of their lines; items of the context count as bought now."""
    lines = resolved.positives
    weights = half_life_weights(ages_in_days(lines.times, resolved.time), half_life_days)
    items, group = np.unique(np.concatenate([lines.items, resolved.context]), return_inverse=True)
    context = np.full(len(resolved.context), CONTEXT_WEIGHT, np.float32)
    return items.astype(np.int32), np.bincount(group, np.concatenate([weights, context]), minlength=len(items)).astype(np.float32)

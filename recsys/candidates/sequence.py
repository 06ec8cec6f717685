"""What comes next: a transformer reads what the customer wanted, occasion by occasion, and its state is searched for among the items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recsys.candidates.occasions import Wanted, wanted
from recsys.candidates.transformer import Transformer
from recsys.protocols import ResolvedQuery
from recsys.source_config import SequenceConfig
from recsys.text.index import VectorIndex
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class SequenceSource:
    """A fitted sequence model.

    items: embeddings, read and searched for; zero rows for items of which neither a purchase nor a text is known; float32 (n_items, dim)
    """

    items: Floats
    index: VectorIndex
    transformer: Transformer
    config: SequenceConfig
    reason = ReasonCode.OFTEN_NEXT

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items of the highest inner product with the customer's state."""
        state = resolved.once(self, lambda: self._state(resolved))
        if state is None:
            return Scored.empty()
        rows, scores = self.index.search(state[None, :], n, eligible & self._is_known)
        return Scored(rows[0].astype(np.int32), scores[0].astype(np.float32))

    def scores(self, resolved: ResolvedQuery, items: Ints) -> Floats:
        """Inner product of each item with the customer's state; NaN for an unknown item, or a customer without a known one. float32 (n,)"""
        state = resolved.once(self, lambda: self._state(resolved))
        if state is None:
            return np.full(len(items), np.nan, np.float32)
        return np.where(self._is_known[items], self.items[items] @ state, np.nan).astype(np.float32)

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """The item of the newest occasion that is most like each item, other than the item itself."""
        past = self._wanted(resolved)
        if not len(past):
            return np.full(len(items), -1, np.int32)
        newest = past.items[past.occasions == past.occasions[-1]]
        likeness = np.where(items[:, None] != newest, self.items[items] @ self.items[newest].T, -np.inf)  # (n, n_newest)
        return np.where(np.isfinite(likeness).any(axis=1), newest[np.argmax(likeness, axis=1)], -1).astype(np.int32)

    def _state(self, resolved: ResolvedQuery) -> Floats | None:
        past = self._wanted(resolved)
        return self.transformer.state(self.items[past.items], past) if len(past) else None

    def _wanted(self, resolved: ResolvedQuery) -> Wanted:
        return wanted(resolved, self.config.max_length, self._is_known)

    @cached_property
    def _is_known(self) -> Flags:
        return np.asarray(np.any(self.items != 0, axis=1), np.bool_)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.index.save(folder / "index")
        self.transformer.save(folder / "transformer")

    @staticmethod
    def load(folder: Path, config: SequenceConfig) -> SequenceSource:
        index = VectorIndex.load(folder / "index")
        return SequenceSource(index.stored, index, Transformer.load(folder / "transformer"), config)

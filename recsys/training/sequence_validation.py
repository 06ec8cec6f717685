"""The validation of the sequence model: the last item of some customers, ranked among all that they had not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.candidates.occasions import Wanted
from recsys.candidates.transformer import Transformer
from recsys.source_config import SequenceConfig
from recsys.training.sequence_batches import Sequences
from recsys.types import Floats, Ints

_K = 10
_AT_ONCE = 256
_LEAST = 3
"""Of a customer with fewer items none is held out."""


@dataclass(frozen=True)
class Validation:
    """pasts: what each customer had, newest max_length; seen: all of it; wanted: what each had then, (n,)."""

    pasts: Sequence[Wanted]
    seen: Sequence[Ints]
    wanted: Ints

    def ndcg(self, items: Floats, transformer: Transformer) -> float:
        """Mean NDCG@10, items that a customer had left out; equal scores share their mean rank."""
        states = np.stack([transformer.state(items[past.items], past) for past in self.pasts])
        parts = [self._gains(states[start : start + _AT_ONCE] @ items.T, start) for start in range(0, len(states), _AT_ONCE)]
        return float(np.concatenate(parts).mean())

    def _gains(self, scores: Floats, start: int) -> Floats:
        """Of the customers from `start` on. scores: (m, n_items)."""
        for row, seen in enumerate(self.seen[start : start + len(scores)]):
            scores[row, seen] = -np.inf
        own = scores[np.arange(len(scores)), self.wanted[start : start + len(scores)]][:, None]
        ranks = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
        return np.where(ranks <= _K, 1 / np.log2(ranks + 1), 0.0).astype(np.float32)


def hold_out(sequences: Sequences, config: SequenceConfig, rng: np.random.Generator) -> tuple[Sequences, Validation | None]:
    """What is left to learn from, and the last items, new to them, of at most half of the customers that have enough.

    Which item of the last occasion is the last is drawn.
    """
    shuffled = sequences.shuffled(rng)
    counts = np.diff(shuffled.starts)
    pairs = np.repeat(np.arange(len(shuffled)), counts) * (int(shuffled.items.max(initial=0)) + 1) + shuffled.items
    _, pair, times = np.unique(pairs, return_inverse=True, return_counts=True)
    is_once = (times == 1)[pair]
    able = np.flatnonzero(counts >= _LEAST)
    able = able[is_once[shuffled.starts[able + 1] - 1]]
    drawn = np.sort(rng.permutation(able)[: min(config.n_validation, len(able) // 2)])
    if not len(drawn):
        return sequences, None
    held = shuffled.starts[drawn + 1] - 1
    is_left = np.ones(len(shuffled.items), np.bool_)
    is_left[held] = False
    left = shuffled.take(is_left)
    seen = [left.items[left.starts[customer] : left.starts[customer + 1]] for customer in drawn]
    return left, Validation([left.of_customer(int(customer), config.max_length) for customer in drawn], seen, shuffled.items[held])

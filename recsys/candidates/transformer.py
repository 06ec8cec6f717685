"""The forward pass of the sequence model, in numpy: requests need neither torch nor a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.arrays import mapped
from recsys.candidates.occasions import Wanted, ages, distances
from recsys.types import Flags, Floats

EPSILON = 1e-5
"""Added to the variance in a layer norm."""


@dataclass(frozen=True)
class Transformer:
    """Weights of the blocks, one after the other along the first axis; vectors are rows and are multiplied from the left. float32.

    A block is ``x += attention(norm(x))``, then ``x += narrow(relu(widen(norm(x))))``. Attention is told of two items how many occasions
    and how long they are apart by a number added to their weight; where in the history an item is, is not told otherwise.

    attention_norm, forward_norm: scale and shift, (n_blocks, 2, dim); last_norm: the same after all blocks, (2, dim)
    heads_in: to queries, keys and values, (n_blocks, dim, 3 dim); heads_out: (n_blocks, dim, dim), each with its shift
    distance: (n_blocks, n_heads, N_DISTANCES); age: (n_blocks, n_heads, N_AGES)
    widen: (n_blocks, dim, width), narrow: (n_blocks, width, dim), each with its shift
    """

    attention_norm: Floats
    heads_in: Floats
    heads_in_shift: Floats
    heads_out: Floats
    heads_out_shift: Floats
    distance: Floats
    age: Floats
    forward_norm: Floats
    widen: Floats
    widen_shift: Floats
    narrow: Floats
    narrow_shift: Floats
    last_norm: Floats

    @property
    def n_blocks(self) -> int:
        return len(self.widen)

    def state(self, vectors: Floats, wanted: Wanted) -> Floats:
        """What comes next, as a vector to search for: the mean of `states`; (dim,)."""
        return np.asarray(self.states(vectors, wanted).mean(axis=0), np.float32)

    def states(self, vectors: Floats, wanted: Wanted) -> Floats:
        """What each item of the newest occasion says comes next, given it and all before it; float32 (n_newest, dim).

        Items of one occasion see one another, so their order changes nothing.

        vectors: embeddings of the items, (n, dim), n >= 1
        """
        occasions = wanted.occasions
        is_seen = occasions[None, :] <= occasions[:, None]  # (n, n): rows look, columns are looked at
        apart, age = distances(occasions), ages(wanted.days, occasions)
        newest = int(np.searchsorted(occasions, occasions[-1]))
        states = vectors * np.float32(np.sqrt(vectors.shape[1]))
        for block in range(self.n_blocks):
            first = newest if block == self.n_blocks - 1 else 0  # nobody asks the last block for the others
            nudge = self.distance[block][:, apart[first:]] + self.age[block][:, age[first:]]  # (n_heads, n_looking, n)
            states = states[first:] + self._attention(block, _norm(states, self.attention_norm[block]), first, nudge, is_seen[first:])
            wide = _norm(states, self.forward_norm[block]) @ self.widen[block] + self.widen_shift[block]
            states = states + (np.maximum(wide, 0.0) @ self.narrow[block] + self.narrow_shift[block])
        return _norm(states, self.last_norm)

    def _attention(self, block: int, states: Floats, first: int, nudge: Floats, is_seen: Flags) -> Floats:
        """Of the states from `first` on; (n, dim) -> (n - first, dim)."""
        n, dim = states.shape
        n_heads = len(nudge)
        mixed = (states @ self.heads_in[block] + self.heads_in_shift[block]).reshape(n, 3, n_heads, dim // n_heads)
        queries, keys, values = mixed.transpose(1, 2, 0, 3)  # each (n_heads, n, dim / n_heads)
        weights = queries[:, first:] @ keys.transpose(0, 2, 1) / np.float32(np.sqrt(dim // n_heads)) + nudge
        weights = np.where(is_seen, weights, -np.inf)
        weights = np.exp(weights - weights.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        heads = (weights @ values).transpose(1, 0, 2).reshape(n - first, dim)
        return np.asarray(heads @ self.heads_out[block] + self.heads_out_shift[block])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, weight in vars(self).items():
            np.save(folder / f"{name}.npy", weight)

    @staticmethod
    def load(folder: Path) -> Transformer:
        return Transformer(**{name: mapped(folder / f"{name}.npy") for name in Transformer.__dataclass_fields__})


def _norm(rows: Floats, scale_and_shift: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean(centred * centred, axis=1, keepdims=True) + np.float32(EPSILON))
    return np.asarray(centred / spread * scale_and_shift[0] + scale_and_shift[1])

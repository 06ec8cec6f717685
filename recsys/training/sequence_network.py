"""The sequence model as it learns, in torch; what it has learnt is served by `recsys.candidates.transformer`. torch is imported late."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.occasions import N_AGES, N_DISTANCES
from recsys.candidates.transformer import EPSILON, Transformer
from recsys.source_config import SequenceConfig
from recsys.types import Floats

if TYPE_CHECKING:
    import torch

ITEMS = "items"
_WIDTH = 4
"""The middle of a feed-forward layer is so many times as wide as its ends."""
_AT_ONCE = {"cpu": 128, "cuda": 8192}
"""Logits of so many states fit the processor's cache, which makes them three times as quick as those of a whole batch; a GPU wants more."""


class Network:
    """Weights by the names of `Transformer`, and the embeddings of the items."""

    def __init__(self, items: Floats, config: SequenceConfig, seed: int, device: str) -> None:
        """items: embeddings to begin with, (n_items, dim); device: "cpu" or "cuda"."""
        import torch

        rng = np.random.default_rng(seed)
        begun = {**_begun(config, rng), ITEMS: items}
        self.config, self.device = config, torch.device(device)
        self.weights = {name: self.tensor(np.array(weight, np.float32)).requires_grad_() for name, weight in begun.items()}

    def tensor(self, array: NDArray[Any]) -> torch.Tensor:
        """The array where the weights are."""
        import torch

        return torch.from_numpy(array).to(self.device)

    def states(self, items: NDArray[np.integer], distance: NDArray[np.int64], age: NDArray[np.int64]) -> torch.Tensor:
        """What each item says comes next, given it and those before it, with dropout; (n, length) -> (n, length, dim).

        distance, age: of each item (rows) from each other one (columns), as `recsys.candidates.occasions` has them; (n, length, length)
        """
        import torch
        from torch.nn.functional import dropout, embedding

        weights, share = self.weights, self.config.dropout
        apart, ages = self.tensor(distance), self.tensor(age)
        later = torch.ones(distance.shape[1:], dtype=torch.bool, device=self.device).triu(1)
        states = embedding(self.tensor(items.astype(np.int64)), weights[ITEMS]) * math.sqrt(self.config.dim)
        states = dropout(states, share)
        for block in range(self.config.n_blocks):
            nudge = embedding(apart, weights["distance"][block].T) + embedding(
                ages, weights["age"][block].T
            )  # (n, length, length, n_heads)
            nudge = nudge.permute(0, 3, 1, 2).masked_fill(later, -math.inf)
            states = states + dropout(self._attention(block, _norm(states, weights["attention_norm"][block]), nudge), share)
            wide = _norm(states, weights["forward_norm"][block]) @ weights["widen"][block] + weights["widen_shift"][block]
            narrow = torch.relu(wide) @ weights["narrow"][block] + weights["narrow_shift"][block]
            states = states + dropout(narrow, share)
        return _norm(states, weights["last_norm"])

    def _attention(self, block: int, states: torch.Tensor, nudge: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import dropout

        n, length, dim = states.shape
        width = dim // self.config.n_heads
        mixed = states @ self.weights["heads_in"][block] + self.weights["heads_in_shift"][block]
        queries, keys, values = mixed.view(n, length, 3, self.config.n_heads, width).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(width) + nudge).softmax(-1)  # (n, n_heads, length, length)
        heads: torch.Tensor = (dropout(weights, self.config.dropout) @ values).transpose(1, 2).reshape(n, length, dim)
        heads = heads @ self.weights["heads_out"][block] + self.weights["heads_out_shift"][block]
        return heads

    def learn(self, states: torch.Tensor, wanted: NDArray[np.integer], rng: np.random.Generator) -> float:
        """Add to the gradients of all weights those of the cross-entropy of what came next; returns its mean.

        states: (n, dim); wanted: the item after each, (n,)
        """
        n_items = len(self.weights[ITEMS])
        n_negatives = self.config.n_negatives
        targets = self.tensor(wanted.astype(np.int64))
        if n_negatives is None or n_negatives >= n_items:
            return self._learn_from_all(states, targets)
        negatives = self.tensor(rng.choice(n_items, n_negatives, replace=False))
        return self._learn_from_some(states, targets, negatives)

    def _learn_from_all(self, states: torch.Tensor, targets: torch.Tensor) -> float:
        """The gradient of a softmax is its probabilities less 1 for the target: no need to keep the logits of a whole batch."""
        import torch

        items, n, at_once = self.weights[ITEMS], len(states), _AT_ONCE[self.device.type]
        with torch.no_grad():
            of_states, of_items, total = torch.empty_like(states), torch.zeros_like(items).T.contiguous(), 0.0
            for start in range(0, n, at_once):
                some, aims = states[start : start + at_once], targets[start : start + at_once, None]
                shares = torch.softmax(some @ items.T, dim=1)  # (n_some, n_items)
                total -= float(shares.gather(1, aims).clamp_min(1e-38).log().sum())
                shares.scatter_add_(1, aims, shares.new_full(aims.shape, -1.0))
                of_states[start : start + at_once] = shares @ items
                of_items += some.T @ shares
        states.backward(of_states / n)  # type: ignore[no-untyped-call]
        assert items.grad is not None  # the states come from them
        items.grad += of_items.T / n
        return total / n

    def _learn_from_some(self, states: torch.Tensor, targets: torch.Tensor, negatives: torch.Tensor) -> float:
        """Each drawn item stands for as many as it was drawn from; one that is the target of a state is no negative of it."""
        import torch

        items = self.weights[ITEMS]
        own = (states * items[targets]).sum(dim=1, keepdim=True)
        others = states @ items[negatives].T + math.log((len(items) - 1) / len(negatives))  # (n, n_negatives)
        others = others.masked_fill(negatives == targets[:, None], -math.inf)
        loss = (torch.logsumexp(torch.cat([own, others], dim=1), dim=1) - own[:, 0]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def learnt(self) -> dict[str, Floats]:
        """Copies of all weights."""
        return {name: weight.detach().cpu().numpy().copy() for name, weight in self.weights.items()}


def transformer_of(learnt: dict[str, Floats]) -> Transformer:
    """What requests need of the weights, beside the items."""
    return Transformer(**{name: weight for name, weight in learnt.items() if name != ITEMS})


def _begun(config: SequenceConfig, rng: np.random.Generator) -> dict[str, Any]:
    """Weights that say little."""
    n, dim, wide = config.n_blocks, config.dim, _WIDTH * config.dim
    norm = np.stack([np.ones(dim), np.zeros(dim)])

    def small(*shape: int) -> NDArray[np.float64]:
        return 0.02 * rng.standard_normal(shape)

    return {
        "attention_norm": np.tile(norm, (n, 1, 1)),
        "heads_in": small(n, dim, 3 * dim),
        "heads_in_shift": np.zeros((n, 3 * dim)),
        "heads_out": small(n, dim, dim),
        "heads_out_shift": np.zeros((n, dim)),
        "distance": np.zeros((n, config.n_heads, N_DISTANCES)),
        "age": np.zeros((n, config.n_heads, N_AGES)),
        "forward_norm": np.tile(norm, (n, 1, 1)),
        "widen": small(n, dim, wide),
        "widen_shift": np.zeros((n, wide)),
        "narrow": small(n, wide, dim),
        "narrow_shift": np.zeros((n, dim)),
        "last_norm": norm,
    }


def _norm(states: torch.Tensor, scale_and_shift: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import layer_norm

    return layer_norm(states, states.shape[-1:], scale_and_shift[0], scale_and_shift[1], EPSILON)

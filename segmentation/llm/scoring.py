"""How likely a causal model finds given continuations of prompts that begin alike; torch loads when it is asked."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = tuple[int, ...]


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Give torch and BLAS n threads for the length of a ``with`` block."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n), torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def common_length(rows: Sequence[Tokens]) -> int:
    """How many tokens all rows begin with alike; at least one is left of each."""
    first, last = min(rows), max(rows)
    shared = next((at for at, (left, right) in enumerate(zip(first, last, strict=False)) if left != right), min(len(first), len(last)))
    return min(shared, min(len(row) for row in rows) - 1)


class Scorer:
    """Scores options after prompts that share their first tokens, which are read once.

    Options that differ in their last token only are read from one row, so labels of one token cost no more than reading the prompt.
    """

    def __init__(self, network: Any, head: Tokens, options: Sequence[Tokens], pad: int) -> None:
        """head: what every prompt begins with, may be empty; options: at least one token each; pad: any token."""
        self._network, self._head, self._options, self._pad = network, head, options, pad
        self._paths = tuple(dict.fromkeys(option[:-1] for option in options))
        self._memory = network(_tensor(network, [head]), use_cache=True, logits_to_keep=1).past_key_values if head else None

    def log_likelihoods(self, rows: Sequence[Tokens]) -> NDArray[np.float64]:
        """log p(option | head, row), summed over the option's tokens; shape (n_rows, n_options). The rows are read at once."""
        found = np.empty((len(rows), len(self._options)))
        pairs = [(row, path) for row in range(len(rows)) for path in self._paths]
        for start in range(0, len(pairs), len(rows)):
            batch = pairs[start : start + len(rows)]
            predictions = self._predict([rows[row] + path for row, path in batch])
            for place, (row, path) in enumerate(batch):
                for column, option in enumerate(self._options):
                    if option[:-1] == path:
                        steps = predictions[place, -len(option) :]
                        found[row, column] = steps[range(len(option)), list(option)].sum()
        return found

    def _predict(self, rows: Sequence[Tokens]) -> Any:
        """Log-probabilities of what follows the last tokens of each row; shape (n_rows, longest path + 1, vocabulary)."""
        import torch

        longest = max(map(len, rows))
        padded = _tensor(self._network, [(self._pad,) * (longest - len(row)) + row for row in rows])  # (n_rows, longest)
        real = _tensor(self._network, [(1,) * len(self._head) + (0,) * (longest - len(row)) + (1,) * len(row) for row in rows])
        positions = (real.cumsum(1) - 1).clamp(min=0)[:, len(self._head) :]
        memory = copy.deepcopy(self._memory)
        if memory is not None:
            memory.batch_repeat_interleave(len(rows))
        n_kept = max(map(len, self._paths)) + 1
        logits = self._network(
            padded, attention_mask=real, position_ids=positions, past_key_values=memory, use_cache=memory is not None, logits_to_keep=n_kept
        ).logits
        return torch.log_softmax(logits.float(), dim=-1)


def _tensor(network: Any, rows: Sequence[Tokens]) -> Any:
    import torch

    return torch.tensor(rows, dtype=torch.long, device=network.device)

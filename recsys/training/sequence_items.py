"""Item embeddings of the sequence model where no sequence tells them: before it learns, and of items that nobody had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.source_config import SequenceConfig
from recsys.types import Floats

_RIDGE = 1.0
"""L2 weight of the regression on texts, in mean variances of a direction."""


def begin(texts: Floats | None, n: int, config: SequenceConfig, rng: np.random.Generator) -> Floats:
    """Embeddings to begin with: the principal directions of the texts, each of standard deviation ``start_scale``.

    Directions that the texts do not have, or all where there are none, are random.

    texts: of the n items, (n, width). Returns float32 (n, dim).
    """
    start = rng.standard_normal((n, config.dim)).astype(np.float32)
    if texts is not None and n:
        centred = texts.astype(np.float64) - texts.mean(axis=0, dtype=np.float64)
        variances, directions = np.linalg.eigh(centred.T @ centred / n)
        chosen = np.flatnonzero(variances > 1e-6 * variances.sum())[::-1][: config.dim]
        start[:, : len(chosen)] = centred @ (directions[:, chosen] / np.sqrt(variances[chosen]))
    return np.float32(config.start_scale) * start


def all_items(learnt: Floats, warm: NDArray[np.integer], n_items: int, texts: Floats | None) -> Floats:
    """Embeddings of all items: of the warm ones as learnt, of the others as a ridge regression of those on their texts predicts.

    texts: of all items, (n_items, width); without them the others get zeros. Returns float32 (n_items, dim).
    """
    items = np.zeros((n_items, learnt.shape[1]), np.float32)
    items[warm] = learnt
    if texts is None or not len(warm):
        return items
    cold = np.setdiff1d(np.arange(n_items), warm)
    mean, level = texts[warm].mean(axis=0, dtype=np.float64), learnt.mean(axis=0, dtype=np.float64)
    known = texts[warm] - mean
    gram = known.T @ known
    weight = _RIDGE * np.trace(gram) / len(gram) + 1e-9  # where all texts are alike, any weight leaves the mean
    items[cold] = level + (texts[cold] - mean) @ np.linalg.solve(gram + weight * np.eye(len(gram)), known.T @ (learnt - level))
    return items

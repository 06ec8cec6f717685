"""Whitening: embeddings whose axes all vary alike, so that what nearly all texts have in common no longer hides how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.arrays import mapped
from recsys.protocols import Encoder
from recsys.text.pooling import unit
from recsys.types import Floats

TEXTS_PER_DIMENSION = 8
"""Fewer distinct texts than this for each dimension tell too little of how texts vary: they stay as they are."""
SHRINKAGE = 0.1
"""Share of the mean variance that is added to that of each axis: axes along which texts hardly differ are mostly noise."""


@dataclass(frozen=True)
class Whitening:
    """x -> unit((x - centre) @ axes).

    centre:  mean of the embeddings; float32 (dim,)
    axes:    inverse square root of their covariance, shrunk; symmetric, float32 (dim, dim)
    inverse: of the axes; float32 (dim, dim)

    Source: Su et al. (2021), arXiv 2103.15316; the symmetric root (ZCA) instead of PCA, which gives the same cosines.
    """

    centre: Floats
    axes: Floats
    inverse: Floats

    @staticmethod
    def fit(embeddings: Floats) -> Whitening | None:
        """What evens out embeddings, unit norm, (n, dim); None where there are fewer than `TEXTS_PER_DIMENSION` for each dimension."""
        n, dim = embeddings.shape
        if n < TEXTS_PER_DIMENSION * dim:
            return None
        centre = embeddings.mean(axis=0, dtype=np.float64)
        apart = embeddings - centre
        variances, directions = np.linalg.eigh(apart.T @ apart / n)
        variances = np.maximum(variances, 0.0)
        if not variances.any():
            return None
        scales = np.sqrt(variances + SHRINKAGE * variances.mean())
        axes, inverse = directions / scales @ directions.T, directions * scales @ directions.T
        return Whitening(centre.astype(np.float32), axes.astype(np.float32), inverse.astype(np.float32))

    def apply(self, embeddings: Floats) -> Floats:
        """Embeddings of items in the new axes, unit norm, float32 (n, dim); one that is the very centre stays as it is."""
        return unit(np.asarray((embeddings - self.centre) @ self.axes, np.float32), embeddings)

    def facing(self, embeddings: Floats) -> Floats:
        """What to search whitened items with for something that is no item's text, a review or a wish; float32 (n, dim).

        Such texts vary along other axes than items do, and whitening them would blow up just these. Their products with what is given
        here order items as the plain ones did, but for the norms that items had before they were made unit vectors again.

        embeddings: unit norm, or differences of such; zero stays zero
        """
        return unit(np.asarray(embeddings @ self.inverse, np.float32), np.zeros_like(embeddings))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @staticmethod
    def load(folder: Path) -> Whitening:
        return Whitening(*(mapped(folder / f"{name}.npy") for name in ("centre", "axes", "inverse")))


@dataclass(frozen=True)
class WhitenedEncoder:
    """Reads the texts of items as an encoder does, with its embeddings whitened."""

    encoder: Encoder
    whitening: Whitening

    def encode(self, texts: Sequence[str]) -> Floats:
        """See `Encoder`."""
        embeddings = self.encoder.encode(texts)
        return self.whitening.apply(embeddings) if len(texts) else embeddings

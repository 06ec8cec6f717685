"""Vectors as texts have them, in any number: real texts through the product's encoder, then mixtures of near ones.

Gaussian vectors would not do: they have no neighbourhoods, so every index looks worse on them, and hardly any is chosen rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from recsys.config import TextConfig
from recsys.data.dataset import Dataset
from recsys.source_config import IndexConfig
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import Progress, load_encoder
from recsys.text.index import VectorIndex
from recsys.types import Floats

SEED = 5
_ANCHORS, _NEIGHBOURS = 20_000, 8
_NOISE = 0.1


@dataclass(frozen=True)
class TextLike:
    """Vectors of distinct texts, unit norm.

    vectors: to be searched; float32 (n, dim)
    queries: of real texts that are not among them; float32 (q, dim)
    n_real:  how many of the vectors are real texts; the others are mixtures
    samples: of other real texts that are not among them, as many as the queries, to tell an index what it will be asked; None = untold
    """

    vectors: Floats
    queries: Floats
    n_real: int
    samples: Floats | None = None

    def told(self) -> TextLike:
        """The same with every second query as a sample instead."""
        return replace(self, queries=np.ascontiguousarray(self.queries[::2]), samples=np.ascontiguousarray(self.queries[1::2]))


def read_texts(shops: Sequence[Path], columns: Sequence[str]) -> list[str]:
    """Distinct texts, sorted, of the items of imported shops and of columns written as FILE.parquet:COLUMN.

    Raises:
        ValueError: a column is not written so.
    """
    texts = {text for shop in shops for text in Dataset.load(shop).item_texts()}
    for place in columns:
        path, separator, column = place.rpartition(":")
        if not separator:
            raise ValueError(f"texts are given as FILE.parquet:COLUMN, not {place!r}")
        texts.update(pq.read_table(path, columns=[column])[column].to_pylist())
    return sorted(text for text in texts if text)


def encode(texts: Sequence[str], cache: Path, n_threads: int, progress: Progress) -> Floats:
    """Embeddings of the default trunk; kept, so that the next run has them at once."""
    return encode_texts(load_encoder(TextConfig(), n_threads), texts, cache, progress)


def text_like(real: Floats, n: int, n_queries: int) -> TextLike:
    """n vectors: real ones drawn at random, and where these are too few, mixtures.

    A mixture lies between a real vector and one of its 8 nearest, at a place drawn uniformly from .3 to .7 of the way, is moved by
    Gaussian noise of a tenth of its length, and gets unit norm. The same arguments give the same vectors.

    Args:
        real: distinct, unit norm, float32 (n_real, dim); more than n_queries.
        n: vectors wanted.
        n_queries: real vectors held out to ask with.
    """
    if len(real) <= max(n_queries, _NEIGHBOURS):
        raise ValueError(f"{len(real)} texts are too few for {n_queries} queries")
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(real))
    queries, kept = real[order[:n_queries]], real[order[n_queries:]]
    if n <= len(kept):
        return TextLike(np.ascontiguousarray(kept[:n]), queries, n)
    vectors = np.concatenate([kept, _mixtures(kept, n - len(kept), rng)])
    return TextLike(vectors[rng.permutation(n)], queries, len(kept))


def _mixtures(real: Floats, n: int, rng: np.random.Generator) -> Floats:
    anchors = rng.permutation(len(real))[:_ANCHORS]
    exact = VectorIndex.build(real, IndexConfig(kind="exact"))
    near, _ = exact.search(real[anchors], _NEIGHBOURS + 1)
    drawn = rng.integers(0, len(anchors), n)
    others = near[drawn, rng.integers(1, _NEIGHBOURS + 1, n)]
    mixed = np.empty((n, real.shape[1]), np.float32)
    for start in range(0, n, 1 << 16):
        rows = slice(start, min(start + (1 << 16), n))
        share = rng.uniform(0.3, 0.7, (len(others[rows]), 1)).astype(np.float32)
        part = share * real[anchors[drawn[rows]]] + (1 - share) * real[others[rows]]
        noise = rng.normal(0, _NOISE / np.sqrt(part.shape[1]), part.shape) * np.linalg.norm(part, axis=1, keepdims=True)
        part = part + noise.astype(np.float32)
        mixed[rows] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return mixed

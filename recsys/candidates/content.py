"""What reads like the items this customer has: BERT embeddings, searched with FAISS over distinct texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.candidates.seeds import seeds
from recsys.protocols import Encoder, ResolvedQuery
from recsys.source_config import ContentConfig
from recsys.text.index import VectorIndex
from recsys.text.whitening import WhitenedEncoder, Whitening
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored

MAX_CONTEXT = 5
"""So many items of the context, the newest, are searched for; each costs a search."""


@dataclass(frozen=True)
class Written:
    """What customers wrote of what they bought.

    customers: numbers of those who wrote, rising; int32 (n,)
    vectors:   where each one's reviews point, apart from what all write; unit L2 norm or zero; float32 (n, dim)
    weight:    what they weigh beside what the customer bought, in [0, 1]
    """

    customers: Ints
    vectors: Floats
    weight: float

    def beside(self, bought: Floats, customer: int) -> Floats:
        """What a customer bought, mixed with what they wrote; unit norm, (dim,). customer: -1 = a stranger."""
        place = int(np.searchsorted(self.customers, customer))
        if place == len(self.customers) or self.customers[place] != customer:
            return bought
        mixed = (1.0 - self.weight) * bought + self.weight * self.vectors[place]
        norm = float(np.linalg.norm(mixed))
        return np.asarray(mixed / norm, np.float32) if norm > 1e-6 else bought

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, column in vars(self).items():
            np.save(folder / f"{name}.npy", column)

    @staticmethod
    def load(folder: Path) -> Written:
        customers, vectors = (mapped(folder / f"{name}.npy") for name in ("customers", "vectors"))
        return Written(customers, vectors, float(np.load(folder / "weight.npy")))


@dataclass(frozen=True)
class ItemTexts:
    """Embeddings of what is said of items, by the shop and by customers; items of which the same is said share one.

    text_of_item: row of each item's embedding; int32 (n_items,)
    embeddings:   unit L2 norm; float32 (n_texts, dim)
    written:      what customers wrote; None = it does not count
    whitening:    what the encoder's embeddings went through to become these; None = nothing
    """

    text_of_item: Ints
    embeddings: Floats
    index: VectorIndex
    written: Written | None = None
    whitening: Whitening | None = None

    def of_items(self, items: Ints) -> Floats:
        """Embeddings of the items, float32 (n, dim)."""
        return np.asarray(self.embeddings[self.text_of_item[items]])

    def reading(self, encoder: Encoder) -> Encoder:
        """What makes embeddings of more items, from the encoder that made these."""
        return encoder if self.whitening is None else WhitenedEncoder(encoder, self.whitening)

    def facing(self, embeddings: Floats) -> Floats:
        """What to search for, by the encoder's embeddings of texts that are no item's; float32 (n, dim)."""
        return embeddings if self.whitening is None else self.whitening.facing(embeddings)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "text_of_item.npy", self.text_of_item)
        self.index.save(folder / "index")
        if self.written is not None:
            self.written.save(folder / "written")
        if self.whitening is not None:
            self.whitening.save(folder / "whitening")

    @staticmethod
    def load(folder: Path) -> ItemTexts:
        index = VectorIndex.load(folder / "index")
        written = Written.load(folder / "written") if (folder / "written").is_dir() else None
        whitening = Whitening.load(folder / "whitening") if (folder / "whitening").is_dir() else None
        return ItemTexts(mapped(folder / "text_of_item.npy"), index.stored, index, written, whitening)


@dataclass(frozen=True)
class ContentSource:
    """Items whose text is near the mean embedding of the customer's seeds.

    by_text: item numbers grouped by text, most bought first; those of text t are by_text[offsets[t]:offsets[t + 1]]
    centre:  mean of the texts that had been bought by then: what they have in common says nothing of a customer; float32 (dim,)
    """

    texts: ItemTexts
    by_text: Ints
    offsets: NDArray[np.int64]
    centre: Floats
    config: ContentConfig
    reason = ReasonCode.SIMILAR_TEXT

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Eligible items by cosine of their text with the customer's mean; many items may share one text and one score."""
        wanted = resolved.once(self, lambda: self._wanted(resolved))
        if not len(wanted):
            return Scored.empty()
        has_eligible = np.zeros(len(self.offsets) - 1, np.bool_)
        has_eligible[self.texts.text_of_item[eligible]] = True
        rows, scores = self.texts.index.search(wanted, n, has_eligible)
        items, cosines = self._expand(*_best_of_each(rows, scores))
        keep = np.flatnonzero(eligible[items])[:n]
        return Scored(items[keep], cosines[keep])

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """The seed whose text is nearest to each item's, other than the item itself."""
        seed_items, _ = self._seeds(resolved)
        if not len(seed_items):
            return np.full(len(items), -1, np.int32)
        cosines = self.texts.of_items(items) @ self.texts.of_items(seed_items).T  # (n, n_seeds)
        is_other = items[:, None] != seed_items
        nearest = seed_items[np.argmax(np.where(is_other, cosines, -np.inf), axis=1)]
        return np.where(is_other.any(axis=1), nearest, -1).astype(np.int32)

    def scores(self, resolved: ResolvedQuery, items: Ints) -> Floats:
        """Cosine of each item's text with what is searched for, the best of several; NaN where nothing is. float32 (n,)"""
        wanted = resolved.once(self, lambda: self._wanted(resolved))
        if not len(wanted):
            return np.full(len(items), np.nan, np.float32)
        return np.asarray((self.texts.of_items(items) @ wanted.T).max(axis=1), np.float32)

    def links(self, items: Ints, seeds: Ints) -> Floats:
        """Cosines of the texts of items and seeds, float32 (n_items, n_seeds)."""
        return np.asarray(self.texts.of_items(items) @ self.texts.of_items(seeds).T, np.float32)

    def _seeds(self, resolved: ResolvedQuery) -> tuple[Ints, Floats]:
        config = self.config
        return seeds(resolved, config.n_seeds, config.seed_half_life_days, config.seed_half_life_items)

    def _wanted(self, resolved: ResolvedQuery) -> Floats:
        """Unit vectors to search for, float32 (m, dim): each item of the context, for a mean of two is like neither; else the history,
        and what the customer wrote."""
        items, weights = self._seeds(resolved)
        if not len(items):
            return np.empty((0, len(self.centre)), np.float32)
        n_context = len(resolved.context)
        vectors = self.texts.of_items(items) - self.centre
        vectors = vectors[:n_context][:MAX_CONTEXT] if n_context else (weights @ vectors)[None, :]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        known = norms[:, 0] > 0
        wanted = np.asarray(vectors[known] / norms[known], np.float32)
        if n_context or self.texts.written is None or not len(wanted):
            return wanted
        return self.texts.written.beside(wanted[0], resolved.customer)[None, :]

    def _expand(self, texts: NDArray[np.integer], scores: Floats) -> tuple[Ints, Floats]:
        starts = self.offsets[texts]
        lengths = self.offsets[texts + 1] - starts
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.by_text[np.repeat(starts, lengths) + within], np.repeat(scores, lengths).astype(np.float32)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "by_text.npy", self.by_text)
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "centre.npy", self.centre)

    @staticmethod
    def load(folder: Path, texts: ItemTexts, config: ContentConfig) -> ContentSource:
        by_text, offsets, centre = (mapped(folder / f"{name}.npy") for name in ("by_text", "offsets", "centre"))
        return ContentSource(texts, by_text, offsets, centre, config)


def _best_of_each(rows: Ints, scores: Floats) -> tuple[Ints, Floats]:
    """Texts found by several searches, each once with its best score, best first."""
    order = np.lexsort((rows.ravel(), -scores.ravel()))
    texts, first = np.unique(rows.ravel()[order], return_index=True)
    best_first = np.argsort(first, kind="stable")
    return texts[best_first], scores.ravel()[order][first[best_first]]


def build_content(texts: ItemTexts, popularity: Floats, config: ContentConfig) -> ContentSource:
    """Group the items by text, most bought first. popularity: number of lines of each item, (n_items,)"""
    order = np.lexsort((np.arange(len(popularity)), -popularity, texts.text_of_item))
    counts = np.bincount(texts.text_of_item, minlength=len(texts.embeddings))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    bought = np.unique(texts.text_of_item[popularity > 0])
    rows = texts.embeddings[bought]
    centre = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
    return ContentSource(texts, order.astype(np.int32), offsets, centre.astype(np.float32), config)

"""Public texts of known class, without the repeats that make a test too easy; and draws of few of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.text.bench import SEED
from benchmarks.text.sentiment import is_good
from benchmarks.text.shops import by_time, written
from recsys.types import Flags

MOODS = ("bad", "good")
LIKENESS = 0.6
"""Texts that share so much of their pairs and triples of characters (Jaccard) are variants of one."""
_BLOCK = 1000


@dataclass(frozen=True)
class Texts:
    """Parallel arrays of length n.

    texts:  object
    labels: rows of names; int64
    units:  what the text belongs to, drawn as a whole in the bootstrap; object
    """

    texts: NDArray[np.object_]
    labels: NDArray[np.int64]
    units: NDArray[np.object_]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.intp] | Flags) -> Texts:
        """The given texts."""
        return Texts(self.texts[rows], self.labels[rows], self.units[rows], self.names)

    def some(self, n: int) -> Texts:
        """So many drawn at random, all where there are fewer; the same in every run."""
        return self.take(np.random.default_rng(SEED).permutation(len(self))[:n])

    def named(self) -> list[tuple[str, str]]:
        """Each text with the name of its class, as heads learn from them."""
        return [(text, self.names[label]) for text, label in zip(self.texts, self.labels, strict=True)]


def chinese(data: Path, n_asked: int) -> tuple[Texts, Texts]:
    """Chinese reviews to learn from and to be asked about, split at random; none of the former resembles one of the latter."""
    rows = pd.read_parquet(data / "zh_online_shopping_10_cats.parquet")
    rows = rows.iloc[distinct(rows.review.fillna("").tolist(), rows.label.to_numpy())]
    order = np.random.default_rng(SEED).permutation(len(rows))
    texts = Texts(rows.review.to_numpy(object), rows.label.to_numpy(np.int64), np.arange(len(rows)).astype(object), MOODS).take(order)
    asked, known = texts.take(np.arange(n_asked)), texts.take(np.arange(n_asked, len(texts)))
    return known.take(~resembles(known.texts.tolist(), asked.texts.tolist())), asked


def stars(data: Path, shop: str) -> tuple[Texts, Texts]:
    """Reviews of 1 and 2 against 4 and 5 stars, the first four fifths in time and the last; customers are the units."""
    early, late = by_time(written(data, shop).query("rating != 3 and text != ''"))
    known, asked = (Texts(rows.text.to_numpy(object), is_good(rows), rows.customer.to_numpy(object), MOODS) for rows in (early, late))
    return known, asked


def intents(data: Path) -> tuple[Texts, Texts]:
    """CLINC150 in scope, its own train and test parts."""
    rows = pd.read_parquet(data / "clinc150_intents.parquet").query("not out_of_scope")
    names, labels = np.unique(rows.intent.to_numpy(object), return_inverse=True)
    texts = Texts(rows.text.to_numpy(object), labels.astype(np.int64), np.arange(len(rows)).astype(object), tuple(names))
    return texts.take((rows.split == "train").to_numpy()), texts.take((rows.split == "test").to_numpy())


def distinct(texts: Sequence[str], labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Rows of the first of all texts of equal letters; of none that is empty, or that has different labels elsewhere."""
    rows = pd.DataFrame({"bare": [bare(text) for text in texts], "label": labels})
    is_clear = rows.groupby("bare").label.transform("nunique") == 1
    return np.flatnonzero(is_clear & ~rows.bare.duplicated() & (rows.bare != ""))


def bare(text: str) -> str:
    """Letters and digits alone, of one width and case."""
    return "".join(character for character in unicodedata.normalize("NFKC", text).casefold() if character.isalnum())


def resembles(texts: Sequence[str], others: Sequence[str]) -> Flags:
    """Which texts are variants of one of the others; (n,)."""
    from sklearn.feature_extraction.text import CountVectorizer

    parts = CountVectorizer(analyzer="char", ngram_range=(2, 3), binary=True, dtype=np.int32)
    there = parts.fit_transform([bare(text) for text in others])
    found = [np.zeros(0, np.bool_)]
    everything = parts.build_analyzer()
    for start in range(0, len(texts), _BLOCK):
        block = [bare(text) for text in texts[start : start + _BLOCK]]
        sizes = np.array([len(set(everything(text))) for text in block])
        shared = (parts.transform(block) @ there.T).toarray()  # (block, n_others)
        union = sizes[:, None] + np.asarray(there.sum(axis=1)).ravel() - shared
        found.append((shared > LIKENESS * union).any(axis=1))
    return np.concatenate(found)


def draw(labels: NDArray[np.integer], n_each: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of so many texts of each class, drawn without repeats; all of a class that has fewer."""
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:n_each] for label in np.unique(labels)])

"""What a trunk learns from: texts, pairs of them that belong together, labels; and one batch of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.config import FinetuneConfig
from recsys.errors import DataError
from recsys.types import Flags, Floats, Ints

BEYOND_CHANCE = 2.0


@dataclass(frozen=True)
class Drawn:
    """Queries, and the text that each should find.

    queries: rows of the texts whose mean embedding is the query
    wanted:  row of the text that should be nearest
    about:   documents that the query speaks of; what is linked with them is no negative
    """

    queries: tuple[tuple[int, ...], ...] = ()
    wanted: tuple[int, ...] = ()
    about: tuple[tuple[int, ...], ...] = ()


class PairSource(Protocol):
    """One kind of pairs."""

    def draw(self, rng: np.random.Generator, n_texts: int) -> Drawn:
        """Queries that need about so many distinct texts."""
        ...


@dataclass(frozen=True)
class Labelled:
    """Texts of known class. rows: int32 (n,); labels: positions in `classes`, int32 (n,)."""

    rows: Ints
    labels: Ints
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(np.unique(self.labels)) < len(self.classes) or len(self.classes) < 2:
            counts = dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))
            raise DataError(f"a classification head needs labelled texts of two classes or more, and some of each; there are {counts}")

    @property
    def shares(self) -> Floats:
        """How frequent each class is among the labels; sums to 1, float32 (n_classes,)."""
        return np.asarray(np.bincount(self.labels, minlength=len(self.classes)) / len(self.labels), np.float32)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Ints, Ints]:
        """Rows and labels; every class is as likely as the others, however rare it is."""
        labels = rng.integers(0, len(self.classes), n).astype(np.int32)
        return np.array([rng.choice(self.rows[self.labels == label]) for label in labels], np.int32), labels


@dataclass(frozen=True)
class Lesson:
    """All that is learnt from.

    texts:     every text, once each; the first n_documents are documents: what is searched for
    stands_for: the document that each text is part of, -1 = none; int32 (n_texts,); documents stand for themselves
    links:     how often two documents were wanted together, symmetric, zeros on the diagonal; float32 (n_documents, n_documents).
               Those that were so beyond chance are not each other's negatives
    pairs:     kinds of pairs by name, and the part of a batch that each gets
    heads:     labelled texts by the name of the head
    sample:    documents that stand for the catalogue in validation and when hard negatives are mined; int32 (n_sample,)
    known_until: nothing at or after this time was used, ISO 8601; None = not by time
    validate:  Recall@20 of embeddings of the sample, float32 (n_sample, dim), on what nothing was trained on; None = not validated
    """

    texts: tuple[str, ...]
    n_documents: int
    stands_for: Ints
    links: sp.csr_matrix
    pairs: Mapping[str, tuple[PairSource, float]]
    heads: Mapping[str, Labelled]
    sample: Ints
    validate: Callable[[Floats], float] | None
    known_until: str | None = None

    def fingerprint(self, seed: int) -> str:
        """Digest of the texts and of what is drawn of them first."""
        rng = np.random.default_rng(seed)
        drawn = [source.draw(rng, 64) for source, _ in self.pairs.values()]
        labelled = [(name, head.classes, head.rows.tolist(), head.labels.tolist()) for name, head in self.heads.items()]
        known = repr(
            (
                self.texts,
                drawn,
                labelled,
                self.links.nnz,
                float(self.links.sum()),
                self.sample.tolist(),
                [(k, s) for k, (_, s) in self.pairs.items()],
            )
        )
        return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Batch:
    """What one update reads.

    rows:     texts, each once; int32 (n,)
    drawn:    queries by kind of pair
    labelled: by head, places in `rows` and labels
    """

    rows: Ints
    drawn: Mapping[str, Drawn]
    labelled: Mapping[str, tuple[NDArray[np.intp], Ints]]

    @property
    def n_queries(self) -> int:
        """Queries of all kinds."""
        return sum(len(drawn.wanted) for drawn in self.drawn.values())

    @staticmethod
    def draw(
        lesson: Lesson,
        config: FinetuneConfig,
        hard_of: Callable[[Ints, np.random.Generator], Ints],
        heads: Sequence[str],
        rng: np.random.Generator,
    ) -> Batch:
        """Pairs of every kind by their share, mined negatives of what they want, and labelled texts. A function of rng alone."""
        total = sum(share for _, share in lesson.pairs.values())
        drawn = {
            name: source.draw(rng, max(2, round(config.batch_texts * share / total))) for name, (source, share) in lesson.pairs.items()
        }
        drawn = {name: found for name, found in drawn.items() if found.wanted}
        wanted = np.array([row for found in drawn.values() for row in found.wanted], np.int32)
        labelled = {name: lesson.heads[name].draw(rng, config.head_texts) for name in heads}
        members = [row for found in drawn.values() for query in found.queries for row in query]
        parts = [wanted, np.array(members, np.int32), hard_of(np.unique(wanted), rng), *(rows for rows, _ in labelled.values())]
        rows = np.unique(np.concatenate(parts)).astype(np.int32)
        if not len(rows):
            rows = rng.choice(len(lesson.texts), min(config.batch_texts, len(lesson.texts)), replace=False).astype(np.int32)
        return Batch(rows, drawn, {name: (np.searchsorted(rows, at), labels) for name, (at, labels) in labelled.items()})

    def contrast(self, drawn: Drawn, lesson: Lesson, spare_linked: bool) -> tuple[sp.csr_matrix, NDArray[np.intp], NDArray[np.intp], Flags]:
        """What `info_nce` compares.

        Returns:
            Averaging matrix (q, n) from texts of the batch to queries; places of the texts that queries are told apart from, (c,);
            the column of each query's wanted text, (q,); what is no negative, (q, c): the query's own texts, and texts that stand
            for what it is about or, if spare_linked, for anything that was wanted together with that beyond chance.
        """
        queries = [np.searchsorted(self.rows, query) for query in drawn.queries]
        is_document = drawn.wanted[0] < lesson.n_documents
        columns = self.rows[self.rows < lesson.n_documents] if is_document else np.unique(np.array(drawn.wanted, np.int32))
        wanted = np.searchsorted(columns, drawn.wanted)
        about = _membership(drawn.about, lesson.n_documents)
        stands_for = lesson.stands_for[columns]
        documents = np.maximum(stands_for, 0)
        is_spared = about[:, documents].toarray() > 0
        if spare_linked:
            is_spared |= linked(about, lesson.links, documents)
        is_spared &= stands_for >= 0
        is_spared[np.arange(len(wanted)), wanted] = False
        means = _membership(queries, len(self.rows))
        means = sp.csr_matrix(means.multiply(1 / means.sum(axis=1)))
        return means, np.searchsorted(self.rows, columns), wanted, is_spared


def linked(groups: sp.csr_matrix, links: sp.csr_matrix, documents: NDArray[np.integer]) -> Flags:
    """Whether a document was wanted together with those of a group more than BEYOND_CHANCE times as often as popularity alone explains.

    In a small or busy shop everything is wanted together with everything by somebody, and no negative would be left.

    Args:
        groups: one row for each, 1 where a document is a member; (n, n_documents).
        links: how often two documents were wanted together, symmetric; (n_documents, n_documents).
        documents: those asked about, (m,).

    Returns:
        bool (n, m).
    """
    often = np.asarray(links.sum(axis=1)).ravel()
    together = (groups @ links[:, documents]).toarray()
    by_chance = np.outer(groups @ often, often[documents]) / max(float(often.sum()), 1.0)
    return np.asarray(together > BEYOND_CHANCE * by_chance)


def linked_pairs(links: sp.csr_matrix) -> sp.csr_matrix:
    """`linked` for every two documents; bool (n_documents, n_documents)."""
    often = np.asarray(links.sum(axis=1)).ravel()
    pairs = sp.coo_matrix(links)
    is_linked = pairs.data > BEYOND_CHANCE * often[pairs.row] * often[pairs.col] / max(float(often.sum()), 1.0)
    return sp.csr_matrix((is_linked[is_linked], (pairs.row[is_linked], pairs.col[is_linked])), links.shape)


def _membership(sets: Sequence[Sequence[int]] | Sequence[NDArray[np.intp]], n: int) -> sp.csr_matrix:
    """One row for each set, 1 where a member is; float32 (len(sets), n)."""
    lengths = [len(members) for members in sets]
    columns = np.concatenate([np.asarray(members, np.int64) for members in sets])
    return sp.csr_matrix((np.ones(len(columns), np.float32), columns, np.cumsum([0, *lengths])), (len(sets), n))

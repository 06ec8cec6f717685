"""What a shop's own data teach the trunk: pairs of texts, labels and a validation, all as of a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from recsys.config import Config, FinetuneConfig
from recsys.data.dataset import Dataset
from recsys.data.reviews import Reviews, read_reviews
from recsys.text.finetune import finetune
from recsys.text.lesson import Drawn, Labelled, Lesson, PairSource
from recsys.training.next_item import NextItem, draw_sample
from recsys.training.split import positive_lines
from recsys.training.stages import Progress, silent
from recsys.types import Ints, Times

SENTIMENT = "sentiment"
SENTIMENTS = ("negative", "neutral", "positive")
"""Classes of the sentiment head: 1 and 2 stars, 3 stars, 4 and 5 stars."""

MAX_REVIEWS = 200_000
"""Of more reviews so many are drawn."""
_STRETCH = 12
"""Of a longer history so many items in a row are drawn at once."""
_MIN_LABELLED = 20
"""Fewer reviews of any class than this make no sentiment head."""


@dataclass(frozen=True)
class Material:
    """What is known of a shop, in documents: its distinct item texts, by their position.

    histories: documents that one customer wanted close in time, oldest first
    held_out:  histories, oldest first, and what the customer wanted next; not in `histories`
    reviews:   texts and the document of the item that each is about
    titles:    titles, descriptions and the document of their item
    labels:    texts and their class, by the name of a classification head
    known_until: nothing at or after this time is in here, ISO 8601; None = not by time
    """

    documents: tuple[str, ...]
    histories: Sequence[Ints] = ()
    held_out: Sequence[tuple[Ints, int]] = ()
    reviews: Sequence[tuple[str, int]] = ()
    titles: Sequence[tuple[str, str, int]] = ()
    labels: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    known_until: str | None = None


@dataclass(frozen=True)
class Histories:
    """Pairs of items that one customer wanted close in time: some of them, averaged, should find another."""

    stretches: Sequence[Ints]
    window: int

    def draw(self, rng: np.random.Generator, n_texts: int) -> Drawn:
        """Customers until they have so many documents together; one query for each document of theirs."""
        queries: list[tuple[int, ...]] = []
        wanted: list[int] = []
        about: list[tuple[int, ...]] = []
        seen: set[int] = set()
        for _ in range(n_texts):  # n_texts customers at most, for two may have the same items
            stretch = self._stretch(rng)
            for at, document in enumerate(stretch):
                near = stretch[max(0, at - self.window) : at + self.window + 1]
                near = near[near != document]
                if len(near):
                    chosen = rng.choice(near, rng.integers(1, min(self.window, len(near)) + 1), replace=False)
                    queries.append(tuple(chosen.tolist()))
                    wanted.append(int(document))
                    about.append(tuple(stretch.tolist()))
            seen.update(stretch.tolist())
            if len(seen) >= n_texts:
                break
        return Drawn(tuple(queries), tuple(wanted), tuple(about))

    def _stretch(self, rng: np.random.Generator) -> Ints:
        history = self.stretches[int(rng.integers(len(self.stretches)))]
        start = int(rng.integers(max(1, len(history) - _STRETCH + 1)))
        return history[start : start + _STRETCH]


@dataclass(frozen=True)
class Matches:
    """Pairs of two texts on one document. queries, wanted: rows of texts; about: documents; int32 (n,)."""

    queries: Ints
    wanted: Ints
    about: Ints

    def draw(self, rng: np.random.Generator, n_texts: int) -> Drawn:
        """So many texts, two of each pair; no document twice."""
        drawn = rng.choice(len(self.queries), min(len(self.queries), max(1, n_texts // 2)), replace=False)
        _, first = np.unique(self.about[drawn], return_index=True)
        rows = drawn[np.sort(first)]
        queries, about = ([(number,) for number in column[rows].tolist()] for column in (self.queries, self.about))
        return Drawn(tuple(queries), tuple(self.wanted[rows].tolist()), tuple(about))


def make_lesson(material: Material, config: FinetuneConfig, rng: np.random.Generator) -> Lesson:
    """What the trunk learns from; kinds of pairs without material, or without a share of the batch, are left out."""
    texts = _Texts(material.documents)
    sources: dict[str, tuple[PairSource | None, float]] = {
        "history": (_histories(material.histories, config.window), config.history_share),
        "review": (_reviews(material.reviews, texts), config.review_share),
        "title": (_titles(material.titles, texts), config.title_share),
    }
    heads = {name: _labelled(examples, texts) for name, examples in material.labels.items()} if config.head_weight > 0 else {}
    held_out = [(past, wanted) for past, wanted in material.held_out if len(past) and wanted not in past]
    sample = draw_sample(len(material.documents), held_out, rng)
    return Lesson(
        texts=tuple(texts.rows),
        n_documents=len(material.documents),
        stands_for=np.array(texts.stands_for, np.int32),
        links=_links(material.histories, len(material.documents), config.window),
        pairs={name: (source, share) for name, (source, share) in sources.items() if source is not None and share > 0},
        heads=heads,
        sample=sample,
        validate=NextItem.of(held_out, sample, config.window).recall if held_out else None,
        known_until=material.known_until,
    )


def shop_material(known: Dataset, config: Config, labels: Mapping[str, Sequence[tuple[str, str]]], rng: np.random.Generator) -> Material:
    """What a shop knew by the end of `known`.

    Of ``finetune.n_validation`` customers, drawn at random, the last wanted item is held out. Reviews count by their own time, at most
    MAX_REVIEWS of them; stars make labels of the sentiment head.

    Args:
        labels: further texts and their class by the name of the head, for example intents; of a text that has stars, the stars count.
            Labels of one class make no head. The caller answers for their time.
    """
    written = read_reviews(known)
    documents, document_of = _documents(known, written)
    histories, held_out = _split(_wanted(known, config, document_of), config.finetune, rng)
    written = written.take(np.sort(rng.permutation(np.flatnonzero(written.texts != ""))[:MAX_REVIEWS]))
    sentiment = _sentiment(written)
    if min(sum(name == wanted for _, name in sentiment) for wanted in SENTIMENTS) < _MIN_LABELLED:
        sentiment = []
    has_stars = {text for text, _ in sentiment}
    sentiment += [(text, name) for text, name in labels.get(SENTIMENT, ()) if text not in has_stars]
    labelled = {**labels, SENTIMENT: sentiment}
    return Material(
        documents=documents,
        histories=histories,
        held_out=held_out,
        reviews=list(zip(written.texts.tolist(), document_of[written.items].tolist(), strict=True)),
        titles=_titles_of(known, document_of),
        labels={name: examples for name, examples in labelled.items() if len({class_ for _, class_ in examples}) > 1},
        known_until=_known_until(known, written),
    )


def fit_trunk(
    known: Dataset,
    config: Config,
    work: Path,
    out: Path,
    *,
    labels: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    seed: int,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune the trunk on what a shop knew by the end of `known`, and write it to `out`, which ``text.trunk`` may then name.

    The arguments and the result are those of `shop_material` and `recsys.text.finetune.finetune`.
    """
    rng = np.random.default_rng(seed)
    lesson = make_lesson(shop_material(known, config, labels or {}, rng), config.finetune, rng)
    return finetune(lesson, config.text, config.finetune, work, out, seed=seed, n_threads=config.training.n_threads, progress=progress)


class _Texts:
    """Rows of texts, each text once; the documents come first."""

    def __init__(self, documents: Sequence[str]) -> None:
        self.rows = {text: row for row, text in enumerate(documents)}
        self.n_documents = len(documents)
        self.stands_for = list(range(len(documents)))
        if len(self.rows) < len(documents):
            raise ValueError(f"{len(documents) - len(self.rows)} documents repeat another; each text may be one document only")

    def row(self, text: str, document: int = -1) -> int:
        """The row of a text, new or known."""
        row = self.rows.setdefault(text, len(self.rows))
        if row == len(self.stands_for):
            self.stands_for.append(document)
        return row


def _histories(histories: Sequence[Ints], window: int) -> Histories | None:
    stretches = [history for history in histories if len(np.unique(history)) > 1]
    return Histories(stretches, window) if stretches else None


def _reviews(reviews: Sequence[tuple[str, int]], texts: _Texts) -> Matches | None:
    """Reviews and their items; what was written about two items tells neither apart."""
    known = _about_one((text, document) for text, document in reviews if text.strip())
    rows = [(texts.row(text), document, document) for text, document in known.items()]
    return _matches([row for row in rows if row[0] != row[1]])


def _titles(titles: Sequence[tuple[str, str, int]], texts: _Texts) -> Matches | None:
    """Titles and descriptions; both must belong to one document only."""
    of_title = _about_one((title, document) for title, _, document in titles)
    of_description = _about_one((description, document) for _, description, document in titles)
    rows = [
        (texts.row(title), texts.row(description, document), document)
        for title, description, document in titles
        if title.strip() and description.strip() and title != description and title in of_title and description in of_description
    ]
    return _matches([row for row in rows if row[1] >= texts.n_documents])


def _about_one(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Texts that go with one document only, and that document."""
    found: dict[str, set[int]] = defaultdict(set)
    for text, document in pairs:
        found[text].add(document)
    return {text: next(iter(documents)) for text, documents in found.items() if len(documents) == 1}


def _matches(rows: Sequence[tuple[int, int, int]]) -> Matches | None:
    if not rows:
        return None
    queries, wanted, about = np.array(sorted(set(rows)), np.int32).T
    return Matches(queries, wanted, about)


def _labelled(examples: Sequence[tuple[str, str]], texts: _Texts) -> Labelled:
    classes = tuple(sorted({name for _, name in examples}))
    rows = np.array([texts.row(text) for text, _ in examples], np.int32)
    return Labelled(rows, np.array([classes.index(name) for _, name in examples], np.int32), classes)


def _links(histories: Sequence[Ints], n: int, window: int) -> sp.csr_matrix:
    """How often two documents were wanted close in time, symmetric, zeros on the diagonal; float32 (n, n)."""
    one, other = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for history in histories:
        for apart in range(1, min(window, len(history) - 1) + 1):
            one.append(history[:-apart])
            other.append(history[apart:])
    rows, columns = np.concatenate(one), np.concatenate(other)
    is_pair = rows != columns
    half = sp.csr_matrix((np.ones(int(is_pair.sum()), np.float32), (rows[is_pair], columns[is_pair])), (n, n))
    return sp.csr_matrix(half + half.T)


def _wanted(known: Dataset, config: Config, document_of: Ints) -> list[tuple[Ints, Times]]:
    """Documents and times of each customer's positive lines, oldest first."""
    lines = positive_lines(known, config)
    lines = lines.take(lines.customers >= 0)
    order = np.argsort(lines.customers, kind="stable")
    documents = document_of[lines.items[order]].astype(np.int32)
    bounds = np.flatnonzero(np.diff(lines.customers[order])) + 1
    return list(zip(np.split(documents, bounds), np.split(lines.times[order], bounds), strict=True))


def _split(
    wanted: Sequence[tuple[Ints, Times]], config: FinetuneConfig, rng: np.random.Generator
) -> tuple[list[Ints], list[tuple[Ints, int]]]:
    """Histories without long breaks, and what is held out of those drawn for validation: the last item, where it is new to them."""
    is_fit = [len(documents) > 2 and documents[-1] not in documents[:-1] for documents, _ in wanted]
    drawn = set(rng.permutation(np.flatnonzero(is_fit))[: config.n_validation].tolist())
    histories, held_out = [], []
    for customer, (documents, times) in enumerate(wanted):
        n = len(documents) - (customer in drawn)
        if customer in drawn:
            held_out.append((documents[:n], int(documents[n])))
        breaks = np.flatnonzero(np.diff(times[:n]) > np.timedelta64(round(config.window_days * 86_400), "s")) + 1
        histories += np.split(documents[:n], breaks)
    return [history for history in map(_without_repeats, histories) if len(history) > 1], held_out


def _without_repeats(history: Ints) -> Ints:
    """A history with the same document in a row once."""
    return history[np.append(True, history[1:] != history[:-1])] if len(history) else history


def _titles_of(known: Dataset, document_of: Ints) -> list[tuple[str, str, int]]:
    if "description" not in known.items.column_names:
        return []
    columns = zip(known.items["title"].to_pylist(), known.items["description"].to_pylist(), document_of.tolist(), strict=True)
    return [(title, description, document) for title, description, document in columns if title and description and document >= 0]


def _documents(known: Dataset, written: Reviews) -> tuple[tuple[str, ...], Ints]:
    """The distinct texts of items that were there by the end of the view, and the document of each item, -1 = it was not there yet."""
    is_there = known.existing()
    is_there[known.interactions.items] = True
    is_there[written.items] = True
    documents, places = np.unique(np.array(known.item_texts(), object)[is_there], return_inverse=True)
    document_of = np.full(len(is_there), -1, np.int32)
    document_of[is_there] = places
    return tuple(documents.tolist()), document_of


def _known_until(known: Dataset, written: Reviews) -> str:
    """The end of the view; of one without an end, just after the last line and review."""
    if not np.isnat(known.end):
        return str(known.end)
    return str(np.concatenate([known.interactions.times[-1:], written.times[-1:]]).max() + np.timedelta64(1, "us"))


def _sentiment(written: Reviews) -> list[tuple[str, str]]:
    """Texts and what their stars say."""
    rated = written.take(np.isfinite(written.stars))
    names = [SENTIMENTS[(stars > 2) + (stars > 3)] for stars in rated.stars.tolist()]
    return list(zip(rated.texts.tolist(), names, strict=True))

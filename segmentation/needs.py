"""What customers care about: aspects with polarity, discovered per shop, and found again in any text.

A text mentions an aspect in the clauses that have a wording of it, or that a probe finds it in; how the customer finds it is the sentiment
of those clauses. Aspects and wordings come from a language model, which also teaches the probes, or from the nouns that opinions are of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.clauses import clauses
from segmentation.entities import Gazetteer, Phrases
from segmentation.llm.aspects import Aspects, Opinion, Opinions, merge_aspects
from segmentation.llm.usage import Usage
from segmentation.probes import BOTH, Probe
from segmentation.purchases import Floats
from segmentation.terms import find_terms
from segmentation.text_heads import Eye, TextHead, sureness
from segmentation.words import UNSPACED, public_pieces, tokens

MAX_TERMS = 120
CLAUSES_PER_TERM, CLAUSES_TO_COMPARE = 30, 600
MIN_OPINION = 0.85
"""A term is an aspect where the clauses that have it are at least this sure of their sentiment, against all clauses."""
SAME_THING = 0.65
"""Cosine of two wordings of one aspect."""
BLIND, MIN_BLIND = 0.98, 0.25
"""An encoder that gives so great a part of the words of a script an equal embedding does not know the script."""
MENTIONED = 0.5


@dataclass(frozen=True)
class Mentions:
    """Texts that speak of an aspect, as parallel arrays of length n; once for each text and aspect, sorted by text.

    texts: rows of the texts that were read; aspects: rows of the model's; int64
    polarity: mean over the clauses of P(positive) - P(negative), in [-1, 1]; float32
    sureness: mean over the clauses, in [0, 1]; float32
    """

    texts: NDArray[np.int64]
    aspects: NDArray[np.int64]
    polarity: Floats
    sureness: Floats


@dataclass(frozen=True)
class NeedsModel:
    """Finds aspects in texts.

    aspects:  names; wordings: words of an aspect, as people write them, to its name
    probes:   by name of the aspect, of "absent" and "mentioned", for aspects that probes find; their wordings are not looked for
    """

    aspects: tuple[str, ...]
    wordings: Mapping[str, str]
    probes: Mapping[str, Probe]

    def read(self, texts: Sequence[str], sentiment: TextHead, eye: Eye) -> Mentions:
        """What the texts mention, and how they find it."""
        pieces = [clauses(text) for text in texts]
        owners = np.repeat(np.arange(len(texts)), [len(own) for own in pieces])
        read = [clause for own in pieces for clause in own]
        at, aspects = self._mentioned(read, eye)
        score, sure = polarity([read[row] for row in at.tolist()], sentiment, eye)
        return _per_text(owners[at], aspects, score, sure, len(self.aspects))

    def _mentioned(self, read: Sequence[str], eye: Eye) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Clauses and the aspects that they mention, each pair once."""
        row_of = {name: row for row, name in enumerate(self.aspects)}
        phrases = Phrases({tuple(tokens(words)): name for words, name in self.wordings.items() if name not in self.probes})
        found = {(row, row_of[name]) for row, clause in enumerate(read) for _, name, _ in phrases.find(clause)}
        for name, probe in self.probes.items():
            likely = probe.read(read, eye.encode(read) if probe.by == BOTH else None)[:, 1]
            found |= {(row, row_of[name]) for row in np.flatnonzero(likely >= MENTIONED).tolist()}
        pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


def polarity(texts: Sequence[str], sentiment: TextHead, eye: Eye) -> tuple[Floats, Floats]:
    """P(positive) - P(negative) of texts that could as well be either, and how sure that is; (n,) each."""
    even = sentiment.even(sentiment.read(texts, eye))
    column = {name: even[:, row] for row, name in enumerate(sentiment.classes)}
    nothing = np.zeros(len(texts), np.float32)
    return column.get("positive", nothing) - column.get("negative", nothing), sureness(even)


def find_needs(
    texts: Sequence[str],
    sentiment: TextHead,
    eye: Eye,
    *,
    min_texts: int,
    max_aspects: int,
    gazetteer: Gazetteer | None,
    rng: np.random.Generator,
) -> NeedsModel:
    """Aspects without a language model: terms of at least `min_texts` of the texts that opinions are of, put together by meaning.

    Personal data is not looked at: names of aspects are for everybody to read.
    """
    pieces = [[clause for piece in public_pieces(text) for clause in clauses(piece)] for text in texts]
    terms = find_terms(pieces, min_texts, gazetteer)[:MAX_TERMS]
    phrases = Phrases({term.run: term.wording for term in terms})
    said = [(wording, clause) for own in pieces for clause in own for _, wording, _ in phrases.find(clause)]
    opinionated = _opinionated([said[row] for row in rng.permutation(len(said)).tolist()], pieces, sentiment, eye, rng)
    by_text = tuple(
        tuple(
            Opinion(wording, 1) for wording in sorted({wording for clause in own for _, wording, _ in phrases.find(clause)} & opinionated)
        )
        for own in pieces
    )
    return needs_of(merged(by_text, eye, min_texts, max_aspects), {})


def _opinionated(
    said: Sequence[tuple[str, str]], pieces: Sequence[Sequence[str]], sentiment: TextHead, eye: Eye, rng: np.random.Generator
) -> set[str]:
    """The wordings whose clauses are about as sure of their sentiment as any.

    said: wordings with a clause that has them, in an order without meaning
    """
    having: defaultdict[str, list[str]] = defaultdict(list)
    for wording, clause in said:
        if len(having[wording]) < CLAUSES_PER_TERM:
            having[wording].append(clause)
    everything = sorted({clause for own in pieces for clause in own})
    compared = [everything[row] for row in rng.permutation(len(everything))[:CLAUSES_TO_COMPARE].tolist()]
    _, sure = polarity([*compared, *(clause for own in having.values() for clause in own)], sentiment, eye)
    usual, parts = sure[: len(compared)].mean(), np.split(sure[len(compared) :], np.cumsum([len(own) for own in having.values()]))
    return {wording for wording, part in zip(having, parts, strict=False) if part.mean() >= MIN_OPINION * usual}


def merged(by_text: tuple[tuple[Opinion, ...], ...], eye: Eye, min_texts: int, max_aspects: int) -> Aspects:
    """One name for wordings of one meaning, so far as the encoder knows their script."""
    found = Opinions(by_text, np.zeros(len(by_text), np.int8), Usage())
    return merge_aspects(found, _Knowing(eye), min_texts=min_texts, max_aspects=max_aspects, same=SAME_THING)


def needs_of(aspects: Aspects, probes: Mapping[str, Probe]) -> NeedsModel:
    """The model of merged aspects; two names that differ in spaces or marks only are one."""
    first: dict[str, str] = {}
    for name in aspects.names:
        first.setdefault("".join(filter(str.isalnum, name)), name)
    same = {name: first["".join(filter(str.isalnum, name))] for name in aspects.names}
    wordings = {wording: same[name] for wording, name in aspects.synonyms.items()}
    return NeedsModel(tuple(first.values()), wordings, {name: probe for name, probe in probes.items() if name in first.values()})


class _Knowing:
    """Keeps words apart that an encoder reads as one because it does not know their script."""

    def __init__(self, eye: Eye) -> None:
        self._eye = eye

    def encode(self, texts: Sequence[str]) -> Floats:
        vectors = self._eye.encode(texts)
        unspaced = [row for row, text in enumerate(texts) if any(letter > UNSPACED[0] for letter in text)]
        alike = vectors[unspaced] @ vectors[unspaced].T - 2 * np.eye(len(unspaced), dtype=np.float32)
        if not len(unspaced) or (alike.max(axis=1) >= BLIND).mean() < MIN_BLIND:
            return vectors
        apart = np.zeros((len(texts), vectors.shape[1] + len(unspaced)), np.float32)
        apart[:, : vectors.shape[1]] = vectors
        apart[unspaced] = 0.0
        apart[unspaced, vectors.shape[1] + np.arange(len(unspaced))] = 1.0
        return apart


def _per_text(owners: NDArray[np.int64], aspects: NDArray[np.int64], score: Floats, sure: Floats, n_aspects: int) -> Mentions:
    """Means over the clauses of each text and aspect."""
    pairs, of, counts = np.unique(owners * max(n_aspects, 1) + aspects, return_inverse=True, return_counts=True)
    means = [np.asarray(np.bincount(of, values, len(pairs)) / counts, np.float32) for values in (score, sure)]
    return Mentions(pairs // max(n_aspects, 1), pairs % max(n_aspects, 1), *means)

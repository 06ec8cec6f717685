"""What an encoder promises: the default trunk, in every precision."""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import pytest

from recsys.config import TextConfig
from recsys.text.encoder import TextEncoder, load_encoder

Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]

PRECISIONS: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 5e-3, "int8": 1e-2}
"""How far the neighbours in a batch may move a coordinate."""

TEXTS = [
    "acoustic guitar with steel strings",
    "a set of strings for the guitar",
    "frozen pizza with cheese",
    "deep frozen cheese pizza, family size, ready in twelve minutes",
    "dog food",
    "",
]


@cache
def encoder_of(precision: Precision, batch_size: int = 4) -> TextEncoder:
    return load_encoder(TextConfig(precision=precision, batch_size=batch_size), n_threads=1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_embeddings_have_unit_length(precision: Precision) -> None:
    embeddings = encoder_of(precision).encode(TEXTS)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(TEXTS), encoder_of(precision).dim)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_texts_of_one_meaning_are_near_and_others_far(precision: Precision) -> None:
    embeddings = encoder_of(precision).encode(TEXTS)
    cosines = embeddings @ embeddings.T
    assert cosines[0, 1] > 0.6
    assert cosines[2, 3] > 0.6
    assert np.abs(cosines[:2, 2:5]).max() < 0.3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_texts_give_equal_rows_in_the_order_asked(precision: Precision) -> None:
    once, more = encoder_of(precision).encode(TEXTS), encoder_of(precision).encode([*TEXTS[::-1], *TEXTS])
    np.testing.assert_array_equal(more, np.concatenate([once[::-1], once]))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_neighbours_in_a_batch_hardly_matter(precision: Precision, batch_size: int) -> None:
    one, other = encoder_of(precision).encode(TEXTS), encoder_of(precision, batch_size).encode(TEXTS)
    np.testing.assert_allclose(one, other, atol=PRECISIONS[precision])


@pytest.mark.parametrize(("precision", "cosine"), [("bfloat16", 0.999), ("int8", 0.98)])
def test_precisions_agree(precision: Precision, cosine: float) -> None:
    exact, rounded = encoder_of("float32").encode(TEXTS), encoder_of(precision).encode(TEXTS)
    assert (exact * rounded).sum(axis=1).min() > cosine
    assert encoder_of("float32").fingerprint != encoder_of(precision).fingerprint


def test_two_loads_give_equal_bits_and_fingerprints() -> None:
    again = load_encoder(TextConfig(precision="float32", batch_size=4), n_threads=1)
    np.testing.assert_array_equal(again.encode(TEXTS), encoder_of("float32").encode(TEXTS))
    assert again.fingerprint == encoder_of("float32", 2).fingerprint


def test_no_texts_give_no_rows() -> None:
    assert encoder_of("float32").encode([]).shape == (0, 384)


ODD = [
    "",
    " \n\t",
    "\x00",
    "\x00hat\x00",
    "\x01\x02\x1b\x7f\x9f",
    "\u200b\u200e\ufeff",
    "😀😀",
    "👩‍👩‍👧",
    "مرحبا",
    "שלום",
    "吉他琴弦",
    "\ud800",
    "\udfff",
]
ODD += [
    "<p></p>",
    "<p>a&nbsp;b</p>",
    "<" * 1000,
    "long " * 200_000,
    "x" * 1_000_000,
    "<p>" * 350_000,
    "弦" * 350_000,
    "e" + "\u0301" * 1000,
]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_odd_texts_get_an_embedding(precision: Precision) -> None:
    embeddings = encoder_of(precision).encode(ODD)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_html_is_read_as_the_words_it_shows() -> None:
    marked, plain, love, heart = encoder_of("float32").encode(
        ['<p class="x">Steel&nbsp;strings</p><br/>for <b>guitars</b>', "Steel strings for guitars", "I <3 it", "I it"]
    )
    np.testing.assert_allclose(marked, plain, atol=1e-5)
    assert np.abs(love - heart).max() > 0.01


def test_only_the_first_tokens_are_read() -> None:
    encoder = load_encoder(TextConfig(precision="float32", max_tokens=5), n_threads=1)
    long, short = encoder.encode(["dog food for cats", "dog food for"])
    np.testing.assert_allclose(long, short, atol=1e-5)

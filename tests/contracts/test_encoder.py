"""What an encoder promises: the default trunk, in both precisions."""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import pytest

from recsys.config import TextConfig
from recsys.text.encoder import TextEncoder, load_encoder

Precision: TypeAlias = Literal["float32", "bfloat16"]

PRECISIONS: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 5e-3}
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


def test_precisions_agree() -> None:
    exact, rounded = encoder_of("float32").encode(TEXTS), encoder_of("bfloat16").encode(TEXTS)
    assert (exact * rounded).sum(axis=1).min() > 0.999
    assert encoder_of("float32").fingerprint != encoder_of("bfloat16").fingerprint


def test_two_loads_give_equal_bits_and_fingerprints() -> None:
    again = load_encoder(TextConfig(precision="float32", batch_size=4), n_threads=1)
    np.testing.assert_array_equal(again.encode(TEXTS), encoder_of("float32").encode(TEXTS))
    assert again.fingerprint == encoder_of("float32", 2).fingerprint


def test_no_texts_give_no_rows() -> None:
    assert encoder_of("float32").encode([]).shape == (0, 384)


@pytest.mark.parametrize(
    "text", ["", " \n", "\x00", "😀😀", "مرحبا", "吉他琴弦", "<p>a&nbsp;b</p>", "\ud800", "long " * 100_000, "x" * 100_000]
)
def test_odd_texts_get_an_embedding(text: str) -> None:
    (embedding,) = encoder_of("float32").encode([text])
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_only_the_first_tokens_are_read() -> None:
    encoder = load_encoder(TextConfig(precision="float32", max_tokens=5), n_threads=1)
    long, short = encoder.encode(["dog food for cats", "dog food for"])
    np.testing.assert_allclose(long, short, atol=1e-5)

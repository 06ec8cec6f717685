"""Whitening on embeddings whose axes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.text.whitening import SHRINKAGE, TEXTS_PER_DIMENSION, WhitenedEncoder, Whitening
from recsys.types import Floats

DIM = 8


def narrow(n: int = 4_000, seed: int = 0) -> Floats:
    """Unit vectors that all point much the same way, and of whose axes the first varies most."""
    rng = np.random.default_rng(seed)
    drawn = 3.0 * np.eye(DIM)[0] + rng.normal(size=(n, DIM)) * np.geomspace(1, 0.05, DIM)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def fitted(embeddings: Floats) -> Whitening:
    whitening = Whitening.fit(embeddings)
    assert whitening is not None
    return whitening


def test_axes_vary_alike_afterwards_and_have_nothing_in_common() -> None:
    embeddings = narrow()
    found = fitted(embeddings).apply(embeddings)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(found.mean(axis=0)).max() < 0.2 < np.abs(embeddings.mean(axis=0)).max()
    assert found.std(axis=0).max() < 2 * found.std(axis=0).min()
    assert embeddings.std(axis=0).max() > 10 * embeddings.std(axis=0).min()


def test_variances_are_divided_by_the_shrunk_ones() -> None:
    embeddings = narrow()
    whitening = fitted(embeddings)
    covariance = np.cov(embeddings.T, bias=True)
    shrunk = covariance + SHRINKAGE * np.trace(covariance) / DIM * np.eye(DIM)
    np.testing.assert_allclose(whitening.axes @ shrunk @ whitening.axes, np.eye(DIM), atol=1e-3)


def test_other_texts_find_items_in_the_order_in_which_they_did_before() -> None:
    embeddings = narrow()
    whitening = fitted(embeddings)
    wish = np.eye(DIM, dtype=np.float32)[3:4]
    before, after = (wish @ (embeddings - whitening.centre).T)[0], (whitening.facing(wish) @ whitening.apply(embeddings).T)[0]
    norms = np.linalg.norm((embeddings - whitening.centre) @ whitening.axes, axis=1)
    np.testing.assert_allclose(after * norms / np.linalg.norm(after * norms), before / np.linalg.norm(before), atol=1e-4)
    np.testing.assert_array_equal(whitening.facing(np.zeros((2, DIM), np.float32)), 0)


def test_the_centre_itself_stays_a_unit_vector() -> None:
    whitening = fitted(narrow())
    centre = np.asarray(whitening.centre / np.linalg.norm(whitening.centre), np.float32)[None]
    assert np.isfinite(replace(whitening, centre=centre[0]).apply(centre)).all()
    np.testing.assert_array_equal(replace(whitening, centre=centre[0]).apply(centre), centre)


@pytest.mark.parametrize(
    "embeddings", [narrow(TEXTS_PER_DIMENSION * DIM - 1), np.tile(narrow(1), (100, 1)), np.empty((0, DIM), np.float32)]
)
def test_too_few_texts_or_texts_that_are_all_alike_are_left_as_they_are(embeddings: Floats) -> None:
    assert Whitening.fit(embeddings) is None


def test_what_was_saved_is_loaded_bit_by_bit(tmp_path: Path) -> None:
    whitening = fitted(narrow())
    whitening.save(tmp_path / "whitening")
    loaded = Whitening.load(tmp_path / "whitening")
    np.testing.assert_array_equal(loaded.apply(narrow(10)), whitening.apply(narrow(10)))


def test_a_text_is_read_as_the_items_were() -> None:
    class Known:
        def encode(self, texts: Sequence[str]) -> Floats:
            return np.asarray([narrow(1, int(text))[0] for text in texts], np.float32).reshape(-1, DIM)

    whitening = fitted(narrow())
    reader = WhitenedEncoder(Known(), whitening)
    np.testing.assert_array_equal(reader.encode(["3", "5"]), whitening.apply(Known().encode(["3", "5"])))
    assert reader.encode([]).shape == (0, DIM)

"""The measures of the text benchmark, on vectors worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.text import K, _among_best, _by_time, _hits, whitened


def test_whitening_takes_off_what_all_have_in_common_and_evens_the_axes() -> None:
    rng = np.random.default_rng(0)
    skewed = (rng.normal(size=(4000, 4)) * [10, 1, 0.1, 3] + [50, 0, 0, 0]).astype(np.float32)
    found = whitened(skewed)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(found.T), np.eye(4) / 4, atol=0.03)


def test_equals_share_their_mean_rank_and_what_is_left_out_is_never_found() -> None:
    scores = np.zeros((3, 2 * K + 2), np.float32)
    scores[1, : K + 1] = 1
    left_out = np.zeros(scores.shape, np.bool_)
    left_out[2, 1] = True
    assert _among_best(scores, np.array([0, 0, 1], np.int32), left_out).tolist() == [False, True, False]


def test_the_newest_item_weighs_most() -> None:
    """Two clouds of items; the customer came from the one to the other."""
    embeddings = np.repeat(np.eye(2, dtype=np.float32), 30, axis=0)
    embeddings[:, 1] += np.tile(np.linspace(0, 1e-3, 30), 2).astype(np.float32)
    sequence = np.array([0, 1, 30, 59], np.int32)
    assert _hits(embeddings, [sequence], -1, decay=0.4).tolist() == [True]
    assert _hits(embeddings, [sequence], -1, decay=1.0).tolist() == [False]


def test_later_texts_that_were_written_before_are_left_out() -> None:
    early, late = _by_time(pd.DataFrame({"text": ["a", "b", "c", "d", "a"] * 2}))
    assert (len(early), late.text.tolist()) == (8, [])
    early, late = _by_time(pd.DataFrame({"text": [*"abcdefgh", "a", "z"]}))
    assert (len(early), late.text.tolist()) == (8, ["z"])

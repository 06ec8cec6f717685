"""EASE against its own closed form."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import NOW, asked, history, interactions

from recsys.errors import ConfigError
from recsys.source_config import EaseConfig
from recsys.training import ease
from recsys.training.ease import fit_ease

LINES = interactions(
    (4, 0, 0), (3, 0, 1), (3, 1, 0), (2, 1, 1), (2, 2, 2), (1, 2, 3), (1, 3, 1), (1, 3, 3), (1, -1, 2), (1, -1, 0), (5, 0, 0)
)
"""Item 4 was never bought; what guests buy says nothing of who buys what."""
TAKEN = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]], float)


def config(**settings: float) -> EaseConfig:
    return EaseConfig(kind="ease", **{"l2": 0.5, "n_neighbours": 10, **settings})


def test_links_are_the_closed_form_where_it_is_positive() -> None:
    inverse = np.linalg.inv(TAKEN.T @ TAKEN + 0.5 * np.eye(4))
    expected = inverse / -np.diag(inverse)
    np.fill_diagonal(expected, 0)
    source = fit_ease(LINES, 5, NOW, config(), n_threads=1)
    everything = np.arange(5, dtype=np.int32)
    links = source.links(everything, everything)  # (item, seed)
    np.testing.assert_allclose(links[:4, :4].T, np.maximum(expected, 0), atol=1e-5)
    assert not links[4].any()


def test_what_goes_with_what_was_bought_is_proposed() -> None:
    source = fit_ease(LINES, 5, NOW, config(), n_threads=1)
    proposed = source.retrieve(asked(history((1, 0))), 3, np.array([False, True, True, True, True]))
    assert proposed.items[0] == 1


def test_only_the_strongest_links_are_kept() -> None:
    source = fit_ease(LINES, 5, NOW, config(n_neighbours=1), n_threads=1)
    assert (np.diff(source.offsets) <= 1).all()


def test_a_catalogue_too_large_for_a_dense_matrix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MAX_ITEMS", 3)
    with pytest.raises(ConfigError, match="at most 3 bought items, this shop has 4; use 'covisit'"):
        fit_ease(LINES, 5, NOW, config(), n_threads=1)

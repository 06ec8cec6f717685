from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import NOW, asked, history, interactions
from scipy import sparse

from recsys.candidates.factors import FactorSource
from recsys.source_config import AlsConfig, IndexConfig
from recsys.text.index import VectorIndex
from recsys.training.als import fit_als
from recsys.types import Floats, Interactions

PLAIN = AlsConfig(kind="als", factors=4, iterations=8, regularization=0.1, alpha=3.0, half_life_days=None)
ALL = np.ones(13, np.bool_)


def parity_lines() -> Interactions:
    """Customers 0 to 11 bought items of their own parity among items 0 to 11, but customer 0 never item 10; nobody bought item 12."""
    pairs = [(c, i) for c in range(12) for i in range(12) if c % 2 == i % 2 and (c, i) != (0, 10)]
    return interactions(*((10, c, i) for c, i in pairs))


@pytest.fixture(scope="module")
def source() -> FactorSource:
    return fit_als(parity_lines(), 12, 13, NOW, PLAIN, IndexConfig(), seed=3, n_threads=1)


def test_the_held_out_item_comes_first_among_what_is_new(source: FactorSource) -> None:
    past = history(*((10, i) for i in (0, 2, 4, 6, 8)))
    eligible = ALL.copy()
    eligible[[0, 2, 4, 6, 8]] = False
    assert source.retrieve(asked(past), 1, eligible).items.tolist() == [10]


def test_items_nobody_bought_have_no_factors_and_are_never_proposed(source: FactorSource) -> None:
    assert not source.factors[12].any()
    assert 12 not in source.retrieve(asked(history((1, 0))), 13, ALL).items


def test_a_history_without_factors_gives_nothing(source: FactorSource) -> None:
    assert len(source.retrieve(asked(history((1, 12))), 5, ALL)) == 0


def test_a_guest_is_folded_in_from_what_they_look_at(source: FactorSource) -> None:
    found = source.retrieve(asked(context=[1]), 6, ALL).items
    assert (found % 2 == 1).all()


def test_what_is_proposed_rests_on_the_item_without_which_its_score_falls_most(source: FactorSource) -> None:
    past = history((1, 0), (2, 3), (5, 2), (9, 5))
    items = np.arange(12, dtype=np.int32)
    because = source.because(asked(past), items)
    assert (because != items).all()
    assert (because[[4, 6, 8, 10]] % 2 == 0).all()  # of its own parity
    assert (because[[7, 9, 11]] % 2 == 1).all()
    assert source.because(asked(history((1, 4))), items)[4] == -1  # only itself
    assert source.because(asked(), items).tolist() == [-1] * 12


def test_the_parts_of_the_items_of_a_history_add_up_to_the_score(source: FactorSource) -> None:
    resolved = asked(history((1, 0), (2, 3), (5, 2)), context=[7])
    system = source._system(resolved)
    assert system is not None
    parts = source.factors @ np.linalg.solve(system.left, system.right)
    np.testing.assert_allclose(parts.sum(axis=1), source.scores(resolved, np.arange(13, dtype=np.int32)), rtol=1e-4, atol=1e-6)
    assert system.items.tolist() == [0, 2, 3, 7]


def test_fold_in_is_the_least_squares_of_the_published_equation() -> None:
    factors: Floats = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    config = AlsConfig(kind="als", factors=3, regularization=0.7, alpha=2.0, half_life_days=10)
    source = FactorSource(factors, VectorIndex.build(factors, IndexConfig()), config)
    past = history((0, 1), (10, 1), (10, 4))
    confidence = np.ones(6)
    confidence[[1, 4, 5]] = 2.0 * 1.5, 2.0 * 0.5, 2.0 * 2.0
    preference = np.isin(np.arange(6), [1, 4, 5]).astype(float)
    wide = factors.astype(np.float64)
    expected = np.linalg.inv(wide.T @ np.diag(confidence) @ wide + 0.7 * np.eye(3)) @ wide.T @ (confidence * preference)
    found = source.customer_factors(asked(past, context=[5]))
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    scores = source.retrieve(asked(past, context=[5]), 6, np.ones(6, np.bool_))
    np.testing.assert_allclose(scores.scores, np.sort(wide @ expected)[::-1], rtol=1e-4)


def test_fold_in_agrees_with_the_library_that_fitted_the_items(source: FactorSource) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=4, regularization=0.1, alpha=3.0, num_threads=1)
    model.item_factors = source.factors
    bought = sparse.csr_matrix((np.array([2, 1], np.float32), ([0, 0], [4, 7])), shape=(1, 13))
    theirs = model.recalculate_user(0, bought)
    ours = source.customer_factors(asked(history((5, 4), (6, 4), (7, 7))))
    assert ours is not None
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


def test_nan_factors_raise_rather_than_rank_at_random(source: FactorSource) -> None:
    broken = replace(source, factors=np.full_like(source.factors, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        broken.retrieve(asked(history((1, 0))), 5, ALL)

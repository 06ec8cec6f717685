from __future__ import annotations

import numpy as np
import pytest

from segmentation.trees import Trees, fit_trees


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(1500, 2))
    columns[::10, 1] = np.nan
    return columns, columns[:, 0] + 0.3 * rng.normal(size=1500)


def test_boolean_labels_give_log_odds_and_numbers_give_numbers() -> None:
    columns, numbers = data()
    yes = fit_trees(columns, numbers > 1, ("a", "b"), (), seed=1, n_threads=1).raw(columns)
    assert (1 / (1 + np.exp(-yes))).mean() == pytest.approx((numbers > 1).mean(), abs=0.02)
    least_squares = fit_trees(columns, numbers, ("a", "b"), (), seed=1, n_threads=1).raw(columns)
    assert np.corrcoef(least_squares, numbers)[0, 1] > 0.9


def test_rising_columns_never_lower_the_answer() -> None:
    columns, numbers = data()
    trees = fit_trees(columns, -numbers, ("a", "b"), {"a"}, seed=1, n_threads=1)
    line = np.stack([np.linspace(-3, 3, 50), np.zeros(50)], axis=1)
    assert (np.diff(trees.raw(line)) >= 0).all()


def test_equal_seeds_give_equal_trees_and_a_text_gives_the_same_answers() -> None:
    columns, numbers = data()
    first, again = (fit_trees(columns, numbers, ("a", "b"), (), seed=3, n_threads=1) for _ in range(2))
    assert first.model == again.model
    assert first.names == ("a", "b")
    np.testing.assert_array_equal(Trees(first.model).raw(columns), first.raw(columns))
    assert first.raw(columns[:0]).shape == (0,)


def test_what_is_no_model_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a LightGBM model"):
        Trees("tree\nnonsense").raw(np.zeros((1, 2)))

"""What a ranker promises."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import RankerConfig
from recsys.errors import BundleError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Floats

N_QUERIES, N_ROWS, NAMES = 60, 20, ("liked", "noise", "liked by nobody")
CONFIG = RankerConfig(train_on="home", n_trees=12, n_leaves=7, min_data_in_leaf=5)


def features(n: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(n, len(NAMES))).astype(np.float32)
    rows[::7, 1] = np.nan
    return rows


def fit(seed: int = 3) -> LambdaMart:
    """Wanted are rows whose first feature is high, and nothing whose third is."""
    rows = features(N_QUERIES * N_ROWS, 1)
    wanted = (rows[:, 0] > 0.8) & (rows[:, 2] < 1)
    recalls = np.empty((0, 1), np.float32)
    sizes = np.full(N_QUERIES, N_ROWS, np.int32)
    unshown = np.zeros(len(rows), np.int32)
    table = Rows(rows, wanted.astype(np.uint8), unshown, sizes, recalls, recalls, np.arange(N_QUERIES, dtype=np.int32), sizes)
    return fit_lambdamart([table], NAMES, CONFIG, seed=seed, n_threads=1, progress=silent)


@pytest.fixture(scope="module")
def ranker() -> LambdaMart:
    return fit()


def test_what_is_wanted_scores_higher(ranker: LambdaMart) -> None:
    good, plain, vetoed = ranker.score(np.array([[2, 0, 0], [-1, 0, 0], [2, 0, 2]], np.float32))
    assert good > plain
    assert good > vetoed


def test_contributions_add_up_to_the_score(ranker: LambdaMart) -> None:
    rows = features(40, 2)
    parts = ranker.contributions(rows)
    mean = ranker.score(rows) - parts.sum(axis=1)
    assert parts.shape == rows.shape
    np.testing.assert_allclose(mean, mean[0], atol=1e-6)
    assert ranker.contributions(rows[:0]).shape == (0, len(NAMES))


def test_what_no_tree_uses_contributes_nothing(ranker: LambdaMart) -> None:
    wanted, vetoed = ranker.contributions(np.array([[2, 0, 0], [2, 0, 2]], np.float32))
    assert wanted[0] > 0.1 > abs(wanted[1])
    assert vetoed[2] < wanted[2]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 50))
def test_a_score_does_not_depend_on_its_neighbours(ranker: LambdaMart, seed: int, n: int) -> None:
    rows = features(n, seed)
    together = ranker.score(rows)
    assert together.dtype == np.float32
    assert together.shape == (n,)
    assert np.isfinite(together).all()
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_array_equal(ranker.score(rows[order]), together[order])
    np.testing.assert_array_equal(ranker.score(rows[:1]), together[:1])


def test_save_and_load_change_no_score(ranker: LambdaMart, tmp_path: Path) -> None:
    ranker.save(tmp_path / "ranker")
    np.testing.assert_array_equal(LambdaMart.load(tmp_path / "ranker").score(features(50, 5)), ranker.score(features(50, 5)))


def test_equal_seeds_give_equal_models(ranker: LambdaMart) -> None:
    assert fit().model == ranker.model
    assert fit(seed=4).model != ranker.model


def test_all_missing_and_none_at_all_are_no_error(ranker: LambdaMart) -> None:
    assert np.isfinite(ranker.score(np.full((2, len(NAMES)), np.nan, np.float32))).all()
    assert ranker.score(np.empty((0, len(NAMES)), np.float32)).shape == (0,)


@pytest.mark.parametrize("shape", [(5, 2), (5, 4), (3,)])
def test_rows_of_another_width_are_refused(ranker: LambdaMart, shape: tuple[int, ...]) -> None:
    for ask in (ranker.score, ranker.contributions):
        with pytest.raises(ValueError, match="reads 3 features"):
            ask(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layout", ["transposed", "strided", "float64"])
def test_the_memory_layout_of_the_rows_does_not_matter(ranker: LambdaMart, layout: str) -> None:
    rows = features(30, 6)
    laid_out = {"transposed": np.asfortranarray(rows), "strided": np.repeat(rows, 2, axis=0)[::2], "float64": rows.astype(np.float64)}
    np.testing.assert_array_equal(ranker.score(laid_out[layout]), ranker.score(rows))  # type: ignore[arg-type]


def test_threads_may_share_a_ranker(ranker: LambdaMart) -> None:
    rows = [features(40, seed) for seed in range(8)]
    expected = [ranker.score(part) for part in rows]
    found: dict[int, bool] = {}

    def work(number: int) -> None:
        found[number] = all((ranker.score(rows[number]) == expected[number]).all() for _ in range(30))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(len(rows)), True)


def test_a_missing_or_damaged_model_is_named(ranker: LambdaMart, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.txt"):
        LambdaMart.load(tmp_path)
    (tmp_path / "model.txt").write_text("no trees here")
    with pytest.raises(BundleError, match=r"model\.txt is not a LightGBM model"):
        LambdaMart.load(tmp_path)

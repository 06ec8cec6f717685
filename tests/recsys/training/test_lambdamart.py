"""The ranker learns what can be learned, the same for equal seeds."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.config import RankerConfig
from recsys.errors import DataError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Floats

NAMES = ("noise", "telling", "missing")
CONFIG = RankerConfig(train_on="home", n_trees=25, min_data_in_leaf=5, feature_fraction=1.0)


def rows_of(seed: int, n_queries: int = 60, size: int = 12) -> Rows:
    """Wanted are the rows whose `telling` is above 0.75."""
    rng = np.random.default_rng(seed)
    telling = rng.random((n_queries, size))
    labels = (telling > 0.75).astype(np.uint8)
    features = np.stack([rng.random((n_queries, size)), telling, np.full((n_queries, size), np.nan)], axis=2)
    nothing: Floats = np.empty((0, 1), np.float32)
    return Rows(features.reshape(-1, 3).astype(np.float32), labels.ravel(), np.full(n_queries, size, np.int32), nothing, nothing)


def fit(*rows: Rows, seed: int = 1, config: RankerConfig = CONFIG) -> LambdaMart:
    return fit_lambdamart(rows, NAMES, config, seed=seed, n_threads=1, progress=silent)


def test_a_rule_that_one_feature_tells_is_learned() -> None:
    ranker, unseen = fit(rows_of(1), rows_of(2)), rows_of(3)
    scores, wanted = ranker.score(unseen.features), unseen.labels == 1
    assert (scores[wanted][:, None] > scores[~wanted]).mean() > 0.97


def test_equal_seeds_give_the_same_model_and_others_another() -> None:
    config = CONFIG.model_copy(update={"feature_fraction": 0.4})
    rows = rows_of(1)
    assert fit(rows, config=config).model == fit(rows, config=config).model != fit(rows, seed=2, config=config).model


def test_progress_counts_the_trees() -> None:
    told: list[tuple[int, int | None]] = []
    fit_lambdamart([rows_of(1)], NAMES, CONFIG, seed=1, n_threads=1, progress=lambda done, total, what: told.append((done, total)))
    assert told == [(tree, 25) for tree in range(1, 26)]


def test_nothing_to_learn_from_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="no query of the ranking periods has a wanted item among its candidates"):
        fit(rows_of(1, n_queries=0))

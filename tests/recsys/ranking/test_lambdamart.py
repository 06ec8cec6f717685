from __future__ import annotations

import gc

import numpy as np
import pytest

from recsys.bundle import Bundle
from recsys.ranking.lambdamart import LambdaMart


@pytest.fixture(scope="module")
def model(loaded_bundle: Bundle) -> str:
    ranker = loaded_bundle.rankers["home"]
    assert isinstance(ranker, LambdaMart)
    return ranker.model


def test_scores_are_those_of_the_library_s_own_package(model: str) -> None:
    import lightgbm

    ranker = LambdaMart(model)
    rows = np.random.default_rng(0).normal(size=(60, ranker.n_features)).astype(np.float32)
    rows[rows > 1.5] = np.nan
    theirs = lightgbm.Booster(model_str=model).predict(rows, raw_score=True)
    np.testing.assert_allclose(ranker.score(rows), theirs, rtol=1e-6)


def test_contributions_are_those_of_the_library_s_own_package(model: str) -> None:
    import lightgbm

    ranker = LambdaMart(model)
    rows = np.random.default_rng(1).normal(size=(20, ranker.n_features)).astype(np.float32)
    rows[rows > 1.5] = np.nan
    theirs = lightgbm.Booster(model_str=model).predict(rows, pred_contrib=True)
    np.testing.assert_allclose(ranker.contributions(rows), theirs[:, :-1], atol=1e-9)


def test_the_bundle_s_ranker_reads_the_bundle_s_features(loaded_bundle: Bundle) -> None:
    for ranker in loaded_bundle.rankers.values():
        assert isinstance(ranker, LambdaMart)
        assert ranker.n_features == len(loaded_bundle.features.names)


def test_rankers_come_and_go(model: str) -> None:
    expected = LambdaMart(model).score(np.zeros((1, LambdaMart(model).n_features), np.float32))
    for _ in range(20):
        ranker = LambdaMart(model)
        assert ranker.score(np.zeros((1, ranker.n_features), np.float32)) == expected
        del ranker
    gc.collect()

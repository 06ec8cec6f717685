"""The ranker learns what can be learned, the same for equal seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.config import RankerConfig
from recsys.errors import DataError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.lambdamart import HELD_OUT_SHARE, fit_lambdamart, held_out_queries
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Floats, Ints

NAMES = ("noise", "telling", "missing")
CONFIG = RankerConfig(train_on="home", n_trees=25, min_data_in_leaf=5, feature_fraction=1.0)


def rows_of(seed: int, n_queries: int = 60, size: int = 12, customers: Ints | None = None) -> Rows:
    """Wanted are the rows whose `telling` is above 0.75."""
    rng = np.random.default_rng(seed)
    telling = rng.random((n_queries, size))
    labels = (telling > 0.75).astype(np.uint8)
    features = np.stack([rng.random((n_queries, size)), telling, np.full((n_queries, size), np.nan)], axis=2)
    nothing: Floats = np.empty((0, 1), np.float32)
    sizes = np.full(n_queries, size, np.int32)
    asked = np.arange(n_queries, dtype=np.int32) if customers is None else customers
    unshown = np.zeros(labels.size, np.int32)
    return Rows(features.reshape(-1, 3).astype(np.float32), labels.ravel(), unshown, sizes, nothing, nothing, asked, sizes)


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


PATIENT = CONFIG.model_copy(update={"n_trees": 400, "patience": 5})


def test_patience_ends_the_boosting_where_held_out_customers_gain_no_more() -> None:
    rows = rows_of(1, n_queries=400)
    patient = fit(rows, config=PATIENT)
    n_trees = patient.model.count("Tree=")
    assert 1 <= n_trees < 100
    assert fit(rows, config=CONFIG.model_copy(update={"n_trees": n_trees})).model == patient.model, "it is done again on all rows"
    assert fit(rows, config=PATIENT).model == patient.model


@pytest.mark.parametrize("guests", [0, 40])
def test_no_customer_is_on_both_sides_and_no_guest_is_held_out(guests: int) -> None:
    customers = np.concatenate([np.full(guests, -1), np.repeat(np.arange(400), 2)]).astype(np.int32)
    held_out = held_out_queries(customers, HELD_OUT_SHARE, np.random.default_rng(0))
    assert not held_out[customers < 0].any()
    assert held_out[customers >= 0].sum() == 2 * 60
    assert not set(customers[held_out].tolist()) & set(customers[~held_out].tolist())


def test_with_few_customers_to_hold_out_all_trees_are_boosted() -> None:
    rows = rows_of(1, n_queries=300)
    config = CONFIG.model_copy(update={"patience": 1})
    assert fit(rows, config=config).model == fit(rows).model


def test_a_monotone_feature_never_lowers_the_score() -> None:
    """Labels fall with `telling` here, and a constraint that says the opposite leaves nothing to learn from it."""
    rows = rows_of(1, n_queries=200)
    turned = replace(rows, labels=(rows.features[:, 1] < 0.25).astype(np.uint8))
    rising = fit(turned, config=CONFIG.model_copy(update={"monotone": {"telling": 1}}))
    grid = np.column_stack([np.full(50, 0.5), np.linspace(0, 1, 50), np.full(50, np.nan)]).astype(np.float32)
    assert (np.diff(rising.score(grid)) >= 0).all()
    assert (np.diff(fit(turned).score(grid)) < 0).any()

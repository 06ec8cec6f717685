"""The search over a ranker's settings: judged by customers it does not learn from, and the same whether it was stopped or not."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from recsys.config import RankerConfig, parse_config
from recsys.errors import ConfigError, DataError
from recsys.training.rows import Rows
from recsys.training.search import Found, Judges, Search, as_toml, ndcg_of_rows
from recsys.training.stages import silent
from recsys.types import Floats, Ints

NAMES = ("telling", "noise")
POOR = RankerConfig(train_on="home", n_trees=1, n_leaves=2, min_data_in_leaf=400, learning_rate=0.01, feature_fraction=1.0)
"""Settings that anything betters."""
SIZE = 10


def rows_of(seed: int, customers: Ints) -> Rows:
    """Wanted is what a bump of the first feature says, most of the time."""
    rng = np.random.default_rng(seed)
    features = rng.random((len(customers), SIZE, 2)).astype(np.float32)
    wanted = rng.random((len(customers), SIZE)) < np.where(np.abs(features[:, :, 0] - 0.5) < 0.15, 0.7, 0.05)
    wanted[:, 0] |= ~wanted.any(axis=1)
    nothing: Floats = np.empty((0, 1), np.float32)
    sizes = np.full(len(customers), SIZE, np.int32)
    labels = wanted.ravel().astype(np.uint8)
    return Rows(features.reshape(-1, 2), labels, np.zeros(len(labels), np.int32), sizes, nothing, nothing, customers, sizes)


def everybody(n: int = 400) -> Ints:
    return np.arange(n, dtype=np.int32)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges.of([rows_of(1, everybody()), rows_of(2, everybody())], np.random.default_rng(0))


def search(judges: Judges, trials: Path, n_trials: int, seed: int = 3, present: RankerConfig = POOR, limit: int | None = None) -> Found:
    """limit: trials after which the time is over."""
    asked = iter(range(1, 999))
    run = Search("home", NAMES, present, seed, 1, silent).run
    return run(judges, trials, n_trials, lambda: limit is not None and next(asked) > limit)


def test_no_customer_is_on_two_sides_and_the_last_period_alone_judges(judges: Judges) -> None:
    parts = [set(part.customers.tolist()) for part in (judges.known, judges.choosing, judges.telling)]
    assert [len(part) for part in parts] == [240, 80, 80]
    assert set.union(*parts) == set(range(400))
    early, late = rows_of(1, everybody()), rows_of(2, everybody())
    assert set(map(bytes, judges.known.features)) <= set(map(bytes, early.features))
    for part in (judges.choosing, judges.telling):
        assert set(map(bytes, part.features)) <= set(map(bytes, late.features))


def test_with_one_period_the_others_of_it_are_learned_from() -> None:
    made = Judges.of([rows_of(1, everybody())], np.random.default_rng(0))
    assert [len(part.sizes) for part in (made.known, made.choosing, made.telling)] == [240, 80, 80]


def test_guests_neither_teach_nor_judge() -> None:
    guests = np.concatenate([np.full(100, -1, np.int32), everybody()])
    made = Judges.of([rows_of(1, guests)], np.random.default_rng(0))
    assert all((part.customers >= 0).all() for part in (made.known, made.choosing, made.telling))


def test_too_few_customers_are_an_error_that_says_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"200 customers of the last ranking period .* needs at least 250"):
        Judges.of([rows_of(1, everybody(200))], np.random.default_rng(0))


def test_better_settings_are_found_and_told_by_customers_who_chose_nothing(judges: Judges, tmp_path: Path) -> None:
    found = search(judges, tmp_path / "trials.sqlite", 8)
    assert found.n_trials == 8
    assert len(found.present) == len(found.best) == len(found.customers) == 80
    assert found.best.mean() > found.present.mean() + 0.1
    assert found.config.train_on == "home"


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(judges: Judges, tmp_path: Path) -> None:
    at_once = search(judges, tmp_path / "one.sqlite", 5)
    stopped = search(judges, tmp_path / "two.sqlite", 5, limit=2)
    assert stopped.n_trials == 3
    again = search(judges, tmp_path / "two.sqlite", 5)
    assert (again.n_trials, again.config) == (at_once.n_trials, at_once.config)
    np.testing.assert_array_equal(again.best, at_once.best)


def test_a_trial_that_was_killed_is_done_again(judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, trials = search(judges, tmp_path / "one.sqlite", 3), tmp_path / "two.sqlite"
    with monkeypatch.context() as broken:
        broken.setattr(Search, "_ndcg", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            search(judges, trials, 3)
    again = search(judges, trials, 3)
    assert (again.n_trials, again.config) == (3, whole.config)


def test_other_rows_seeds_and_present_settings_are_other_searches(judges: Judges, tmp_path: Path) -> None:
    trials = tmp_path / "trials.sqlite"
    assert search(judges, trials, 2).n_trials == 2
    for other in ({"seed": 4}, {"present": POOR.model_copy(update={"l2": 6.0})}):
        assert search(judges, trials, 9, limit=0, **other).n_trials == 1  # type: ignore[arg-type]  # one of them at a time
    others = Judges.of([rows_of(5, everybody())], np.random.default_rng(0))
    assert search(others, trials, 9, limit=0).n_trials == 1
    assert search(judges, trials, 9, limit=0).n_trials == 2


def test_where_optuna_is_missing_the_error_says_how_to_get_it(judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"needs optuna .*pip install 'segrec\[tune\]'"):
        search(judges, tmp_path / "trials.sqlite", 2)


def test_ndcg_by_hand() -> None:
    rows = rows_of(1, everybody(2))
    labels = np.zeros(2 * SIZE, np.uint8)
    labels[[1, SIZE + 0, SIZE + 2]] = 1  # of the first query the second, of the other the first and third are wanted
    rows = Rows(rows.features, labels, rows.positions, rows.sizes, rows.recalls, rows.later, rows.customers, rows.n_candidates)
    scores = np.tile(-np.arange(SIZE, dtype=np.float32), 2)
    second, third = 1 / np.log2(3), 0.5
    assert ndcg_of_rows(scores, rows).tolist() == pytest.approx([second, (1 + third) / (1 + second)])


def test_settings_are_written_as_the_configuration_reads_them() -> None:
    config = POOR.model_copy(update={"monotone": {"item_rate_7d": 1}, "l2": 2.5, "patience": None})
    entry = tomllib.loads(as_toml("home", config))
    assert parse_config(entry, "test").rankers["home"] == config
    assert "negatives_per_query" not in entry["rankers"]["home"]

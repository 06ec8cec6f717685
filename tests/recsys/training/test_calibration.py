"""What a ranker's scores mean: probabilities that hold for customers it never saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from world import DAY, END

from recsys.bundle import Bundle
from recsys.config import Config, RankerConfig
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.ranking.calibration import Calibration
from recsys.ranking.lambdamart import LambdaMart
from recsys.training import calibration, lambdamart
from recsys.training.calibration import LEAST_WANTED, candidates_per_row, fit_calibration
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.pipeline import train
from recsys.training.rows import Rows
from recsys.training.stages import silent
from recsys.types import Floats, Query, aware

CONFIG = RankerConfig(train_on="home", n_trees=30, feature_fraction=1.0)
N_CANDIDATES, N_NEGATIVES, N_IDLE = 40, 12, 5


def shop(seed: int, n_customers: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Features (n_customers, n_candidates, 2) and what was bought: the first feature tells, and half of the customers buy nothing."""
    rng = np.random.default_rng(seed)
    features = rng.random((n_customers, N_CANDIDATES, 2)).astype(np.float32)
    buys = rng.random((n_customers, 1)) < 0.5
    return features, (rng.random((n_customers, N_CANDIDATES)) < 0.02 + 0.9 * features[:, :, 0] ** 4) & buys


def sampled(features: Floats, bought: NDArray[np.bool_]) -> Rows:
    """As training keeps them: all that was bought and some others; of those who bought nothing a few."""
    rng = np.random.default_rng(0)
    kept: dict[bool, list[tuple[Floats, NDArray[np.bool_], int]]] = {True: [], False: []}
    for customer, (of_customer, wanted) in enumerate(zip(features, bought, strict=True)):
        teaches = bool(wanted.any())
        others = rng.choice(np.flatnonzero(~wanted), N_NEGATIVES if teaches else N_IDLE, replace=False)
        rows = np.sort(np.concatenate([np.flatnonzero(wanted), others]))
        kept[teaches].append((of_customer[rows], wanted[rows], customer))
    parts = kept[True] + kept[False]
    nothing: Floats = np.empty((0, 1), np.float32)
    sizes = np.array([len(wanted) for _, wanted, _ in parts], np.int32)
    labels = np.concatenate([wanted for _, wanted, _ in parts]).astype(np.uint8)
    customers = np.array([customer for *_, customer in parts], np.int32)
    n_candidates = np.full(len(parts), N_CANDIDATES, np.int32)
    table = np.concatenate([part for part, *_ in parts])
    return Rows(table, labels, np.zeros(len(labels), np.int32), sizes, nothing, nothing, customers, n_candidates)


def fit(rows: Rows, config: RankerConfig = CONFIG) -> LambdaMart:
    return fit_lambdamart([rows], ("telling", "noise"), config, seed=1, n_threads=1, progress=silent)


def expected_calibration_error(probabilities: Floats, bought: NDArray[np.bool_], n_bins: int = 10) -> float:
    """Mean distance of what is said from what happens, in bins of equally many rows."""
    bins = np.array_split(np.argsort(probabilities, kind="stable"), n_bins)
    return float(np.mean([abs(probabilities[rows].mean() - bought[rows].mean()) for rows in bins]))


@pytest.fixture(scope="module")
def learned() -> tuple[Rows, LambdaMart]:
    rows = sampled(*shop(1, 1500))
    return rows, fit(rows)


@pytest.mark.parametrize("patience", [None, 8])
def test_probabilities_hold_for_customers_that_were_not_trained_on(learned: tuple[Rows, LambdaMart], patience: int | None) -> None:
    rows, ranker = learned
    if patience is not None:
        ranker = fit(rows, CONFIG.model_copy(update={"patience": patience}))
    features, bought = shop(2, 800)
    probabilities = ranker.probabilities(ranker.score(features.reshape(-1, 2)))
    assert expected_calibration_error(probabilities, bought.ravel()) < 0.02
    assert probabilities.max() > 0.3, "the likeliest are told apart"


def test_counting_sampled_rows_as_all_there_were_would_promise_far_too_much(learned: tuple[Rows, LambdaMart]) -> None:
    rows, ranker = learned
    scores = ranker.score(rows.features)
    naive = fit_calibration(scores, rows.labels, np.ones(len(scores), np.float32))
    assert naive is not None
    features, bought = shop(2, 800)
    said = naive.of(ranker.score(features.reshape(-1, 2)))
    assert expected_calibration_error(said, bought.ravel()) > 0.05


def test_a_probability_never_falls_as_the_score_rises(learned: tuple[Rows, LambdaMart]) -> None:
    _, ranker = learned
    scores = np.sort(ranker.score(shop(3, 100)[0].reshape(-1, 2)))
    assert (np.diff(ranker.probabilities(scores)) >= 0).all()
    assert np.isnan(ranker.probabilities(np.array([np.nan], np.float32))).all()


def test_rows_that_the_trees_learned_by_heart_say_nothing() -> None:
    """Nothing can be known here, yet such trees order the rows they learned from perfectly."""
    rng = np.random.default_rng(5)
    features, bought = rng.random((700, N_CANDIDATES, 2)).astype(np.float32), rng.random((700, N_CANDIDATES)) < 0.1
    by_heart = CONFIG.model_copy(update={"n_leaves": 400, "min_data_in_leaf": 1, "l2": 0.0, "learning_rate": 0.3})
    rows = sampled(features, bought)
    ranker = fit(rows, by_heart)
    scores = ranker.score(rows.features)
    assert scores[rows.labels == 1].mean() > scores[rows.labels == 0].mean() + 2
    assert ranker.probabilities(np.array([scores.max()], np.float32))[0] < 0.2


@pytest.mark.parametrize("patience", [None, 8])
def test_switched_off_the_trees_are_the_same_and_nobody_can_tell(learned: tuple[Rows, LambdaMart], patience: int | None) -> None:
    rows, _ = learned
    config = CONFIG.model_copy(update={"patience": patience})
    plain = fit(rows, config.model_copy(update={"calibrate": False}))
    assert plain.calibration is None
    assert plain.model == fit(rows, config).model


def test_with_few_customers_nobody_can_tell() -> None:
    ranker = fit(sampled(*shop(1, 200)))
    assert ranker.calibration is None
    assert np.isnan(ranker.probabilities(np.zeros(3, np.float32))).all()


def test_a_row_stands_for_those_that_were_not_drawn() -> None:
    nothing: Floats = np.empty((0, 1), np.float32)
    labels, sizes = np.array([1, 0, 0, 0, 0], np.uint8), np.array([3, 2], np.int32)
    table = np.zeros((5, 1), np.float32)
    rows = Rows(table, labels, np.zeros(5, np.int32), sizes, nothing, nothing, np.zeros(2, np.int32), np.array([11, 8], np.int32))
    assert candidates_per_row(rows).tolist() == [1, 5, 5, 4, 4]


SCORES = st.lists(st.floats(-3, 3, width=16), min_size=LEAST_WANTED, max_size=3 * LEAST_WANTED)


@settings(max_examples=60, deadline=None)
@given(scores=SCORES, seed=st.integers(0, 99), share=st.floats(0.3, 1))
def test_whatever_the_rows_probabilities_are_probabilities_that_rise(scores: list[float], seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random(len(scores)) < share).astype(np.uint8)
    weights = np.where(labels == 1, 1, rng.integers(1, 50, len(scores))).astype(np.float32)
    found = fit_calibration(np.array(scores, np.float32), labels, weights)
    assert (found is None) == (labels.sum() < LEAST_WANTED)
    if found is not None:
        said = found.of(np.linspace(-4, 4, 200, dtype=np.float32))
        assert (np.diff(said) >= 0).all()
        assert ((said > 0) & (said < 1)).all()


def test_lines_go_between_knots_and_level_beyond_them(tmp_path: Path) -> None:
    two_knots = Calibration(np.array([0.0, 1.0]), np.array([0.1, 0.3]))
    assert two_knots.of(np.array([-9, 0, 0.5, 1, 9], np.float32)).tolist() == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])
    two_knots.save(tmp_path / "c.npy")
    assert Calibration.load(tmp_path / "c.npy").of(np.array([0.5], np.float32)).tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(
    ("scores", "probabilities"), [([1, 0], [0.1, 0.2]), ([0, 1], [0.2, 0.1]), ([0], [0.0]), ([0], [1.0]), ([], []), ([0, 1], [0.5])]
)
def test_what_is_no_calibration_is_refused(scores: list[float], probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"rise|above 0|one at least"):
        Calibration(np.array(scores, np.float64), np.array(probabilities))


def test_a_ranker_without_a_calibration_file_has_none_and_a_damaged_one_is_an_error(
    learned: tuple[Rows, LambdaMart], tmp_path: Path
) -> None:
    _, ranker = learned
    ranker.save(tmp_path)
    scores = np.linspace(-2, 2, 9, dtype=np.float32)
    np.testing.assert_array_equal(LambdaMart.load(tmp_path).probabilities(scores), ranker.probabilities(scores))
    (tmp_path / "calibration.npy").write_bytes(b"no")
    with pytest.raises(BundleError, match=r"calibration\.npy is not a calibration"):
        LambdaMart.load(tmp_path)
    (tmp_path / "calibration.npy").unlink()
    assert LambdaMart.load(tmp_path).calibration is None


def test_a_trained_bundle_tells_probabilities(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small shop has too few customers for that, so here a tenth of those that it takes are enough."""
    work = shutil.copytree(small_work, tmp_path / "work")  # what is fitted with so few stays out of the shared one
    monkeypatch.setattr(lambdamart, "LEAST_HELD_OUT", 5)
    monkeypatch.setattr(calibration, "LEAST_WANTED", 5)
    monkeypatch.setattr(calibration, "WANTED_PER_BIN", 5)
    home = small_config.rankers["home"].model_copy(update={"n_trees": 33})
    config = small_config.model_copy(update={"rankers": {**small_config.rankers, "home": home}})
    path = train(small_dataset, config, END - 28 * DAY, tmp_path / "bundles", work=work)
    bundle = Bundle.load(path)
    assert "rankers/home/calibration.npy" in bundle.manifest["files"]
    answer = Engine(bundle).recommend(Query(k=10, time=aware(END - 28 * DAY), customer_id="c4"), Snapshot.of(bundle))
    told = [item.probability or 0.0 for item in answer.items]
    assert all(0 < chance < 1 for chance in told)
    assert told == sorted(told, reverse=True)
    assert told[0] > told[-1]

"""The measures of the value benchmark by hand, and the whole command on two small invented shops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from buyers import world

from benchmarks.value import (
    Outcome,
    Prediction,
    brier_skill,
    calibration_error,
    decile_error,
    main,
    outcome_and_predictions,
    redraws,
    reliability,
    share_in_top,
    trials,
)
from segmentation.purchases import DAY


def test_decile_error_by_hand() -> None:
    spent = np.arange(1.0, 11.0)
    assert decile_error(spent, spent) == 0
    assert decile_error(spent, 2 * spent) == pytest.approx(1)
    assert decile_error(spent, np.where(spent == 10, 20.0, spent)) == pytest.approx(0.1)
    assert np.isnan(decile_error(np.zeros(20), np.ones(20)))
    assert decile_error(np.repeat([0.0, 4.0], 10), np.repeat([1.0, 3.0], 10)) == pytest.approx(0.25)  # groups without spend are left out


def test_share_in_top_by_hand() -> None:
    spent = np.array([0.0, 70, 0, 0, 20, 0, 0, 10, 0, 0])
    assert share_in_top(spent, spent, 0.1) == pytest.approx(0.7)
    assert share_in_top(spent, spent, 0.2) == pytest.approx(0.9)
    assert share_in_top(spent, -spent, 0.2) == 0


def test_calibration_and_skill_by_hand() -> None:
    happened, said = np.array([True, False, True, True]), np.array([0.5, 0.5, 1.0, 0.9])
    assert reliability(happened, said) == [(0.5, 0.5, 2), (pytest.approx(0.95), 1.0, 2)]
    assert calibration_error(happened, said) == pytest.approx(0.025)
    assert brier_skill(happened, happened.astype(float)) == 1
    assert brier_skill(happened, np.full(4, 0.75)) == 0
    assert brier_skill(happened, np.full(4, 0.25)) == pytest.approx(1 - 0.4375 / 0.1875)


def test_customers_are_drawn_with_all_of_their_cuts() -> None:
    customers = np.array([0, 1, 2, 0, 1])
    spent = np.array([1.0, 2, 3, 10, 20])
    outcome = Outcome(customers, spent, spent > 2)
    draws = list(redraws(outcome, {"it": Prediction(spent, spent)}, 20))
    assert len(draws) == 20
    for drawn, said in draws:
        np.testing.assert_array_equal(drawn.spent, said["it"].value)
        assert sum(drawn.spent == 1) == sum(drawn.spent == 10)
        assert len(np.unique(drawn.customers)) <= 3
        assert sum(drawn.spent <= 3) == 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in the two formats, from invented buyers at the times of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    bought = world(300, seed=5).purchases
    days = (bought.times - bought.times.min()) / DAY

    def times(start: str, scale: float) -> np.ndarray:
        return np.datetime64(start, "us") + (days * scale * 86_400_000_000).astype("timedelta64[us]")

    music = {
        "customer_id": np.char.mod("%05d", bought.customers),
        "date": times("1997-01-01", 1.35).astype("datetime64[D]").astype("datetime64[us]"),
        "number_of_cds": 1,
        "dollar_value": bought.values.astype(np.float64),
    }
    pd.DataFrame(music).to_parquet(folder / "cdnow_master.parquet")
    cancelled = np.arange(len(bought)) % 50 == 0
    gifts = {
        "InvoiceNo": np.where(cancelled, "C", "") + np.char.mod("%d", bought.baskets),
        "StockCode": np.array(["tea", "coffee", "cake", "none"])[bought.topics],
        "InvoiceDate": times("2010-12-01", 0.94),
        "Quantity": np.where(cancelled, -1, 1),
        "UnitPrice": bought.values.astype(np.float64),
        "CustomerID": bought.customers + 1,
    }
    pd.DataFrame(gifts).to_parquet(folder / "uci_online_retail.parquet")
    return folder


def test_the_command_prints_both_tables_and_draws_the_reliability(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "reliability.png"
    monkeypatch.setattr("sys.argv", ["value", "--data", str(data), "--resamples", "3", "--picture", str(picture)])
    main()
    printed = capsys.readouterr().out
    for words in (
        "CDNOW, 39 weeks after 39",
        "six cuts",
        "difference to BG/NBD + Gamma-Gamma",
        "decile error",
        "Brier skill",
        "RFM logistic",
    ):
        assert words in printed
    assert picture.stat().st_size > 1000


def test_nobody_is_predicted_from_what_came_later(data: Path) -> None:
    trial = next(trials(data))
    cut = trial.cuts[0]
    outcome, said = outcome_and_predictions(trial)
    assert outcome.spent.sum() > 0
    later = trial.purchases.times >= cut
    rewritten = trial.purchases.take(~later | (trial.purchases.customers % 2 == 0))
    other, again = outcome_and_predictions(type(trial)(trial.name, rewritten, trial.n_customers, trial.horizon_days, trial.cuts))
    assert other.spent.sum() < outcome.spent.sum()
    for name, prediction in said.items():
        np.testing.assert_array_equal(prediction.value, again[name].value)
        np.testing.assert_array_equal(prediction.returns, again[name].returns)


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"cdnow_master.parquet is missing; .* --data"):
        next(trials(tmp_path))

"""The publishers' own figures of campaign `all` of the Open Bandit sample, from the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.off_policy import main, open_bandit, relative_error, taken
from benchmarks.open_bandit import (
    PUBLISHED,
    QUICK_START,
    as_chances,
    decisions_of_sample,
    find_obp,
    published_interval,
    resample,
    sample_of_all,
    thompson_sampler,
)
from offline_eval.off_policy.estimators import estimators, ips
from offline_eval.off_policy.evaluation import evaluate_policy


@pytest.fixture(scope="module")
def obp() -> Path:
    found = find_obp()
    if found is None:
        pytest.skip("campaign `all` comes with the wheel obp 0.4.1, which is not installed (pip install --no-deps obp==0.4.1)")
    return found


def test_the_folder_of_the_data_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["off_policy", "open-bandit", "--obp", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--data" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"openbandit_random\.parquet is missing"):
        open_bandit(tmp_path, tmp_path)


def test_the_quick_start_is_met_to_its_last_digit(obp: Path) -> None:
    log = sample_of_all(obp, "random")
    contributions = ips(decisions_of_sample(log, as_chances(log, thompson_sampler(obp, 100_000)))).columns[:, 0]
    low, high = published_interval(contributions)
    assert contributions.mean() == pytest.approx(QUICK_START["IPS"], abs=5e-7)
    assert (low, high) == pytest.approx((QUICK_START["low"], QUICK_START["high"]), abs=5e-7)


def test_errors_over_the_published_resamples_are_the_published_ones(obp: Path) -> None:
    log, truth = sample_of_all(obp, "random"), sample_of_all(obp, "bts")["reward"].mean()
    decisions = decisions_of_sample(log, as_chances(log, thompson_sampler(obp, 1_000_000)))
    drawn = [estimators(taken(decisions, resample(len(log), number))) for number in range(30)]
    for name in ("IPS", "SNIPS"):
        errors = [relative_error(terms, name, truth) for terms in drawn]
        assert (np.mean(errors), np.std(errors, ddof=1)) == pytest.approx(PUBLISHED[name], abs=5e-7)


def test_nothing_is_concluded_from_a_few_clicks(obp: Path) -> None:
    log = sample_of_all(obp, "random")
    decisions = decisions_of_sample(log, as_chances(log, thompson_sampler(obp, 100_000)))
    result = evaluate_policy(decisions, np.random.default_rng(0), n_resamples=200)
    assert result.chosen.word == "refused"
    assert "effective rewards, fewer than" in result.chosen.refusals[0]

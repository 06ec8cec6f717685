"""`segrec eval off-policy` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segrec import cli


def off_policy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["segrec", "eval", "off-policy", *map(str, arguments), "--resamples", "200"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code is None or isinstance(left.value.code, int)
    return left.value.code or 0, *capsys.readouterr()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Lists of two places, each drawn evenly from tea and fuel; tea earns more, and new customers earn more."""
    rng = np.random.default_rng(0)
    n = 3_000
    tea, new = rng.random(n) < 0.5, np.repeat(rng.random(n // 2) < 0.5, 2)
    table = pd.DataFrame(
        {
            "request_id": np.repeat(np.arange(n // 2), 2),
            "customer_id": [f"c{number}" for number in np.repeat(np.arange(n // 6), 6)],
            "item_id": np.where(tea, "tea", "fuel"),
            "position": np.tile([1, 2], n // 2),
            "event_time": np.datetime64("2024-05-01") + np.arange(n).astype("timedelta64[m]"),
            "propensity": 0.5,
            "reward": (rng.random(n) < 0.1 + 0.4 * tea + 0.2 * new).astype(float),
            "stage": np.where(new, "new", "loyal"),
            "policy": np.where(tea, 0.8, 0.2),
        }
    )
    table.to_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    rows = [("new", "tea", 0.8), ("new", "fuel", 0.2), ("loyal", "tea", 0.8), ("loyal", "fuel", 0.2)]
    pd.DataFrame(rows, columns=["stage", "item_id", "probability"]).to_csv(tmp_path / "policy.csv", index=False)
    return tmp_path / "policy.csv"


def test_a_policy_in_a_column_is_evaluated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path) -> None:
    code, out, _ = off_policy(monkeypatch, capsys, log)
    assert code == 0
    assert "3,000 decisions of 500 units" in out
    assert "better: the policy earns more than the log's policy (SNIPS:" in " ".join(out.split())
    assert "DR" not in out


def test_with_a_policy_table_a_model_is_fitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path, policy: Path
) -> None:
    code, out, _ = off_policy(monkeypatch, capsys, log, "--policy-table", policy, "--features", "stage", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["chosen"], found["verdict"], found["unsupported"]) == ("DR", "better", 0)
    values = {estimate["estimator"]: estimate["value"] for estimate in found["estimates"]}
    assert values["DR"]["low"] < 0.1 + 0.4 * 0.8 + 0.1 < values["DR"]["high"]
    assert values["DM"] is None
    assert found["about"]["from"] == "2024-05-01T00:00:00+00:00"
    assert sorted(Path(name).name for name in found["about"]["files"]) == ["log.parquet", "policy.csv"]
    assert found["about"]["limits"]["min_effective_size"] == 100


def test_predictions_may_come_with_the_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path) -> None:
    pd.read_parquet(log).assign(q=0.4, v=0.5).to_parquet(log)
    code, out, _ = off_policy(monkeypatch, capsys, log, "--predicted", "q,v")
    assert code == 0
    assert "better: the policy earns more than the log's policy (DR:" in " ".join(out.split())


def test_whole_lists_are_evaluated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path) -> None:
    code, out, _ = off_policy(monkeypatch, capsys, log, "--lists", "independent")
    assert code == 0
    assert "reward per list, 1,500 lists of 500 units" in out
    assert "PI" in out


def test_a_log_that_cannot_tell_gives_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path, policy: Path
) -> None:
    policy.write_text("item_id,probability\ntea,0.7\ncoffee,0.3\n")
    code, out, _ = off_policy(monkeypatch, capsys, log, "--policy-table", policy)
    assert code == 0
    assert "gives 30.0% of its probability to actions that the log never shows" in " ".join(out.split())
    assert out.count("refused") == 9
    insisted = off_policy(monkeypatch, capsys, log, "--policy-table", policy, "--insist")[1]
    assert "±" not in out
    assert "±" in insisted


def test_a_bad_row_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path) -> None:
    table = pd.read_parquet(log)
    table.loc[6, "propensity"] = 1.5
    table.to_parquet(log)
    code, _, err = off_policy(monkeypatch, capsys, log)
    assert code == 1
    assert err.startswith("segrec: row 7 (unit c1, ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lists", "drawn"], "none of marginal, conditional, independent"),
        (["--features", "stage"], "--features needs --policy-table"),
        (["--predicted", "q"], "--predicted takes two columns"),
        (["--lists", "marginal", "--threshold", "-5"], "--lists takes no --threshold"),
        (["--lists", "marginal", "--predicted", "no,such"], "--lists takes no --threshold, --features or --predicted"),
        (["--lists", "marginal", "--features", "stage"], "--lists takes no"),
        (["--threshold", "0"], "--threshold must be above 0"),
    ],
)
def test_wrong_usage_says_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Path, arguments: list[str], words: str
) -> None:
    code, _, err = off_policy(monkeypatch, capsys, log, *arguments)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())

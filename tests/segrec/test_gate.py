"""`segrec eval gate` as a release script meets it: exit codes, and what stands on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from segrec import cli

POLICY = '[[protect]]\nmetric = "NDCG@5"\nslices = ["overall", "tier"]\nrelative_margin = 0.05\n'
Gate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Runs `segrec eval ARGS`; gives exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["segrec", "eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A policy, and results of 400 customers: old, as good, and worse in the high tier."""
    rng = np.random.default_rng(0)
    old, tiers = rng.uniform(0.2, 0.8, 400), np.array(["low", "high"] * 200)
    noise = rng.normal(0, 0.05, 400)
    columns = {"old": old, "equal": old + noise, "worse": (old + noise - 0.15 * (tiers == "high")).clip(0)}
    paths = {name: tmp_path / f"{name}.parquet" for name in columns}
    for name, values in columns.items():
        pq.write_table(pa.table({"customer_id": [f"c{n}" for n in range(400)], "slice:tier": tiers, "NDCG@5": values}), paths[name])
    paths["policy"] = tmp_path / "gate.toml"
    paths["policy"].write_text(POLICY)
    return paths


def test_what_is_as_good_passes(segrec: Gate, files: dict[str, Path]) -> None:
    code, out, _ = segrec("gate", files["equal"], files["old"], "--policy", files["policy"])
    assert code == 0
    assert "PASS" in out


def test_what_is_worse_fails_and_is_named(segrec: Gate, files: dict[str, Path]) -> None:
    code, out, _ = segrec("gate", files["worse"], files["old"], "--policy", files["policy"])
    assert code == 1
    assert "NDCG@5 of 'tier=high' in 'all purchases' is worse" in out
    assert "tier=low' in" not in out

    code, out, _ = segrec("gate", files["worse"], files["old"], "--policy", files["policy"], "--json")
    content = json.loads(out)
    assert (code, content["passed"]) == (1, False)
    assert [verdict["slice"] for verdict in content["verdicts"] if verdict["state"] == "worse"] == ["overall", "tier=high"]
    assert content["policy"]["correction"] == "max-t"
    assert (content["new"], content["old"]) == (str(files["worse"]), str(files["old"]))
    about = content["about"]
    assert about["command"].startswith(f"segrec eval gate {files['worse']} {files['old']}")
    assert (about["seed"], about["data"], about["bundles"], set(about["files"])) == (
        7,
        None,
        {},
        {str(files[n]) for n in ("worse", "old", "policy")},
    )


def _edited(path: Path, **columns: object) -> Path:
    table = pq.read_table(path)
    edited = path.with_stem(f"{path.stem}-edited")
    pq.write_table(pa.table({name: table[name] for name in table.column_names if name not in columns} | columns), edited)
    return edited


def test_half_of_the_customers_cannot_be_left_without_a_value(segrec: Gate, files: dict[str, Path]) -> None:
    old, new = (pq.read_table(files[name])["NDCG@5"].to_numpy() for name in ("old", "worse"))
    nulled = _edited(files["worse"], **{"NDCG@5": pa.array(np.where(new < old, np.nan, new), from_pandas=True)})
    code, out, err = segrec("gate", nulled, files["old"], "--policy", files["policy"])
    assert (code, out) == (1, "")
    assert f"{np.sum(new < old)} queries have a value on the old side and none on the new" in " ".join(err.split())


def test_what_the_new_has_no_value_for_is_said(segrec: Gate, files: dict[str, Path]) -> None:
    files["policy"].write_text('[[protect]]\nmetric = "Novelty@5"\nmargin = 0.1\n')
    values = pq.read_table(files["old"])["NDCG@5"].to_numpy()
    old = _edited(files["old"], **{"Novelty@5": values})
    new = _edited(files["equal"], **{"Novelty@5": pa.array(np.where(np.arange(400) < 7, np.nan, values), from_pandas=True)})
    code, out, _ = segrec("gate", new, old, "--policy", files["policy"])
    assert code == 0
    assert "Novelty@5 of 'overall' in 'all purchases': 7 queries are not judged" in " ".join(out.split())
    _, out, _ = segrec("gate", new, old, "--policy", files["policy"], "--json")
    assert [verdict["n_dropped"] for verdict in json.loads(out)["verdicts"]] == [7]


def test_the_headline_says_where_to_read_what_might_have_been_missed(segrec: Gate, files: dict[str, Path]) -> None:
    files["policy"].write_text(POLICY.replace("0.05", "0.0001"))
    code, out, _ = segrec("gate", files["equal"], files["old"], "--policy", files["policy"])
    assert code == 0
    said = "undecided: for each of them, what might have been missed is in the column 'least seen', beyond the margin"
    assert said in " ".join(out.split())


def test_usage_ends_with_2(segrec: Gate, files: dict[str, Path]) -> None:
    files["policy"].write_text(POLICY.replace("relative_margin", "margn"))
    code, out, err = segrec("gate", files["equal"], files["old"], "--policy", files["policy"])
    assert (code, out) == (2, "")
    assert "did you mean 'margin'" in err
    assert segrec("gate", files["equal"], files["old"], "--policy", "nowhere.toml")[0] == 2
    assert segrec("gate", files["equal"], "nowhere", "--policy", files["policy"])[0] == 2


def test_what_cannot_be_compared_is_one_line(segrec: Gate, files: dict[str, Path]) -> None:
    files["policy"].write_text(POLICY.replace("NDCG@5", "Recall@5"))
    code, out, err = segrec("gate", files["equal"], files["old"], "--policy", files["policy"])
    assert (code, out) == (1, "")
    assert "Recall@5 of 'all purchases' was not measured" in err


def test_a_bundle_is_judged_against_itself_and_against_its_own_results(
    segrec: Gate, files: dict[str, Path], small_bundle: Path, small_shop: Path, tmp_path: Path
) -> None:
    metrics = "NDCG@5,Novelty@5,PopularityLift@5,Coverage@5,Gini@5"
    kept = tmp_path / "engine.parquet"
    code, out, _ = segrec("run", small_bundle, "--data", small_shop, "--metrics", metrics, "--per-customer", kept, "--json")
    assert code == 0
    figures = json.loads(out)["results"][0]["figures"]
    assert {figure["metric"] for figure in figures} == set(metrics.split(","))
    assert pq.read_schema(kept).names[:3] == ["table", "customer_id", "time"]

    files["policy"].write_text(POLICY + '[[protect]]\nmetric = "Novelty@5"\nmargin = 0.1\n')
    timeless, table = tmp_path / "theirs.parquet", pq.read_table(kept)
    pq.write_table(table.filter(pc.equal(table["table"], "all purchases")).drop_columns(["time"]), timeless)
    for other in (small_bundle, kept, timeless):
        code, out, _ = segrec("gate", small_bundle, other, "--policy", files["policy"], "--data", small_shop, "--json")
        verdicts = json.loads(out)["verdicts"]
        assert code == 0
        assert {verdict["difference"] for verdict in verdicts} == {0}
        assert {verdict["state"] for verdict in verdicts if verdict["n"] > 10} == {"holds"}

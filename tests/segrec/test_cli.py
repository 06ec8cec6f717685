"""The command line as a person or a script meets it: exit codes, one-line reasons, results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from world import END

from recsys.bundle import Bundle
from segrec import cli

COMMANDS = (
    *("import", "train", "tune", "recommend", "serve", "inspect", "config", "demo", "text finetune", "text similar"),
    *("eval run", "eval compare", "eval worth", "eval gate", "eval off-policy", "segment fit", "segment assign", "segment describe"),
    *("synthetic make", "synthetic score", "synthetic simulate", "synthetic customer", "synthetic config"),
)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Segrec = Callable[..., Done]


@pytest.fixture
def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Segrec:
    """Runs `segrec ARGS` in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["segrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def bundle(small_bundle: Path) -> Path:
    return small_bundle


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_whose_options_exist(segrec: Segrec, command: str) -> None:
    done = segrec(*command.split(), "--help")
    example = re.search(rf"Example: segrec ({command}.*?)\n\n", done.out, re.DOTALL)
    assert done.code == 0
    assert example is not None
    options = done.out[example.end() :]
    assert [word for word in re.findall(r"(?<=\s)--?[a-z-]+", example[1]) if f"{word} " not in options] == []


USAGE = [
    ("nonsense", "No such command 'nonsense'"),
    ("import tables nowhere --mapping nowhere.toml", "'nowhere.toml' does not exist"),
    ("import tables . --max-bad lots", "write for example 1% or 0.01"),
    ("import tables . --max-bad 120%", "not between 0 and 1"),
    ("train nowhere.toml", "'nowhere.toml' does not exist"),
    ("train .", "'.' is a directory"),
    ("train --as-of yesterday", "write for example 2024-05-01"),
    ("recommend BUNDLE -k 0", "-k"),
    ("recommend BUNDLE -k 501", "-k"),
    ("recommend BUNDLE --time soon", "'soon' is no time"),
    ("recommend BUNDLE --time 2024-01-01", "2024-01-01 is earlier than"),
    ("serve BUNDLE --port 65536", "--port"),
    ("serve BUNDLE --budget-ms 0", "--budget-ms"),
    ("eval run BUNDLE --metrics NDGC@10", "did you mean 'NDCG'"),
    ("eval run BUNDLE --metrics NDCG", "for example NDCG@10"),
    ("eval run BUNDLE --metrics Coverage@10", "add a metric of each list"),
    ("eval worth . --lengths one", "write for example 1,2,5"),
    ("config --explane", "--explain"),
]


@pytest.mark.parametrize(("line", "reason"), USAGE, ids=[line for line, _ in USAGE])
def test_wrong_usage_ends_with_2_and_says_what_would_be_right(segrec: Segrec, bundle: Path, line: str, reason: str) -> None:
    done = segrec(*(str(bundle) if word == "BUNDLE" else word for word in line.split()))
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


FAILURES = [
    ("import tabels .", "did you mean 'tables'"),
    ("import tables nowhere", "there is no folder nowhere"),
    ("import tables", "needs the path"),
    ("train --data nowhere", "segrec import"),
    ("train --data SHOP --as-of 2030-01-01", "outside the data, which go from 2024-01-01"),
    ("train --data SHOP --as-of 2024-03-01", "--no-measure trains without one"),
    ("recommend nowhere", "segrec train"),
    ("recommend BUNDLE --strategy hmoe", "there are: discovery, home"),
    ("inspect nowhere", "no bundle"),
    ("serve nowhere --port 0", "no bundle"),
    ("eval run BUNDLE --data nowhere", "segrec import"),
]


@pytest.mark.parametrize(("line", "reason"), FAILURES, ids=[line for line, _ in FAILURES])
def test_a_failure_ends_with_1_and_one_line(
    segrec: Segrec, bundle: Path, small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"BUNDLE": bundle, "SHOP": small_shop}
    done = segrec(*(places.get(word, word) for word in line.split()))
    assert (done.code, done.out) == (1, "")
    (said,) = done.err.splitlines()
    assert said.startswith("segrec: ")
    assert reason in said


def test_a_wrong_key_is_refused_with_the_nearest_one(segrec: Segrec, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text("[training]\nn_thread = 3\n")
    done = segrec("config", tmp_path / "shop.toml")
    assert (done.code, done.out) == (1, "")
    assert "unknown key 'training.n_thread'; did you mean 'n_threads'" in done.err


def test_a_full_disk_or_a_forbidden_folder_is_one_line_too(segrec: Segrec, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cli, "newest_bundle", forbidden)
    done = segrec("inspect", bundle)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "Permission denied" in done.err


def test_ctrl_c_says_how_to_go_on(segrec: Segrec, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "newest_bundle", interrupted)
    done = segrec("inspect", bundle)
    assert (done.code, done.out) == (130, "")
    assert "goes on where it was" in done.err


def test_import_prints_the_report_and_json_on_request(segrec: Segrec, tmp_path: Path) -> None:
    files, out = tmp_path / "files", tmp_path / "shop"
    files.mkdir()
    (files / "items.csv").write_text("item_id,title\na,Apple\n")
    (files / "interactions.csv").write_text(
        "item_id,customer_id,event,event_time\na,c,view,2024-05-01\nb,c,view,2024-05-02\na,c,view,soon\n"
    )
    stopped = segrec("import", "tables", files, "--out", out)
    assert stopped.code == 1
    assert "1 of 3 rows (33.33%) are bad, more than the 1.00% allowed" in stopped.err
    assert not out.exists()

    done = segrec("import", "tables", files, "--out", out, "--max-bad", "50%")
    assert (done.code, done.err) == (0, "")
    assert "1 refused: event_time is no time" in done.out
    assert "1 stub item added" in done.out

    report = json.loads(segrec("import", "tables", files, "--out", out, "--max-bad", "0.5", "--json").out)
    assert report["tables"]["interactions"]["kept"] == 2


def test_recommend_shows_items_with_ids_sources_and_reasons(segrec: Segrec, bundle: Path) -> None:
    done = segrec("recommend", bundle, "--customer", "c4", "-k", 3, "--context", "nothing")
    assert done.code == 0
    assert done.out.startswith("c4, segment s")
    assert len(re.findall(r"\(i\d+\)", done.out)) >= 3
    assert "repurchase" in done.out
    assert "bought before" in done.out
    assert done.err == "not in the catalogue: nothing\n"


def test_recommend_says_that_nothing_is_known_of_a_customer(segrec: Segrec, bundle: Path) -> None:
    known, unknown, guest = (segrec("recommend", bundle, *who).out for who in (["--customer", "c4"], ["--customer", "nobody"], []))
    assert unknown.startswith("nobody (nothing is known of this customer, so answered like a guest), strategy home")
    assert guest.startswith("guest, strategy home")
    assert "nothing is known" not in known + guest


def test_explain_shows_stages_and_features(segrec: Segrec, bundle: Path) -> None:
    done = segrec("recommend", bundle, "--customer", "c4", "-k", 2, "--explain")
    for words in ("time of each stage", "retrieve als", "pair_recency", "als_rank"):
        assert words in done.out
    answer = json.loads(segrec("recommend", bundle, "--customer", "c4", "-k", 2, "--explain", "--json").out)
    assert {"eligibility", "features", "rank", "select"} <= set(answer["stages_ms"])
    assert set(answer["items"][0]["features"]) >= {"pair_recency", "als_rank"}


def test_a_time_without_a_zone_is_utc(segrec: Segrec, bundle: Path) -> None:
    bare, zoned = (
        segrec("recommend", bundle, "--customer", "c4", "--json", "--time", time).out
        for time in ("2024-06-20", "2024-06-20T02:00:00+02:00")
    )
    assert json.loads(bare) == json.loads(zoned)


def test_inspect_shows_the_parts_and_names_an_altered_file(segrec: Segrec, bundle: Path, tmp_path: Path) -> None:
    assert "all checksums hold" in segrec("inspect", bundle).out
    assert json.loads(segrec("inspect", bundle, "--json").out)["version"] == bundle.name

    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "catalogue" / "prices.npy").write_bytes(b"?")
    done = segrec("inspect", copy)
    assert (done.code, done.out) == (1, "")
    assert "catalogue/prices.npy is altered" in done.err


def test_eval_run_prints_tables_or_json(segrec: Segrec, bundle: Path, small_shop: Path) -> None:
    done = segrec("eval", "run", bundle, "--data", small_shop, "--metrics", "NDCG@5")
    assert done.code == 0
    assert "engine against" in done.out
    content = json.loads(segrec("eval", "run", bundle, "--data", small_shop, "--metrics", "NDCG@5", "--json").out)
    assert {figure["metric"] for figure in content["results"][0]["figures"]} == {"NDCG@5"}


def test_eval_run_refuses_a_bundle_that_knows_all_the_data(
    segrec: Segrec, loaded_bundle: Bundle, small_bundle: Path, small_shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "load", lambda path: replace(loaded_bundle, as_of=END))
    done = segrec("eval", "run", small_bundle, "--data", small_shop)
    assert (done.code, done.out) == (1, "")
    assert "measure its twin" in done.err


def test_config_shows_all_settings_and_explains_every_key(segrec: Segrec, tmp_path: Path) -> None:
    defaults = json.loads(segrec("config").out)
    (tmp_path / "shop.toml").write_text("[training]\nseed = 11\n")
    assert json.loads(segrec("config", tmp_path / "shop.toml").out) == {**defaults, "training": {**defaults["training"], "seed": 11}}
    explained = segrec("config", "--explain").out.splitlines()
    assert 'data.positive_events = ["purchase"]' in explained
    assert "features.NAME.scope (required)" in explained
    assert "features.NAME.window_days (unset)" in explained
    assert all(line.strip() for line in explained)

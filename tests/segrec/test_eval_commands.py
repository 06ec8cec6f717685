"""`segrec eval run` and `segrec eval compare` as a person or a script meets them."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from offline_eval.lists import read_lists
from recsys.data.dataset import Dataset
from segrec import cli
from segrec.evaluation_page import page

METRICS = "NDCG@5,Recall@5"
ABOUT = {"command", "folder", "segrec", "commit", "data", "split", "protocol", "bundles", "files", "seed"}
Eval = Callable[..., tuple[int, str, str]]


@pytest.fixture
def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_shop: Path) -> Eval:
    """Runs `segrec eval ARGS` on the small shop; gives exit code, stdout, and stderr as one line."""

    def run(*arguments: object, metrics: str = METRICS) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["segrec", "eval", *map(str, arguments), "--data", str(small_shop), "--metrics", metrics])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, " ".join(err.replace("│", " ").split())

    return run


@pytest.fixture(scope="session")
def theirs(small_bundle: Path, small_shop: Path, shared_folder: Path) -> Path:
    """The engine's own lists as a file that anybody could have made: scores in place of ranks, items in no order, no system."""
    path = shared_folder / "kept.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["segrec", "eval", "run", str(small_bundle), "--data", str(small_shop), "--lists", str(path), "--json"])
        with pytest.raises(SystemExit):
            cli.main()
    table = pq.read_table(path)
    rows = table.filter(pc.and_(pc.equal(table["system"], "engine"), pc.equal(table["table"], "all purchases"))).sort_by(
        [("customer_id", "ascending"), ("item_id", "ascending")]
    )
    scores = pc.negate(rows["rank"].cast(pa.float64()))
    out = shared_folder / "theirs.parquet"
    pq.write_table(pa.table({"customer_id": rows["customer_id"], "item_id": rows["item_id"], "score": scores}), out)
    return out


def changed(path: Path, out: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    pq.write_table(change(pq.read_table(path)), out)
    return out


def test_every_report_says_how_it_was_made_and_prints_the_command(segrec: Eval, small_bundle: Path, small_dataset: Dataset) -> None:
    code, out, _ = segrec("run", small_bundle, "--json", "--seed", 3)
    assert code == 0
    about = json.loads(out)["about"]
    assert set(about) == ABOUT
    assert about["command"].startswith(f"segrec eval run {small_bundle} --json --seed 3")
    assert (about["data"]["fingerprint"], about["seed"]) == (small_dataset.fingerprint, 3)
    assert about["bundles"] == {"engine": small_bundle.name}
    assert about["split"]["kind"] == "time"
    assert about["split"]["may_leak"]

    code, out, _ = segrec("run", small_bundle)
    assert code == 0
    for said in (f"again: segrec eval run {small_bundle}", "may leak: ", f"engine {small_bundle.name}", "engine against", "history="):
        assert said in out


def test_a_bundle_and_its_own_lists_in_a_file_are_equal(segrec: Eval, small_bundle: Path, theirs: Path) -> None:
    code, out, _ = segrec("compare", f"ours={small_bundle}", theirs, "popular", "--json")
    assert code == 0
    content = json.loads(out)
    assert set(content["about"]) == ABOUT
    assert list(content["about"]["files"]) == [str(theirs)]
    (first, discovery) = content["results"]
    assert (first["systems"], discovery["systems"]) == (["ours", "theirs", "popular"], ["ours", "popular"])
    same = [row for row in content["comparisons"] if row["system"] == "theirs"]
    assert {row["difference"]["estimate"] for row in same} == {0}
    assert {row["p"] for row in same} == {1}
    kinds = {row["slice"].partition("=")[0] for row in same}
    assert {"overall", "segment", "tier", "stage", "history", "customer", "category"} <= kinds
    assert first["moved"][0]["n_unmoved"] == first["customers"]
    assert first["moved"][1]["items_gained"]


def test_every_metric_is_told_of_every_kind_of_slice(segrec: Eval, small_bundle: Path) -> None:
    metrics = "NDCG@5,Novelty@5,Diversity@5,Miscalibration@5,Coverage@5"
    code, out, _ = segrec("run", small_bundle, "--json", metrics=metrics)
    assert code == 0
    kinds = {"overall", "segment", "tier", "stage", "history", "customer", "category"}
    told = {(row["metric"], row["slice"].partition("=")[0]) for row in json.loads(out)["results"][0]["figures"]}
    assert told == {(metric, kind) for metric in metrics.split(",") for kind in kinds}
    compared = {(row["metric"], row["slice"].partition("=")[0]) for row in json.loads(out)["comparisons"]}
    assert compared == told


def test_all_results_and_lists_are_written_for_others(segrec: Eval, small_bundle: Path, theirs: Path, tmp_path: Path) -> None:
    values, lists = tmp_path / "values.parquet", tmp_path / "lists.parquet"
    code, _, _ = segrec("compare", small_bundle, theirs, "--per-customer", values, "--lists", lists)
    assert code == 0
    table = pq.read_table(values)
    assert set(table["system"].to_pylist()) == {small_bundle.name, "theirs"}
    assert table.column_names[-2:] == METRICS.split(",")
    found = read_lists(lists)["all purchases"]
    assert {customer: items[:5] for customer, items in found["theirs"].of.items()} == dict(found[small_bundle.name].of)
    code, out, _ = segrec("compare", lists, "personal", "--cut", "2024-05-22", "--json")
    assert (code, json.loads(out)["results"][0]["systems"]) == (0, [small_bundle.name, "theirs", "personal"])


def test_the_page_needs_nothing_else_and_escapes_what_the_shop_says(segrec: Eval, small_bundle: Path, theirs: Path, tmp_path: Path) -> None:
    code, _, err = segrec("compare", f"<b>={small_bundle}", theirs, "popular", "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert (code, "page in" in err) == (0, True)
    assert not re.search(r"<script|src=|@import|url\(|<link", text)
    assert "<b></b>" not in text
    assert "&lt;b&gt;" in text
    for part in ("By k", "By slice", "Lists side by side", "What moved", "How it was made", "drawn at random", "no interval", "✓"):
        assert part in text
    assert html.escape(f"segrec eval compare '<b>={small_bundle}'", quote=True).replace("&#x27;", "&#39;") in text


def test_a_page_shows_what_has_no_value_as_such() -> None:
    nothing = {"mean": None, "low": None, "high": None, "n": 0}
    figure = {"system": "a", "metric": "NDCG@5", "slice": "overall", **nothing}
    result = {
        "title": "t",
        "systems": ["a"],
        "customers": 1,
        "figures": [figure],
        "notices": [],
        "moved": [],
        "by_k": [{"metric": "NDCG", "cutoffs": [5], "systems": {"a": [{"k": 5, **nothing}]}}],
        "lists": [],
    }
    about = dict.fromkeys(("segrec", "commit", "seed")) | {"command": "c", "folder": "f", "bundles": {}, "files": {}, "protocol": {}}
    about |= {
        "data": {"shop": "s", "fingerprint": "0"},
        "split": {"kind": "time", "cut": "2024-01-01T00:00", "end": "2024-01-02T00:00", "negatives": None},
    }
    text = page({"about": about, "results": [result], "comparisons": []})
    assert "n/a" in text
    assert "Nothing was compared." in text
    assert "not from a checkout" in text


def first_rows(table: pa.Table, **columns: object) -> pa.Table:
    """The table with other values in the first row."""
    for name, value in columns.items():
        values = [value, *table[name].to_pylist()[1:]]
        table = table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))
    return table


REFUSED: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "repeats": (lambda table: pa.concat_tables([table, table.slice(0, 2)]), "2 rows repeat an item of the same customer's list"),
    "nan": (
        lambda table: first_rows(table, score=float("nan")),
        "1 rows have no finite score, so nobody can tell their place; the first is row 1",
    ),
    "nobody": (lambda table: first_rows(table, customer_id=None), "1 rows have no customer_id"),
    "nothing": (lambda table: table.slice(0, 0), "needs rows of customer_id, item_id and rank or score"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lists_that_have_no_one_meaning_are_one_clear_error(
    segrec: Eval, small_bundle: Path, theirs: Path, tmp_path: Path, name: str
) -> None:
    change, reason = REFUSED[name]
    code, out, err = segrec("compare", small_bundle, changed(theirs, tmp_path / f"{name}.parquet", change))
    assert (code, out) == (1, "")
    assert reason in err


def test_what_makes_figures_mean_less_is_counted_in_every_report(segrec: Eval, small_bundle: Path, theirs: Path, tmp_path: Path) -> None:
    customers = list(dict.fromkeys(pq.read_table(theirs)["customer_id"].to_pylist()))
    gone, short = customers[0], customers[1]

    def spoilt(table: pa.Table) -> pa.Table:
        kept = table.filter(pc.not_equal(table["customer_id"], gone))
        kept = kept.filter(pc.or_(pc.not_equal(kept["customer_id"], short), pc.equal(kept["score"], -1.0)))
        added = {"customer_id": ["stranger", customers[2]], "item_id": ["i1", "nowhere"], "score": [1.0, 1.0]}
        return pa.concat_tables([kept, pa.table(added)])

    path = changed(theirs, tmp_path / "spoilt.parquet", spoilt)
    page_file = tmp_path / "page.html"
    code, out, _ = segrec("compare", small_bundle, path, "--json", "--html", page_file)
    assert code == 0
    notices = {
        (notice["what"].partition(";")[0], notice["count"], notice["example"]) for notice in json.loads(out)["results"][0]["notices"]
    }
    expected = {
        ("customers with a list bought nothing that counts in the period, and are not measured", 1, "stranger"),
        ("customers who bought have no list, and count as an empty one", 1, gone),
        ("lists are shorter than 5", 1, short),
        ("places hold an item that the shop does not have, and are misses", 1, "nowhere"),
        ("lists are longer than 5", len(customers) - 2, next(iter(sorted(set(customers) - {gone, short})))),
        ("customers have rows in several places of the file, read as one list", 1, customers[2]),
    }
    assert notices == expected
    code, out, _ = segrec("compare", small_bundle, path)
    for what, count, _ in expected:
        assert f"spoilt: {count} {what}" in " ".join(out.split())
        assert f"spoilt: {count} {what}" in page_file.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["BUNDLE"], 2, "two sides are needed"),
        (["BUNDLE", "BUNDLE"], 1, "two sides are called"),
        (["BUNDLE", "nowhere.csv"], 1, "there is no bundle and no file of lists nowhere.csv"),
        (["BUNDLE", "populer"], 1, "did you mean 'popular'"),
        (["BUNDLE", "THEIRS", "--cut", "2024-05-22"], 2, "a bundle says itself what it is measured on"),
        (["THEIRS", "popular"], 2, "--cut must say up to which time"),
        (["THEIRS", "popular", "--cut", "2030-01-01"], 1, "do not cover 28 days after"),
        (["THEIRS", "popular", "--cut", "2024-05-22", "--events", "cart"], 1, "nothing can be measured"),
        (["BUNDLE", "popular", "--split", "tiem"], 2, "there is no split"),
        (["BUNDLE", "popular", "--split", "leave-last-out"], 2, "cannot be asked of a bundle"),
        (["BUNDLE", "popular", "--negatives", "20"], 2, "metrics over sampled negatives are refused"),
        (["BUNDLE", "popular", "--split", "cold-customers"], 1, "nothing can be measured"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_one_line(
    segrec: Eval, small_bundle: Path, theirs: Path, arguments: list[str], code: int, reason: str
) -> None:
    places = {"BUNDLE": small_bundle, "THEIRS": theirs}
    left, out, err = segrec("compare", *(places.get(argument, argument) for argument in arguments))
    assert (left, out) == (code, "")
    assert reason in err


def test_who_insists_on_drawn_items_is_told_what_that_is(segrec: Eval, small_bundle: Path, tmp_path: Path) -> None:
    code, out, _ = segrec("compare", small_bundle, "popular", "--negatives", 20, "--insist", "--html", tmp_path / "page.html")
    assert code == 0
    assert "ranked among 20 drawn items, not among all" in out
    assert "Ranked among 20 drawn items" in (tmp_path / "page.html").read_text()


def test_a_split_narrows_whom_is_asked(segrec: Eval, small_bundle: Path) -> None:
    counts = []
    for fold in ("customers:1/2", "customers:2/2", "time"):
        code, out, _ = segrec("compare", small_bundle, "popular", "--split", fold, "--json")
        content = json.loads(out)
        assert (code, content["about"]["split"]["kind"]) == (0, fold)
        counts.append(content["results"][0]["customers"])
    assert counts[0] + counts[1] == counts[2]


def test_the_commands_of_the_page_run_as_they_stand(
    small_bundle: Path, small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that ask a bundle; the cut is that of the bundle which stands in for the page's."""
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (tmp_path / "shops").mkdir()
    (tmp_path / "bundles" / "mine").mkdir(parents=True)
    (tmp_path / "shops" / "mine").symlink_to(small_shop)
    (tmp_path / "bundles" / "mine" / "twins").symlink_to(small_bundle.parent)
    (tmp_path / "gate.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^segrec eval (?!worth).*$", text, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        monkeypatch.setattr("sys.argv", shlex.split(re.sub("2025-06-08[^ ]*", "2024-05-22", command)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        assert not left.value.code, (command, err)
        assert "…" not in out, command  # a slice whose name is cut short is none
    assert {"report.html", "compared.html", "lists.parquet", "engine.parquet"} <= {path.name for path in tmp_path.iterdir()}

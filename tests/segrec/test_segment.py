"""`segrec segment` as a person meets it: fit, assign, describe on a small shop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from world import DAY, END, N_CUSTOMERS, write_world

from recsys.data.dataset import Dataset
from recsys.training.stages import silent
from segrec import cli
from segrec.segment_folder import open_fitted
from segrec.segment_page import page
from segrec.segment_reading import report_by
from segrec.segment_voice import voice_lines

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "segments.md").read_text(encoding="utf-8")
WORLD, SMALLER = "--customers 600 --items 200", "--customers 150 --items 60"
"""What the guide says, and what is run, in less time."""
EVIL = '<script>alert("tea")</script> & <b>soap</b>'
FIT, LATER = (str(END - days * DAY)[:10] for days in (56, 28))

Segrec: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Segrec:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["segrec", "segment", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code is None or isinstance(left.value.code, int)
        return left.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def shop(shared_folder: Path) -> Path:
    """The small shop, with an item whose title would be a script where it is not escaped."""
    folder: Path = write_world(shared_folder / "evil-shop")
    items = pq.read_table(folder / "items.parquet")
    titles = [EVIL if title == "Red tea" else title for title in items["title"].to_pylist()]
    pq.write_table(items.set_column(items.schema.get_field_index("title"), "title", pa.array(titles)), folder / "items.parquet")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text("[training]\nn_threads = 1\n[segmentation]\nn_segments = 2\n")
    return path


@pytest.fixture(scope="module")
def fitted(shop: Path, shared_folder: Path) -> Path:
    """A segmentation of the shop, eight weeks before its end."""
    out, settings = shared_folder / "segments", shared_folder / "segment.toml"
    settings.write_text("[training]\nn_threads = 1\n[segmentation]\nn_segments = 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["segrec", "segment", "fit", str(settings), "--data", str(shop), "--as-of", FIT, "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert not left.value.code
    return out


def test_fit_prints_the_segments_and_writes_the_same_files_again(segrec: Segrec, shop: Path, settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "segments"
    command = ("fit", settings, "--data", shop, "--as-of", FIT, "--out", out)
    code, shown, _ = segrec(*command)
    assert code == 0
    assert [word for word in ("s0", "s1", "everybody", "2 of 2 segment names") if word not in shown] == []
    assert "2 segments, as the configuration asks." in shown.splitlines()
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, shown, _ = segrec(*command, "--json")
    told = json.loads(shown)
    assert code == 0
    assert [segment["id"] for segment in told["segments"]] == ["s0", "s1"]
    assert sum(segment["n"] for segment in told["segments"]) == told["n_customers"] == N_CUSTOMERS
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_assign_gives_every_customer_a_row_and_parts_the_two_tastes(segrec: Segrec, shop: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "profiles.parquet"
    code, _, err = segrec("assign", fitted, "--data", shop, "--as-of", LATER, "--out", out)
    assert (code, f"{N_CUSTOMERS} customers in" in err) == (0, True)
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == N_CUSTOMERS
    of_parity = [{row["segment"] for row in rows if int(row["customer_id"][1:]) % 2 == parity} for parity in (0, 1)]
    assert [len(segments) for segments in of_parity] == [1, 1]
    assert of_parity[0] != of_parity[1]
    for row in rows:
        assert row["tier"] in ("low", "medium", "high")
        assert 0 <= row["churn_probability"] <= 1
        assert row["segment_name"].endswith("(by terms)")
        assert row["first_order"] <= row["last_order"] < row["as_of"]
        assert (row["n_texts"], row["mood"], row["needs"]) == (0, None, None)


def test_csv_holds_what_parquet_holds(segrec: Segrec, shop: Path, fitted: Path, tmp_path: Path) -> None:
    for name in ("profiles.csv", "profiles.parquet"):
        assert segrec("assign", fitted, "--data", shop, "--as-of", LATER, "--out", tmp_path / name)[0] == 0
    read, written = pyarrow.csv.read_csv(tmp_path / "profiles.csv"), pq.read_table(tmp_path / "profiles.parquet")
    assert read.column_names == written.column_names
    for name in ("customer_id", "segment", "tier", "stage"):
        assert read[name].to_pylist() == written[name].to_pylist()


def test_a_customer_is_shown_with_the_reasons(segrec: Segrec, shop: Path, fitted: Path) -> None:
    command = ("assign", fitted, "--data", shop, "--as-of", LATER, "--customer", "c3")
    code, shown, _ = segrec(*command)
    assert code == 0
    assert [word for word in ("c3 as of", "segment", "why segment", "why tier", "orders since") if word not in shown] == []
    code, shown, _ = segrec(*command, "--json")
    profile = json.loads(shown)
    assert (code, profile["customer_id"], profile["voice"]) == (0, "c3", None)
    assert {part for reason in profile["reasons"] for part in reason["about"]} == {"segment", "tier", "stage", "churn"}


def test_a_new_customer_has_a_profile_from_the_first_purchase_on(segrec: Segrec, shop: Path, fitted: Path, tmp_path: Path) -> None:
    lines = pq.read_table(shop / "interactions.parquet")
    first = lines.slice(0, 1).to_pydict() | {"customer_id": ["newcomer"], "basket_id": ["first"], "item_id": ["i1"]}
    first["event_time"] = [(END - DAY).item()]
    grown = tmp_path / "grown"
    grown.mkdir()
    pq.write_table(pa.concat_tables([lines, pa.table(first, schema=lines.schema)]), grown / "interactions.parquet")
    (grown / "items.parquet").write_bytes((shop / "items.parquet").read_bytes())
    code, shown, _ = segrec("assign", fitted, "--data", grown, "--customer", "newcomer", "--json")
    assert (code, json.loads(shown)["stage"]) == (0, "new")
    code, _, err = segrec("assign", fitted, "--data", grown, "--as-of", LATER, "--customer", "newcomer")
    assert (code, "has bought nothing before" in err) == (1, True)


def test_who_had_a_segment_keeps_it_on_a_whim_but_not_against_all_evidence(
    segrec: Segrec, shop: Path, fitted: Path, tmp_path: Path
) -> None:
    now, before = tmp_path / "now.parquet", tmp_path / "before.csv"
    assert segrec("assign", fitted, "--data", shop, "--as-of", FIT, "--out", before)[0] == 0
    text = before.read_text(encoding="utf-8").replace('"s0"', '"sX"').replace('"s1"', '"s0"').replace('"sX"', '"s1"')
    before.write_text(text, encoding="utf-8")  # everybody in the wrong segment
    assert segrec("assign", fitted, "--data", shop, "--as-of", LATER, "--out", now, "--previous", before)[0] == 0
    held = pq.read_table(now).to_pylist()
    assert segrec("assign", fitted, "--data", shop, "--as-of", LATER, "--out", now)[0] == 0
    free = pq.read_table(now).to_pylist()
    sure = [row["segment_confidence"] > 0.6 for row in free]
    assert np.mean(sure) > 0.9
    assert all(one["segment"] == other["segment"] for one, other, is_sure in zip(held, free, sure, strict=True) if is_sure)


def test_a_refit_keeps_ids_and_says_what_moved(segrec: Segrec, shop: Path, fitted: Path, settings: Path, tmp_path: Path) -> None:
    command = ("fit", settings, "--data", shop, "--as-of", LATER, "--out", tmp_path / "again", "--former", fitted)
    code, shown, _ = segrec(*command)
    assert (code, "against the fit of" in shown, "retired: none" in shown) == (0, True, True)
    _, shown, _ = segrec(*command, "--json")
    succession = json.loads(shown)["succession"]
    assert (sorted(succession["kept"]), succession["new"], succession["retired"]) == (["s0", "s1"], [], [])
    assert succession["moved_share"] < 0.1
    assert segrec("describe", tmp_path / "again", "--out", tmp_path / "report.html")[0] == 0
    assert "What moved since the former fit" in (tmp_path / "report.html").read_text(encoding="utf-8")
    code, _, err = segrec("fit", settings, "--data", shop, "--as-of", FIT, "--out", tmp_path / "x", "--former", tmp_path / "again")
    assert (code, "later than --as-of" in err) == (1, True)


class Page(HTMLParser):
    """Tags, ids, links and text of a page; complains of what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.append(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_page_that_needs_nothing_and_runs_nothing(segrec: Segrec, shop: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    code, shown, _ = segrec("describe", fitted, "--data", shop, "--out", out)
    assert (code, "open it in a browser" in shown) == (0, True)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert {"script", "link", "img", "iframe", "object"} & set(page.tags) == set()
    assert [name for name in page.attributes if name.startswith("on")] == []
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    assert "http" not in text.replace("http-equiv", "")
    assert EVIL in page.text  # shown as it is written, not obeyed
    assert EVIL not in text
    for part in (
        "Map",
        "Size, value and churn",
        "Tiers and stages",
        "Each segment",
        "How many segments",
        "What came true",
        "How it was made",
    ):
        assert part in page.text


def test_the_report_is_the_same_twice_and_needs_no_data(segrec: Segrec, fitted: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        assert segrec("describe", fitted, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert "What came true" not in (tmp_path / "a.html").read_text(encoding="utf-8")  # the fit knows nothing of it


def test_the_segments_of_a_bundle_are_assigned_and_described(segrec: Segrec, small_bundle: Path, small_shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert segrec("describe", small_bundle, "--data", small_shop, "--out", out)[0] == 0
    assert "Customer segments" in out.read_text(encoding="utf-8")
    assert segrec("assign", small_bundle, "--data", small_shop, "--out", tmp_path / "profiles.csv", "--json")[0] == 0
    code, _, err = segrec("describe", small_bundle, "--out", out)
    assert (code, "keeps no customers to describe" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fit", "--data", "nowhere"), 1, "no interactions.parquet"),
        (("fit", "--data", "SHOP", "--as-of", "soon"), 2, "is no time"),
        (("fit", "--data", "SHOP", "--as-of", "2030-01-01"), 1, "outside the data"),
        (("fit", "--data", "SHOP", "--out", "SHOP"), 1, "holds no earlier segmentation"),
        (("fit", "--data", "SHOP", "--former", "nowhere"), 1, "holds no segmentation"),
        (("assign", "FITTED", "--data", "SHOP"), 2, "say what is wanted"),
        (("assign", "FITTED", "--data", "SHOP", "--out", "profiles.xlsx"), 2, "must end in"),
        (("assign", "FITTED", "--data", "SHOP", "--as-of", "2024-02-01", "--customer", "c1"), 1, "before this segmentation was fitted"),
        (("assign", "FITTED", "--data", "SHOP", "--customer", "c1", "--previous", "nowhere.csv"), 1, "is no file of profiles"),
        (("assign", "nowhere", "--data", "SHOP", "--customer", "c1"), 1, "holds no segmentation"),
        (("describe", "FITTED", "--as-of", "2024-06-01"), 2, "--as-of needs --data"),
    ],
)
def test_what_is_wrong_is_said(
    segrec: Segrec,
    shop: Path,
    fitted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"SHOP": str(shop), "FITTED": str(fitted)}
    left, shown, err = segrec(*(places.get(word, word) for word in arguments))
    assert (left, shown) == (code, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert list(tmp_path.glob("*.html")) == []


def test_a_damaged_segmentation_is_refused(segrec: Segrec, fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "fit.json").write_text("{", encoding="utf-8")
    code, _, err = segrec("describe", tmp_path / "broken")
    assert (code, "cannot be read" in err) == (1, True)


def test_what_another_program_calls_a_fit_is_neither_replaced_nor_read(
    segrec: Segrec, shop: Path, settings: Path, fitted: Path, tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis"
    for facts in ({"model": "mine"}, ["mine"], {**json.loads((fitted / "fit.json").read_text()), "format": "segrec segmentation 0"}):
        thesis.mkdir(exist_ok=True)
        (thesis / "fit.json").write_text(json.dumps(facts), encoding="utf-8")
        (thesis / "chapter.txt").write_text("years of work", encoding="utf-8")
        code, _, err = segrec("fit", settings, "--data", shop, "--as-of", FIT, "--out", thesis)
        assert (code, "so it is not replaced" in " ".join(err.split())) == (1, True)
        code, _, err = segrec("describe", thesis, "--out", tmp_path / "report.html")
        assert (code, "fit the segmentation again" in " ".join(err.split())) == (1, True)
        assert sorted(path.name for path in thesis.iterdir()) == ["chapter.txt", "fit.json"]


def test_profiles_of_another_fit_are_no_previous_ones(segrec: Segrec, shop: Path, fitted: Path, settings: Path, tmp_path: Path) -> None:
    before, now = tmp_path / "before.csv", tmp_path / "now.csv"
    assert segrec("assign", fitted, "--data", shop, "--as-of", FIT, "--out", before)[0] == 0
    command = ("fit", settings, "--data", shop, "--as-of", LATER)
    assert segrec(*command, "--out", tmp_path / "anew")[0] == 0
    assert segrec(*command, "--out", tmp_path / "on", "--former", fitted)[0] == 0
    assert segrec("assign", tmp_path / "on", "--data", shop, "--out", now, "--previous", before)[0] == 0
    assert segrec("assign", tmp_path / "on", "--data", shop, "--out", now, "--previous", now)[0] == 0
    code, _, err = segrec("assign", tmp_path / "anew", "--data", shop, "--out", tmp_path / "x.csv", "--previous", before)
    assert (code, "fitted without --former" in " ".join(err.split()), (tmp_path / "x.csv").exists()) == (1, True, False)


def test_a_shop_without_money_says_nothing_of_money(segrec: Segrec, shop: Path, settings: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    poor.mkdir()
    pq.write_table(pq.read_table(shop / "interactions.parquet").drop_columns(["value"]), poor / "interactions.parquet")
    (poor / "items.parquet").write_bytes((shop / "items.parquet").read_bytes())
    out = tmp_path / "segments"
    assert segrec("fit", settings, "--data", poor, "--as-of", FIT, "--out", out)[0] == 0
    code, shown, _ = segrec("assign", out, "--data", poor, "--as-of", LATER, "--customer", "c3")
    assert (code, "spent since" in shown) == (0, False)
    report = report_by(open_fitted(out), Dataset.load(poor), np.datetime64(FIT, "us"), silent)
    assert report["outcome"]["n"] == N_CUSTOMERS
    assert [(tier["expected"], tier["spent"]) for tier in report["outcome"]["tiers"]] == [(None, None)] * 3


def test_what_they_say_is_marked_where_only_terms_tell_it(fitted: Path) -> None:
    report = json.loads((fitted / "report.json").read_text(encoding="utf-8"))
    assert "What they say" not in page(report, None)  # nobody wrote anything
    needs = [{"name": "zip", "value": 0.5, "polarity": -0.5}]
    report["segments"][0]["voice"] = {"n": 9, "mood": None, "intents": [], "needs": needs, "n_degraded": 0}
    assert "<h4>What they say</h4>" in page(report, None)
    assert "<h4>What they say (by terms)</h4>" in page({**report, "needs_are_by_terms": True}, None)


def test_a_report_says_by_what_texts_are_read(fitted: Path, shop: Path) -> None:
    facts = {
        "language_model": None,
        "problems": {},
        "sentiment": {"by": "", "reason": "no stars"},
        "intent": {"by": "", "reason": "no labels"},
        "needs": {"by": "terms", "names": ["zip"]},
    }
    known = open_fitted(fitted)
    told = replace(known, facts={**known.facts, "voice": facts})
    report = report_by(told, Dataset.load(shop), np.datetime64(FIT, "us"), silent)
    assert report["notes"][-3:] == voice_lines(facts)
    assert report["needs_are_by_terms"]
    assert known.facts["voice"] is None  # nobody wrote anything in this shop


def test_every_command_shows_a_working_example(segrec: Segrec) -> None:
    for command in ("fit", "assign", "describe"):
        code, shown, _ = segrec(command, "--help")
        assert (code, f"Example: segrec segment {command}" in shown) == (0, True)


def test_the_commands_of_the_page_run_as_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = "".join(re.findall(r"^<!-- segments -->\n```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)).splitlines()
    assert len(commands) == 7
    assert WORLD in commands[0]
    commands[0] = commands[0].replace(WORLD, SMALLER)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        monkeypatch.setattr("sys.argv", command.split())
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code, command
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("august.html", "october.html", "september.parquet", "october.csv"))
    assert "What came true" in (tmp_path / "august.html").read_text(encoding="utf-8")


def test_the_fit_knows_nothing_later_than_its_time(segrec: Segrec, shop: Path, fitted: Path, settings: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    lines = pq.read_table(shop / "interactions.parquet")
    kept = lines.filter(pa.compute.less(lines["event_time"], pa.scalar(np.datetime64(FIT, "us").item(), pa.timestamp("us", "UTC"))))
    pq.write_table(kept, cut / "interactions.parquet")
    (cut / "items.parquet").write_bytes((shop / "items.parquet").read_bytes())
    assert Dataset.load(cut).interactions.times.max() < np.datetime64(FIT)
    assert segrec("fit", settings, "--data", cut, "--as-of", FIT, "--out", tmp_path / "segments")[0] == 0
    for path in fitted.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "segments" / path.relative_to(fitted)).read_bytes(), path.name

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import pytest
from rich.console import Console

from recsys.bundle import Bundle
from recsys.types import Mention, Query, Reason, ReasonCode, Recommendation, RecommendedItem, RuleEffect, Trace
from segrec.console import fail, steps
from segrec.show import key_lines, manifest_tables, recommendation_json, recommendation_table, rows_of, rules_table


def figure(system: str, metric: str, slice_: str, mean: float | None, low: float | None = None) -> dict[str, Any]:
    return {"system": system, "metric": metric, "slice": slice_, "mean": mean, "low": low, "high": low, "n": 9}


def test_inspect_gives_a_row_per_system_and_a_dash_for_what_was_not_measured() -> None:
    figures = [
        figure("engine", "NDCG@10", "overall", 0.5, 0.25),
        figure("engine", "Recall@10", "overall", 1.0),
        figure("engine", "NDCG@10", "tier=low", 0.125, 0.0625),
        figure("als", "NDCG@10", "overall", None),
    ]
    manifest = {
        **dict.fromkeys(("version", "as_of"), "v"),
        "data": {"interactions": 1, "customers": 1, "items": 1, "first_event": "", "last_event": "", "fingerprint": ""},
        "config": {"sources": {}, "strategies": {}, "text": {"trunk": "package:bert"}},
        "texts": {"finetuning": {"Recall@20": [0.1, 0.25, 0.2], "best_step": 50}, "review_weights": {"item": 0.3, "customer": 0.0}},
        **{name: {} for name in ("files", "provenance", "libraries", "feature_shift", "indexes")},
        "segments": {"names": {}, "moves": [], "succession": None},
        "language_model": None,
        "metrics": {"twin": "t", "about": {"from": "2024-05-01T00", "to": "2024-05-29T00"}, "figures": {"all purchases": figures}},
    }
    file = io.StringIO()
    console = Console(file=file, width=240)
    for table in manifest_tables(manifest):
        console.print(table)
    learnt = "read by package:bert, fine-tuned in 50 steps: Recall@20 on validation .1000 untuned, .2500 tuned"
    assert f"{learnt}; reviews weigh 0.3 in items, 0 in customers" in file.getvalue()
    rows = [line.split() for line in file.getvalue().splitlines() if line.strip().startswith(("engine", "als"))]
    assert rows == [["engine", ".5000", "[.2500,", ".2500]", "1.0000", ".1250"], ["als", "-", "-", "-"]]
    assert "twin t, all purchases, 2024-05-01 to 2024-05-29" in file.getvalue()


def test_inspect_says_who_named_the_segments_and_what_became_of_the_former_ones(loaded_bundle: Bundle) -> None:
    moves = [{"before": "s0", "after": "s0", "customers": 9, "share": 0.9}, {"before": "s0", "after": "s4", "customers": 1, "share": 0.1}]
    succession = {"former": "b1", "new": ["s4"], "retired": ["s2"], "moves": moves}
    moved = [{"since": "ranking period", "as_of": "", "changed_share": None}, {"since": "bundle b1", "as_of": "", "changed_share": 0.021}]
    model = {"model": "clerk", "named_by_terms": ["s4"], "is_complete": False}
    segments = {"names": {"s0": "Tea [people]", "s4": "Soap (by terms)"}, "moves": moved, "succession": succession}
    file = io.StringIO()
    for table in manifest_tables({**loaded_bundle.manifest, "segments": segments, "language_model": model}):
        Console(file=file, width=240).print(table)
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "segments; 2.1% changed since the bundle b1" in lines
    assert "s0 Tea [people] the same; 90% of its customers stayed" in lines
    assert "s4 Soap (by terms) new" in lines
    assert "s2 - ended here" in lines
    assert any("clerk; named by their terms: s4; it did not answer everything" in line for line in lines)


def test_a_list_shows_the_rules_that_acted_and_what_each_reason_rests_on() -> None:
    reasons = (Reason(ReasonCode.SAME_BRAND, name="Acme"), Reason(ReasonCode.BOUGHT_TOGETHER, "i2"), Reason(ReasonCode.POPULAR))
    items = (
        RecommendedItem("i1", 1.0, 1, ("als",), reasons, ("pins.1",)),
        RecommendedItem("i2", 0.5, 2, ("als",), (Reason(ReasonCode.BOUGHT_BEFORE, "i2"),), (), 0.1234),
    )
    trace = Trace("home", "v", "b", rules=(RuleEffect("exclude[0]", 0, 41), RuleEffect("pins.1", 1, 0)))
    answer = Recommendation(Query(2, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), items, trace)
    file = io.StringIO()
    console = Console(file=file, width=300)
    console.print(recommendation_table("list", rows_of(answer, {"i1": "Tea", "i2": "Mug"})))
    console.print(rules_table(answer))
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "1 Tea (i1) als from a brand bought before: Acme; bought together: Mug; popular pins.1" in lines
    assert "2 Mug (i2) 12.3% als bought before" in lines
    assert "exclude[0] 0 41" in lines
    assert "pins.1 1 0" in lines


def test_what_customers_mention_is_quoted_and_a_group_is_called_by_its_name() -> None:
    time = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    reasons = (
        Reason(ReasonCode.MENTIONED, "i2", "handle", 0.5, Mention("a fine handle", time, 4)),
        Reason(ReasonCode.POPULAR_IN_SEGMENT, name="s1", strength=0.3),
        Reason(ReasonCode.POPULAR_IN_SEGMENT, name="low", strength=0.2),
    )
    trace = Trace("home", "v", "b", segment="s1", segment_name="Tea people", tier="low")
    answer = Recommendation(Query(1, time), (RecommendedItem("i1", 1.0, 1, (), reasons),), trace)
    ((*_, said, _),) = rows_of(answer, {"i1": "Cup", "i2": "Mug"})
    assert said == [
        "4 customers mention handle, as they do of Mug: \u201ca fine handle\u201d",
        "popular in segment: Tea people",
        "popular in segment: customers of tier low",
    ]
    told = json.loads(json.dumps(recommendation_json(answer, ())))["items"][0]["reasons"]
    assert told[0]["mention"] == {"quote": "a fine handle", "time": "2024-01-01T00:00:00+00:00", "n_reviewers": 4}
    assert told[1]["mention"] is None


def test_a_list_without_rules_has_no_column_and_no_table_of_them() -> None:
    answer = Recommendation(
        Query(1, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), (RecommendedItem("i1", 1.0, 1, (), ()),), Trace("home", "v", "b")
    )
    assert len(recommendation_table("list", rows_of(answer, {"i1": "Tea"})).columns) == 4
    assert rules_table(answer) is None


def test_keys_are_written_as_in_toml() -> None:
    keys = [
        ("a.b", "tuple[Literal['x', 'y'], ...]", "('x',)", "letters"),
        ("a.c", "float | None", "None", "much"),
        ("d", "str", "required", "who"),
    ]
    assert list(key_lines(keys)) == [
        'a.b = ["x"]',
        "    letters (tuple['x' | 'y', ...])",
        "a.c (unset)",
        "    much (float | None)",
        "d (required)",
        "    who (str)",
    ]


def test_a_reason_is_printed_as_it_is_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "shop.toml: [strategies.home] names [red] " + "far " * 40
    fail(reason)
    assert capsys.readouterr() == ("", f"segrec: {reason}\n")


def test_progress_leaves_no_trace_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with steps() as progress:
        progress(0, 2, "reading")
        progress(2, 2, "reading")
    assert capsys.readouterr() == ("", "")

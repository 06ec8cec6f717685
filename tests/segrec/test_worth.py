"""`segrec eval worth`: its shuffles and shortened histories by hand, its prices, and the whole command on the shop of even and odd."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from world import DAY, END, QUICK

from offline_eval.evaluate import Measurements
from offline_eval.significance import Interval
from recsys.bundle import Bundle
from recsys.candidates.popular import PopularSource
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.protocols import Linker, Scorer
from recsys.types import Interactions, Query, Recommendation, Scored, aware
from segmentation.llm.usage import Usage
from segmentation.voice import Said, Voices
from segrec import cli
from segrec.worth.histories import FIFTHS, cut_down, fifths, n_baskets
from segrec.worth.prices import Took, price_table, took_of
from segrec.worth.remembering import Memory, sources_of
from segrec.worth.tables import beside, percent
from segrec.worth.variants import SHUFFLED, SILENT, UNTOLD, WITH, WITHOUT, Variant, donors_of, tells_needs


@settings(max_examples=20, deadline=None)
@given(bought=st.lists(st.booleans(), max_size=60), shuffle=st.integers(1, 5))
def test_a_shuffle_permutes_those_who_bought(bought: list[bool], shuffle: int) -> None:
    has_bought = np.array(bought, np.bool_)
    donors = donors_of(has_bought, shuffle)
    assert sorted(donors[has_bought]) == np.flatnonzero(has_bought).tolist()
    assert donors[~has_bought].tolist() == np.flatnonzero(~has_bought).tolist()


def test_new_customers_leave_nearly_all_shuffles_as_they_were() -> None:
    before, after = donors_of(np.ones(1000, np.bool_), 1), donors_of(np.ones(1020, np.bool_), 1)
    assert np.mean(before == after[:1000]) > 0.95
    assert np.mean(before == np.arange(1000)) < 0.02


def test_groups_are_as_found_or_one_or_dealt_out_anew(loaded_bundle: Bundle) -> None:
    found = loaded_bundle.profiles
    assert Variant(WITH).regrouped(found) is found
    one, dealt = Variant(WITHOUT).regrouped(found), Variant(SHUFFLED, 1).regrouped(found)
    assert set(one.segment) == set(one.tier) == {0}
    assert np.bincount(dealt.segment).tolist() == np.bincount(found.segment).tolist()
    assert np.bincount(dealt.tier).tolist() == np.bincount(found.tier).tolist()
    assert not np.array_equal(dealt.segment, found.segment)
    assert one.expected_value is dealt.expected_value is found.expected_value


def test_needs_are_as_found_or_nobody_s_or_dealt_out_with_the_rest(loaded_bundle: Bundle) -> None:
    n = len(loaded_bundle.profiles)
    voices = replace(
        Voices.nothing(n),
        n_texts=np.ones(n, np.int32),
        aspects=("even", "odd"),
        need_offsets=np.arange(n + 1),
        need_aspect=np.arange(n, dtype=np.int16) % 2,
        need_polarity=np.zeros(n, np.float32),
        need=Said.nothing(n),
    )
    found = replace(loaded_bundle.profiles, voices=voices)
    assert Variant(WITH).regrouped(found) is found
    for kind in (WITHOUT, SILENT):
        assert (Variant(kind).regrouped(found).voices.main_needs() == 0).all()
    assert Variant(SILENT).regrouped(found).segment is found.segment
    donors = donors_of(np.asarray(found.segment) >= 0, 1)
    assert Variant(SHUFFLED, 1).regrouped(found).voices.main_needs().tolist() == (donors % 2).tolist()


def test_needs_are_left_out_where_something_asks_for_them() -> None:
    assert not tells_needs(Config())
    assert tells_needs(parse_config({"features": {"x": {"scope": "need", "statistic": "lift"}}}, "test"))
    assert tells_needs(parse_config({"sources": {"x": {"kind": "popular", "within": "need"}}}, "test"))


def test_what_knows_no_groups_proposes_once_for_all_variants(
    small_bundle: Path, loaded_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, grouped = Memory(), replace(loaded_bundle, profiles=Variant(WITHOUT).regrouped(loaded_bundle.profiles))
    first, second = (Engine(memory.of(bundle, sources_of(small_bundle))) for bundle in (loaded_bundle, grouped))
    kinds = {name: [isinstance(source, kind) for kind in (Scorer, Linker)] for name, source in first.bundle.sources.items()}
    assert kinds["als"] == [True, True]
    assert kinds["repurchase"] == [False, False]

    def answer(engine: Engine, strategy: str) -> Recommendation:
        customer = engine.bundle.customers.ids[0]
        asked = Query(5, aware(END - 28 * DAY), customer, strategy=strategy, explain=True)
        return engine.recommend(asked, Snapshot.of(engine.bundle))

    assert answer(first, "home").items == answer(Engine(loaded_bundle), "home").items
    expected = answer(Engine(grouped), "home").items
    for source in loaded_bundle.sources.values():
        if not isinstance(source, PopularSource):
            monkeypatch.setattr(type(source), "retrieve", _never)
    assert answer(second, "home").items == expected
    assert answer(second, "discovery").trace.degraded  # other items are eligible, which nobody asked for before


def _never(*_: object) -> Scored:
    raise AssertionError("a source was asked again for what it had proposed")


def lines(*rows: tuple[int, int, int]) -> Interactions:
    """From (customer, day, basket), by day."""
    customers, days, baskets = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    n = len(rows)
    times = np.datetime64("2024-01-01T00:00:00", "us") + days * DAY
    ones = np.ones(n, np.float32)
    return Interactions(customers, np.zeros(n, np.int32), np.full(n, 2, np.int8), times, baskets, ones, ones)


PAST = lines((0, 1, 5), (1, 2, 6), (0, 3, 7), (0, 3, 7), (-1, 4, 8), (0, 5, -1), (0, 5, -1), (0, 6, -1))


def test_baskets_of_each_customer_are_counted() -> None:
    assert n_baskets(PAST, 3).tolist() == [4, 1, 0]


@pytest.mark.parametrize(("n", "left"), [(1, [1, 4, 7]), (2, [1, 4, 5, 6, 7]), (3, [1, 2, 3, 4, 5, 6, 7]), (9, list(range(8)))])
def test_a_past_is_cut_down_to_its_last_baskets(small_dataset: Dataset, n: int, left: list[int]) -> None:
    after = lines((0, 20, 9), (0, 21, 10))
    columns = {name: np.concatenate([getattr(PAST, name), getattr(after, name)]) for name in vars(PAST)}
    shop = replace(small_dataset, interactions=Interactions(**columns))
    cut = PAST.times[-1] + DAY
    assert cut_down(shop, cut, n, Config()).interactions.times.tolist() == [*PAST.times[left].tolist(), *after.times.tolist()]


def test_fifths_by_length_of_history() -> None:
    assert fifths(np.arange(10)) == [label for label in FIFTHS for _ in range(2)]
    assert set(fifths(np.full(5, 3))) == {FIFTHS[0]}


def test_only_answers_to_the_same_queries_stand_beside_one_another() -> None:
    one = Measurements("t", ("a",), ("NDCG@10",), ("c1", "c2"), ("now", "now"), {}, np.zeros((1, 1, 2)))
    both = beside([one, replace(one, systems=("b",))])
    assert both.systems == ("a", "b")
    assert both.values.shape == (2, 1, 2)
    with pytest.raises(ValueError, match="other queries"):
        beside([one, replace(one, customers=("c1", "c3"))])


def test_a_difference_is_printed_with_its_interval_where_there_is_one() -> None:
    assert percent(Interval(0.041, -0.02, 0.1, 50)) == "+4.1% [-2.0, +10.0]"
    assert percent(Interval(0.041, np.nan, np.nan, 3)) == "+4.1% [too few]"


def test_the_segment_speaks_where_it_is_known_and_the_work_is_kept(
    small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even customers like even items: popularity within the found segment knows this, popularity in the shop does not."""
    (tmp_path / "shop.toml").write_text(QUICK)
    command = ["eval", "worth", str(small_shop), "--config", str(tmp_path / "shop.toml"), "--cuts", "1", "--shuffles", "1"]
    command += ["--lengths", "1", "--work", str(tmp_path / "work")]

    def worth(*more: str) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["segrec", *command, *more])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        return tuple(capsys.readouterr())

    printed, _ = worth()
    for said in ("all purchases", "discovery", "last 1 basket", "engine, shuffled 1", "covers 0 in", "names no language model"):
        assert said in printed
    assert not list((tmp_path / "work" / "bundles").glob("*/*"))
    assert len(list((tmp_path / "work" / "stages").glob("thin-profiles-*"))) == 1  # the same for all variants

    again, steps = worth("--json")
    assert "boosting" not in steps
    found = json.loads(again)
    of_lengths = {f"{title}, {length}" for title in ("all purchases", "discovery") for length in ("last 1 basket", "thin histories")}
    assert set(found["tables"]) == {"all purchases", "discovery", *of_lengths}
    for table in found["tables"].values():
        means = {system: of["NDCG@10"] for system, of in table["means"].items()}
        assert means["popular_segment"] > 1.2 * means["popular_segment, without"]
        assert means["popular_segment"] > 1.2 * means["popular_segment, shuffled 1"]
    about = found["about"]
    assert about["command"].startswith(f"segrec eval worth {small_shop}")
    assert about["data"]["fingerprint"] == Dataset.load(small_shop).fingerprint
    assert {name.partition(",")[0] for name in about["bundles"]} == {"with", "without", "shuffled 1"}
    assert found["language_model"] is None


def test_a_language_model_is_priced_for_a_thousand_customers() -> None:
    reading, naming = Usage(calls=8, tokens_in=1000, tokens_out=100, cost=0.5, seconds=4.0), Usage(calls=2, tokens_in=200, cost=0.1)
    manifest = {
        "data": {"customers": 250},
        "voice": {"usage": asdict(reading)},
        "language_model": {"model": "told", "naming": {"usage": asdict(naming)}, "is_complete": False},
    }
    took = took_of(manifest)
    assert took.for_thousand() == pytest.approx({"calls": 40, "tokens_in": 4800, "tokens_out": 400, "cost": 2.4, "seconds": 16})
    assert Took.read(json.loads(json.dumps(asdict(took)))) == took
    console = Console(width=120)
    with console.capture() as printed:
        console.print(price_table(took))
    assert "did not answer all" in printed.get()
    assert "4,800" in printed.get()
    assert took_of({**manifest, "language_model": None}).model is None


def test_without_a_language_model_the_configuration_names_none() -> None:
    config = parse_config({"llm": {"endpoint": "http://localhost:1/v1", "model": "m"}}, "test")
    assert Variant(WITH).configured(config).llm.is_set
    assert not Variant(UNTOLD).configured(config).llm.is_set

"""The request path when a part of it fails or has no time: the answer is full, and names what was left out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import (
    Fake,
    FakeRanker,
    Patience,
    ask,
    assert_sound,
    reasons,
    with_sources,
    with_strategy,
)
from handmade import scored
from world import ITEM_IDS, N_ITEMS, NOT_RECOMMENDABLE, NUMBER

from recsys.bundle import MANIFEST, Bundle, manifest_sha256, sha256
from recsys.engine import Engine, Snapshot
from recsys.types import ReasonCode, Scored


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (Fake(Scored.empty(), OSError("the disk is gone")), "source als: OSError: the disk is gone"),
        (Fake(scored((2, np.nan), (4, 1.0))), "source als: scores are not finite"),
        (Fake(scored((2, np.inf))), "source als: scores are not finite"),
        (Fake(scored((NUMBER[NOT_RECOMMENDABLE], 3.0), (4, 1.0))), "source als: it proposed what is not eligible"),
        (Fake(scored((N_ITEMS, 3.0))), "source als: IndexError"),
    ],
)
def test_a_source_that_fails_is_left_out_and_named(loaded_bundle: Bundle, plain: Snapshot, fake: Fake, said: str) -> None:
    answer = with_sources(loaded_bundle, {"als": fake}).recommend(ask(), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    (problem,) = answer.trace.degraded
    assert problem.startswith(said)
    assert not any("als" in item.sources for item in answer.items)


def test_when_every_source_fails_the_answer_is_still_full(loaded_bundle: Bundle, plain: Snapshot) -> None:
    broken = Fake(Scored.empty(), RuntimeError("no"))
    answer = with_sources(loaded_bundle, dict.fromkeys(loaded_bundle.sources, broken)).recommend(ask(), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    assert len(answer.trace.degraded) == len(plain.strategies.strategies["home"].sources)
    assert reasons(answer) == {ReasonCode.LAST_RESORT}


def test_a_source_that_cannot_say_why_still_proposes(loaded_bundle: Bundle, plain: Snapshot) -> None:
    mute = Fake(scored((2, 3.0), (4, 1.0)), problem_because=KeyError("lost"))
    answer = with_sources(loaded_bundle, {"popular": mute}).recommend(ask(k=2), with_strategy(plain))
    assert_sound(answer)
    assert answer.item_ids == (ITEM_IDS[2], ITEM_IDS[4])
    assert answer.trace.degraded == ("reasons of source popular: KeyError: 'lost'",)
    assert reasons(answer) == {ReasonCode.POPULAR}


def test_a_source_that_could_not_be_loaded_is_named(loaded_bundle: Bundle, plain: Snapshot) -> None:
    others = {name: source for name, source in loaded_bundle.sources.items() if name != "covisit"}
    engine = Engine(replace(loaded_bundle, sources=others, failed_sources={"covisit": "OSError: cut short"}))
    answer = engine.recommend(ask(), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    assert answer.trace.degraded == ("source covisit: OSError: cut short",)


def test_nan_factors_are_named_and_the_answer_is_full(loaded_bundle: Bundle, plain: Snapshot) -> None:
    als: Any = loaded_bundle.sources["als"]
    broken = replace(als, factors=np.full_like(als.factors, np.nan))
    answer = Engine(replace(loaded_bundle, sources={**loaded_bundle.sources, "als": broken})).recommend(ask(), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    assert answer.trace.degraded[0].startswith("source als: ValueError")


def test_a_truncated_index_is_named_and_the_answer_is_full(small_bundle: Path, plain: Snapshot, tmp_path: Path) -> None:
    """The checksums are made to fit, so that the loading itself meets the damage."""
    copy = shutil.copytree(small_bundle, tmp_path / "copy")
    index = copy / "sources" / "als" / "index" / "index.faiss"
    index.write_bytes(index.read_bytes()[:-100])
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["sources/als/index/index.faiss"]["sha256"] = sha256(index)
    manifest["sha256"] = manifest_sha256(manifest)
    (copy / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    answer = Engine(Bundle.load(copy)).recommend(ask(), plain)
    assert_sound(answer)
    assert len(answer.items) == 10
    (problem,) = answer.trace.degraded
    assert problem.startswith("source als: BundleError")
    assert "cut short" in problem


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (float("nan"), "ranker home: scores are not finite"),
        (float("inf"), "ranker home: scores are not finite"),
        (ValueError("another width"), "ranker home: ValueError: another width"),
    ],
)
def test_a_ranker_that_fails_leaves_the_merged_order(loaded_bundle: Bundle, plain: Snapshot, outcome: float | Exception, said: str) -> None:
    engine = Engine(replace(loaded_bundle, rankers={**loaded_bundle.rankers, "home": FakeRanker(outcome)}))
    answer = engine.recommend(ask(), plain)
    assert_sound(answer)
    assert answer.trace.degraded == (said,)
    home = plain.strategies.strategies["home"].model_dump()
    assert answer.item_ids == engine.recommend(ask(), with_strategy(plain, **{**home, "ranker": None})).item_ids


def test_out_of_time_from_the_start_the_most_bought_items_answer(engine: Engine, plain: Snapshot) -> None:
    answer = engine.recommend(ask(), plain, Patience(0))
    sources = plain.strategies.strategies["home"].sources
    assert_sound(answer)
    assert len(answer.items) == 10
    assert answer.trace.degraded == tuple(f"source {name}: out of time" for name in sources)


def test_out_of_time_half_way_the_sources_asked_so_far_answer(engine: Engine, plain: Snapshot) -> None:
    sources = list(plain.strategies.strategies["home"].sources)
    answer = engine.recommend(ask(), plain, Patience(2))
    assert_sound(answer)
    assert len(answer.items) == 10
    assert answer.trace.degraded == (*(f"source {name}: out of time" for name in sources[2:]), "ranker home: out of time")
    assert {name for item in answer.items for name in item.sources} <= {*sources[:2], "last_resort"}


def test_out_of_time_before_ranking_the_merged_order_answers(engine: Engine, plain: Snapshot) -> None:
    answer = engine.recommend(ask(), plain, Patience(len(plain.strategies.strategies["home"].sources)))
    assert answer.trace.degraded == ("ranker home: out of time",)
    assert answer.features.shape == (10, 0)


def test_a_budget_is_told_of_every_stage(engine: Engine, plain: Snapshot) -> None:
    patience = Patience(1000)
    engine.recommend(ask(), plain, patience)
    sources = [f"retrieve {name}" for name in plain.strategies.strategies["home"].sources]
    assert patience.stages == ["eligibility", *sources, "features", "rank", "select", "explain"]

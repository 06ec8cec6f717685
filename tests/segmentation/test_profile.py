from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.evidence import Evidence
from segmentation.profile import CustomerProfile, Profiles
from segmentation.reasons import ProfileReason
from segmentation.voice import Voices

EVIDENCE = Evidence(
    n_orders=np.array([3, 0, 1], np.int32),
    first_order=np.array(["2024-03-02", "NaT", "2023-05-02"], "datetime64[us]"),
    last_order=np.array(["2024-04-27", "NaT", "2023-05-02"], "datetime64[us]"),
    interval_days=np.array([16.0, np.nan, 20.0], np.float32),
    spend=np.array([60.0, np.nan, -5.0], np.float32),
    recent_orders=np.array([1, 0, 0], np.int32),
    recent_spend=np.array([20.0, np.nan, 0.0], np.float32),
    tier_value=np.array([12.5, np.nan, 0.25]),
    thing=np.array([0, -1, -1], np.int32),
    thing_lines=np.array([2, 0, 0], np.int32),
    thing_weight=np.array([np.log(4), np.nan, np.nan], np.float32),
    runner_up=np.array([0, -1, 1], np.int16),
    runner_up_probability=np.array([0.25, np.nan, 0.25], np.float32),
    thing_names=("i-käse", "tea"),
    n_items=1,
    tier_unit="money",
    tier_cuts=(5.0, 10.0),
    order_limits=(2, 8),
    typical_interval_days=20.0,
)
TABLE = Profiles(
    segment=np.array([1, -1, 0], np.int16),
    tier=np.array([2, -1, 0], np.int8),
    stage=np.array([2, -1, 4], np.int8),
    expected_value=np.array([12.5, np.nan, 0.25], np.float32),
    churn_probability=np.array([0.125, np.nan, np.nan], np.float32),
    segment_confidence=np.array([0.5, np.nan, 0.75], np.float32),
    outlier=np.array([False, False, True]),
    segment_ids=("s0", "s1"),
    segment_names=("Tea (by terms)", "Käse (by terms)"),
    horizon_days=28.0,
    as_of=np.datetime64("2024-05-01", "us"),
    evidence=EVIDENCE,
    voices=Voices.nothing(3),
)


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_a_row_becomes_a_profile_with_its_reasons_the_strongest_first() -> None:
    month_ago = day("2024-04-03")
    reasons = (
        ProfileReason("bought_item", ("segment",), pytest.approx(0.75), 2.0, "lines", name="i-käse"),  # 1 - 1 / 4
        ProfileReason("last_order", ("stage", "churn"), 0.75, 4.0, "days", 16.0, time=day("2024-04-27")),
        ProfileReason("orders", ("stage", "churn"), 0.625, 3.0, "orders", 8.0, time=day("2024-03-02")),
        ProfileReason("runner_up", ("segment",), 0.5, 0.5, "probability", 0.25, "s0"),
        ProfileReason("above_cut", ("tier",), pytest.approx(0.2), 12.5, "money", 10.0),
        ProfileReason("usual_interval", ("stage",), pytest.approx(0.2), 16.0, "days", 20.0),
        ProfileReason("recent_orders", ("tier", "churn"), 0.0, 1.0, "orders", time=month_ago),
        ProfileReason("recent_spend", ("tier",), 0.0, 20.0, "money", time=month_ago),
    )
    expected = CustomerProfile(
        customer_id="ann",
        segment="s1",
        segment_name="Käse (by terms)",
        tier="high",
        stage="loyal",
        expected_value=12.5,
        churn_probability=0.125,
        horizon_days=28.0,
        as_of=day("2024-05-01"),
        segment_confidence=0.5,
        tier_confidence=pytest.approx(0.2),
        reasons=reasons,
    )
    assert TABLE.profile(0, "ann") == expected


def test_an_outlier_of_one_order_whose_churn_is_unknown() -> None:
    lapsed = TABLE.profile(2, "cid")
    assert lapsed is not None
    assert (lapsed.segment, lapsed.tier, lapsed.stage, lapsed.is_outlier) == ("s0", "low", "lapsed", True)
    assert math.isnan(lapsed.churn_probability)
    assert lapsed.degraded == ("churn_probability: too little history to estimate it",)
    codes = ["outlier", "below_cut", "last_order", "nothing_telling", "recent_orders", "recent_spend", "orders"]
    assert [reason.code for reason in lapsed.reasons] == codes
    assert lapsed.tier_confidence == pytest.approx(0.95)


def test_a_customer_that_stays_in_its_segment_is_told_where_it_would_belong() -> None:
    evidence = replace(EVIDENCE, runner_up_probability=np.array([0.6, np.nan, 0.25], np.float32))
    kept = replace(TABLE, evidence=evidence, segment_confidence=np.array([0.4, np.nan, 0.75], np.float32)).profile(0, "ann")
    assert kept is not None
    strongest = kept.reasons[0]
    assert (strongest.code, strongest.strength, strongest.name) == ("segment_kept", 1.0, "s0")
    assert (strongest.number, strongest.against) == (pytest.approx(0.4), pytest.approx(0.6))


def test_a_shop_without_money_says_so_and_speaks_of_lines() -> None:
    nothing = np.full(3, np.nan, np.float32)
    evidence = replace(EVIDENCE, spend=nothing, recent_spend=nothing, tier_unit="lines")
    profile = replace(TABLE, evidence=evidence, expected_value=nothing).profile(0, "ann")
    assert profile is not None
    assert profile.degraded == ("expected_value: the shop gives no money; tiers rest on expected lines",)
    assert {reason.unit for reason in profile.reasons if "tier" in reason.about} == {"lines", "orders"}


def test_what_a_customer_says_is_in_its_profile() -> None:
    voices = replace(Voices.nothing(3), n_texts=np.array([0, 0, 2], np.int32), degraded=np.array([False, False, True]))
    table = replace(TABLE, voices=voices)
    silent, told = table.profile(0, "ann"), table.profile(2, "cid")
    assert silent is not None
    assert told is not None
    assert silent.voice is None
    assert told.voice == voices.of(2)
    assert told.degraded[-1] == "voice: labels of the language model are missing"


@pytest.mark.parametrize("customer_num", [1, 3, -1])
def test_who_never_bought_or_is_unknown_has_no_profile(customer_num: int) -> None:
    assert TABLE.profile(customer_num, "bob") is None


@pytest.mark.parametrize("n", [3, 0])
def test_saved_profiles_come_back_memory_mapped(tmp_path: Path, n: int) -> None:
    table = first(TABLE, n, evidence=first(EVIDENCE, n), voices=Voices.nothing(n))
    table.save(tmp_path / "profiles")
    loaded = Profiles.load(tmp_path / "profiles")
    for ours, theirs in ((table, loaded), (table.evidence, loaded.evidence)):
        for name, value in vars(ours).items():
            if isinstance(value, np.ndarray):
                assert isinstance(getattr(theirs, name), np.memmap)
                np.testing.assert_array_equal(getattr(theirs, name), value)
            elif name not in ("evidence", "voices"):
                assert getattr(theirs, name) == value
    assert len(loaded.voices) == n


def first(table: Any, n: int, **others: Any) -> Any:
    """The same with the first n rows of each column, and other values."""
    return replace(table, **others, **{name: column[:n] for name, column in vars(table).items() if isinstance(column, np.ndarray)})


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("tier.npy", "profiles"),
        ("profiles.json", "profiles"),
        ("evidence/thing.npy", "evidence"),
        ("evidence/evidence.json", "evidence"),
        ("voices/voices.json", "voices"),
    ],
)
@pytest.mark.parametrize("damage", [None, b"", b"{}"])
def test_damaged_files_are_named(tmp_path: Path, file: str, what: str, damage: bytes | None) -> None:
    TABLE.save(tmp_path)
    (tmp_path / file).unlink() if damage is None else (tmp_path / file).write_bytes(damage)
    with pytest.raises(SegmentationError, match=f"does not hold {what}"):
        Profiles.load(tmp_path)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        replace(TABLE, tier=np.zeros(1, np.int8))
    with pytest.raises(ValueError, match="differ in length"):
        replace(TABLE, voices=Voices.nothing(2))
    with pytest.raises(ValueError, match="differ in length"):
        replace(EVIDENCE, thing=np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="2 segment ids but 1 names"):
        replace(TABLE, segment_names=("Tea",))

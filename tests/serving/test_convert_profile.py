import datetime as dt
import math
from typing import Any

import pytest

from segmentation.profile import CustomerProfile
from segmentation.reasons import PARTS, REASON_CODES, UNITS, ProfileReason
from segmentation.voice import Intent, Mood, Named, Need, Voice
from serving.convert_profile import to_profile
from serving.pb.recsys.v1 import recommender_pb2 as pb

AS_OF = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
WROTE = dt.datetime(2017, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC)


def stamp(time: dt.datetime) -> Any:
    message = pb.ProfileReason()
    message.time.FromDatetime(time)
    return message.time


def customer(**fields: Any) -> CustomerProfile:
    known: dict[str, Any] = {
        "customer_id": "c1",
        "segment": "s3",
        "segment_name": "Night owls",
        "tier": "high",
        "stage": "at_risk",
        "expected_value": 12.5,
        "churn_probability": 0.25,
        "horizon_days": 28.0,
        "as_of": AS_OF,
        "segment_confidence": 0.5,
        "is_outlier": True,
        "tier_confidence": 0.75,
    }
    return CustomerProfile(**{**known, **fields})


WIRE_REASONS = [
    pb.ProfileReason(
        code=pb.PROFILE_REASON_CODE_LAST_ORDER,
        parts=[pb.PROFILE_PART_STAGE, pb.PROFILE_PART_CHURN],
        strength=0.5,
        number=8.0,
        unit=pb.REASON_UNIT_DAYS,
        against=4.0,
        time=stamp(WROTE),
    ),
    pb.ProfileReason(
        code=pb.PROFILE_REASON_CODE_BOUGHT_ITEM,
        parts=[pb.PROFILE_PART_SEGMENT],
        strength=0.25,
        number=3.0,
        unit=pb.REASON_UNIT_LINES,
        name="i7",
    ),
    pb.ProfileReason(code=pb.PROFILE_REASON_CODE_NOTHING_TELLING, parts=[pb.PROFILE_PART_SEGMENT]),
]


def test_the_whole_profile_reaches_the_wire() -> None:
    reasons = (
        ProfileReason("last_order", ("stage", "churn"), 0.5, 8.0, "days", 4.0, time=WROTE),
        ProfileReason("bought_item", ("segment",), 0.25, 3.0, "lines", name="i7"),
        ProfileReason("nothing_telling", ("segment",), 0.0),
    )
    voice = Voice(
        Mood(0.5, -0.25, 0.75, 4, WROTE),
        (Intent("leave", 0.5, 0.25, 2, WROTE),),
        (Need("delivery", -1.0, 0.5, 3, WROTE),),
        (Named("brand", "Northwind", 2, WROTE),),
        is_degraded=True,
    )
    read = {"last_time": stamp(WROTE)}
    assert to_profile(customer(reasons=reasons, voice=voice), "r1", "b1") == pb.CustomerProfile(
        request_id="r1",
        bundle_version="b1",
        customer_id="c1",
        as_of_time=stamp(AS_OF),
        horizon_days=28.0,
        segment=pb.Segment(id="s3", name="Night owls"),
        segment_confidence=0.5,
        is_outlier=True,
        tier=pb.TIER_HIGH,
        tier_confidence=0.75,
        stage=pb.STAGE_AT_RISK,
        expected_value=12.5,
        churn_probability=0.25,
        reasons=WIRE_REASONS,
        voice=pb.Voice(
            mood=pb.Mood(score=0.5, trend=-0.25, confidence=0.75, text_count=4, **read),
            intents=[pb.Intent(name="leave", probability=0.5, confidence=0.25, text_count=2, **read)],
            needs=[pb.Need(aspect="delivery", polarity=-1.0, confidence=0.5, text_count=3, **read)],
            is_degraded=True,
            named=[pb.Named(kind="brand", value="Northwind", text_count=2, **read)],
        ),
        degraded_parts=["voice: labels of the language model are missing"],
    )


def test_what_is_not_known_stays_unset() -> None:
    mood = Mood(0.0, math.nan, 0.5, 1, WROTE)
    answer = to_profile(customer(expected_value=math.nan, churn_probability=math.nan, voice=Voice(mood, (), (), (), False)), "r1", "b1")
    assert not answer.HasField("expected_value")
    assert not answer.HasField("churn_probability")
    assert not answer.voice.mood.HasField("trend")
    assert [part.partition(":")[0] for part in answer.degraded_parts] == ["expected_value", "churn_probability"]
    assert not to_profile(customer(), "r1", "b1").HasField("voice")


def test_zero_is_said() -> None:
    reason = ProfileReason("recent_orders", ("tier", "churn"), 0.0, 0.0, "orders", time=AS_OF)
    answer = to_profile(customer(expected_value=0.0, reasons=(reason,)), "r1", "b1")
    assert answer.HasField("expected_value")
    assert answer.reasons[0].HasField("number")


@pytest.mark.parametrize(
    ("enum", "prefix", "values"),
    [
        (pb.ProfileReasonCode, "PROFILE_REASON_CODE", REASON_CODES),
        (pb.ProfilePart, "PROFILE_PART", PARTS),
        (pb.ReasonUnit, "REASON_UNIT", UNITS),
    ],
)
def test_the_wire_has_a_name_for_every_value_of_a_profile_and_for_no_other(enum: Any, prefix: str, values: tuple[str, ...]) -> None:
    assert enum.keys() == [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{value.upper()}" for value in values)]

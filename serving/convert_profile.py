"""A customer's profile as it is sent."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from segmentation.profile import CustomerProfile
from segmentation.reasons import ProfileReason
from segmentation.voice import Intent, Mood, Need, Voice
from serving.pb.recsys.v1 import recommender_pb2 as pb


def to_profile(profile: CustomerProfile, request_id: str, bundle_version: str) -> pb.CustomerProfile:
    """The answer to a `GetCustomerProfile`; what is NaN in the profile stays unset."""
    return pb.CustomerProfile(
        request_id=request_id,
        bundle_version=bundle_version,
        customer_id=profile.customer_id,
        as_of_time=_timestamp(profile.as_of),
        horizon_days=profile.horizon_days,
        segment=pb.Segment(id=profile.segment, name=profile.segment_name),
        segment_confidence=profile.segment_confidence,
        is_outlier=profile.is_outlier,
        tier=pb.Tier.Value(f"TIER_{profile.tier.upper()}"),
        tier_confidence=profile.tier_confidence,
        stage=pb.Stage.Value(f"STAGE_{profile.stage.upper()}"),
        expected_value=_known(profile.expected_value),
        churn_probability=_known(profile.churn_probability),
        reasons=[_reason(reason) for reason in profile.reasons],
        voice=None if profile.voice is None else _voice(profile.voice),
        degraded_parts=profile.degraded,
    )


def _reason(reason: ProfileReason) -> pb.ProfileReason:
    return pb.ProfileReason(
        code=pb.ProfileReasonCode.Value(f"PROFILE_REASON_CODE_{reason.code.upper()}"),
        parts=[pb.ProfilePart.Value(f"PROFILE_PART_{part.upper()}") for part in reason.about],
        strength=reason.strength,
        number=reason.number,
        unit=pb.REASON_UNIT_UNSPECIFIED if reason.unit is None else pb.ReasonUnit.Value(f"REASON_UNIT_{reason.unit.upper()}"),
        against=reason.against,
        name=reason.name or "",
        time=None if reason.time is None else _timestamp(reason.time),
    )


def _voice(voice: Voice) -> pb.Voice:
    mood = voice.mood
    return pb.Voice(
        mood=None if mood is None else pb.Mood(score=mood.score, trend=_known(mood.trend), **_read(mood)),
        intents=[pb.Intent(name=intent.name, probability=intent.probability, **_read(intent)) for intent in voice.intents],
        needs=[pb.Need(aspect=need.aspect, polarity=need.polarity, **_read(need)) for need in voice.needs],
        is_degraded=voice.is_degraded,
        named=[
            pb.Named(kind=one.kind, value=one.value, text_count=one.n_texts, last_time=_timestamp(one.last_time)) for one in voice.named
        ],
    )


def _read(said: Mood | Intent | Need) -> dict[str, Any]:
    """The fields that say how much was read."""
    return {"confidence": said.confidence, "text_count": said.n_texts, "last_time": _timestamp(said.last_time)}


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _timestamp(time: dt.datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(time)
    return found

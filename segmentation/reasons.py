"""Why a customer has its profile: what its own purchases say, each beside what it is measured against."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from segmentation.evidence import Evidence, Facts

PARTS = ("segment", "tier", "stage", "churn")
UNITS = ("lines", "orders", "money", "days", "probability")
REASON_CODES = (
    "bought_item",
    "bought_topic",
    "nothing_telling",
    "outlier",
    "runner_up",
    "segment_kept",
    "above_cut",
    "below_cut",
    "recent_orders",
    "recent_spend",
    "last_order",
    "usual_interval",
    "orders",
)
SURE = 0.7
"""A segment that is less probable than this has its runner-up named."""
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class ProfileReason:
    """One reason, true of the customer's own data as of the profile's time.

    code             number (unit)                     against                          name          time
    bought_item      lines with it (lines)                                              item id
    bought_topic     lines of it (lines)                                                topic
    nothing_telling
    outlier
    runner_up        that of the segment (probability) that of the runner-up            segment id
    segment_kept     that of the segment (probability) that of a likelier segment       segment id
    above_cut        expected value (money or lines)   the cut below it
    below_cut        expected value (money or lines)   the cut above it
    recent_orders    in the last horizon (orders)                                                     its beginning
    recent_spend     in the last horizon (money)                                                      its beginning
    last_order       days since it (days)              usual interval                                 when it was
    usual_interval   between orders (days)             that of the typical customer
    orders           in all (orders)                   limit of the stage                             the first one

    number, against, name, time: None where the table has none. Orders have no limit to stand against at risk and lapsed.
    about:    what of the profile it explains, of PARTS
    strength: in [0, 1]; of a comparison the distance of the two numbers as a share of the larger; of what was bought 1 - exp(-weight), with
              its weight in the log-likelihood of the segment (`telling`); of a runner-up how likely it is beside the segment; of an outlier
              and of a segment kept 1; of what compares with nothing 0
    """

    code: str
    about: tuple[str, ...]
    strength: float
    number: float | None = None
    unit: str | None = None
    against: float | None = None
    name: str | None = None
    time: dt.datetime | None = None


@dataclass(frozen=True)
class Judged:
    """What was said of a customer that reasons are given for. segment_ids: of all segments, for the runner-up's name"""

    segment_ids: Sequence[str]
    confidence: float
    is_outlier: bool
    stage: str
    as_of: dt.datetime
    horizon_days: float


def reasons_for(judged: Judged, facts: Facts, evidence: Evidence) -> tuple[ProfileReason, ...]:
    """All reasons of one customer, the strongest first; of equally strong ones in the order of PARTS."""
    reasons = [*_segment(judged, facts), *_tier(facts, evidence), *_recent(judged, facts), *_rhythm(judged, facts, evidence)]
    return tuple(sorted(reasons, key=lambda reason: -reason.strength))


def apart(number: float, against: float) -> float:
    """How far two amounts are apart, as a share of the larger; in [0, 1], 0 where both are 0 or less."""
    low, high = sorted((max(number, 0.0), max(against, 0.0)))
    return 1 - low / high if high > 0 else 0.0


def tier_confidence(facts: Facts, evidence: Evidence) -> float:
    """How far the expected value is from the nearest cut that bounds its tier, as a share of the larger of the two."""
    return min(reason.strength for reason in _tier(facts, evidence))


def _segment(judged: Judged, facts: Facts) -> list[ProfileReason]:
    about = ("segment",)
    reasons = [ProfileReason("outlier", about, 1.0)] if judged.is_outlier else _doubt(judged, facts)
    if facts.thing is None:
        return [*reasons, ProfileReason("nothing_telling", about, 0.0)]
    code = "bought_item" if facts.thing_is_item else "bought_topic"
    strength = -math.expm1(-facts.thing_weight)
    return [*reasons, ProfileReason(code, about, strength, float(facts.thing_lines), "lines", name=facts.thing)]


def _doubt(judged: Judged, facts: Facts) -> list[ProfileReason]:
    own, other = judged.confidence, facts.runner_up_probability
    if facts.runner_up is None or own >= SURE:
        return []
    code, strength = ("segment_kept", 1.0) if other > own else ("runner_up", other / own)
    return [ProfileReason(code, ("segment",), strength, own, "probability", other, judged.segment_ids[facts.runner_up])]


def _tier(facts: Facts, evidence: Evidence) -> list[ProfileReason]:
    value, unit = facts.tier_value, evidence.tier_unit
    below = [cut for cut in evidence.tier_cuts if cut < value][-1:]
    above = [cut for cut in evidence.tier_cuts if cut >= value][:1]
    cuts = [*(("above_cut", cut) for cut in below), *(("below_cut", cut) for cut in above)]
    return [ProfileReason(code, ("tier",), apart(value, cut), value, unit, cut) for code, cut in cuts]


def _recent(judged: Judged, facts: Facts) -> list[ProfileReason]:
    start = judged.as_of - judged.horizon_days * DAY
    orders = ProfileReason("recent_orders", ("tier", "churn"), 0.0, float(facts.recent_orders), "orders", time=start)
    if facts.recent_spend is None:
        return [orders]
    return [orders, ProfileReason("recent_spend", ("tier",), 0.0, facts.recent_spend, "money", time=start)]


def _rhythm(judged: Judged, facts: Facts, evidence: Evidence) -> list[ProfileReason]:
    silence, usual, typical = (judged.as_of - facts.last_order) / DAY, facts.interval_days, evidence.typical_interval_days
    reasons = [ProfileReason("last_order", ("stage", "churn"), apart(silence, usual), silence, "days", usual, time=facts.last_order)]
    if facts.n_orders > 1:
        reasons.append(ProfileReason("usual_interval", ("stage",), apart(usual, typical), usual, "days", typical))
    most_new, least_loyal = evidence.order_limits
    limit = {"new": most_new, "active": least_loyal, "loyal": least_loyal}.get(judged.stage)
    strength = 0.0 if limit is None else apart(facts.n_orders, limit)
    against = None if limit is None else float(limit)
    number = float(facts.n_orders)
    return [*reasons, ProfileReason("orders", ("stage", "churn"), strength, number, "orders", against, time=facts.first_order)]

"""What there is to say of a segmentation as of a time, as plain JSON values; `segrec.segment_page` shows it to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.describe import Facts, Statement, shares_of_lines
from segmentation.map import Map, draw_map
from segmentation.model import SegmentationModel
from segmentation.portraits import Segment, Sitters, bought_by
from segmentation.profile import STAGES, TIERS, Profiles
from segmentation.purchases import DAY, Purchases, duration, orders_of
from segmentation.rfm import orders_to_rfm, purchases_among
from segmentation.taste import Bought
from segmentation.voice import Voices
from segrec.segment_voice import is_by_terms, voice_lines

N_ITEMS = 8
N_BINS = 10
MIN_OUTCOMES = 50
"""Of fewer customers nothing is said about whether predictions came true."""
SEED = 0
"""Of the customers drawn for the map: the same in every report."""

Json = dict[str, Any]


def report_of(
    model: SegmentationModel,
    profiles: Profiles,
    purchases: Purchases,
    titles: Mapping[str, str],
    later: Purchases | None = None,
    *,
    voice: Mapping[str, Any] | None,
    n_asked: int | None,
) -> Json:
    """Everything that the page shows.

    Args:
        profiles: by this model
        purchases: all before the time of the profiles
        titles: of items, by their names in `purchases`
        later: what was bought in the whole horizon after it, to see what came true; None = nobody knows yet
        voice: facts of what reads texts; None = nobody had written anything when it was fitted
        n_asked: number of segments that the configuration asks for; None = it was chosen
    """
    customers = np.flatnonzero(profiles.segment >= 0).astype(np.int32)
    drawn = draw_map(model.clusters, purchases, model.item_names, model.topic_names, titles, seed=SEED)
    return {
        "as_of": str(profiles.as_of)[:19],
        "fitted_as_of": str(model.fitted_as_of)[:19],
        "horizon_days": profiles.horizon_days,
        "in_money": model.in_money,
        "n_customers": len(customers),
        "n_outliers": int(profiles.outlier[customers].sum()),
        "segments": _segments(model, profiles, customers, purchases, titles),
        "everybody": _group(profiles, customers),
        "tiers": {"names": TIERS, **asdict(model.tiers)},
        "stages": {"names": STAGES, "typical_interval_days": model.lifecycle.typical_interval_days, **asdict(model.lifecycle.rules)},
        "n_asked": n_asked,
        "choice": [_rounded(asdict(candidate)) for candidate in model.choice],
        "map": None if drawn is None else _map(drawn, profiles.segment),
        "outcome": None if later is None else _outcome(profiles, customers, later),
        "method": model.outlook.method,
        "needs_are_by_terms": is_by_terms(voice),
        "notes": [*_notes(model, profiles, customers, n_asked), *([] if voice is None else voice_lines(voice))],
    }


def followed(purchases: Purchases, as_of: np.datetime64, horizon_days: float, until: np.datetime64) -> Purchases | None:
    """The lines of the horizon after `as_of`; None where the data, which end at `until`, do not cover it."""
    end = as_of + duration(horizon_days)
    return purchases.take((purchases.times >= as_of) & (purchases.times < end)) if until >= end - DAY else None


def _segments(
    model: SegmentationModel, profiles: Profiles, customers: NDArray[np.int32], purchases: Purchases, titles: Mapping[str, str]
) -> list[Json]:
    segments = profiles.segment[customers]
    rfm = orders_to_rfm(orders_of(purchases), len(profiles), profiles.as_of)
    sitters = Sitters(customers, segments, len(model.segments), rfm, purchases, model.in_money)
    things = purchases.things(model.item_names, ())
    bought = Bought.of(purchases.customers, things, len(model.item_names))
    items = bought_by(sitters, bought, model.item_names, titles)
    counts = purchases.topic_counts(customers, purchases.topic_names)
    topics = shares_of_lines(segments, len(model.segments), counts, purchases.topic_names)
    worth = profiles.expected_value[customers].astype(np.float64)
    told = []
    for row, segment in enumerate(model.segments):
        members = customers[segments == row]
        told.append(
            {
                "id": segment.id,
                "name": segment.name,
                "is_named_by_terms": segment.is_named_by_terms,
                "summary": segment.summary,
                "share_when_fitted": round(segment.share, 4),
                "share_of_value": _share(worth[segments == row].sum(), worth.sum()),
                "description": [asdict(statement) for statement in segment.description],
                **_terms(topics, items, row, segment),
                "items": _facts(items.telling(row, N_ITEMS)),
                **_group(profiles, members),
                "voice": _voice(profiles.voices, members),
            }
        )
    return told


def _group(profiles: Profiles, members: NDArray[np.int32]) -> Json:
    """Size, value, churn, tiers and stages of some customers."""
    return {
        "n": len(members),
        "value": _spread(profiles.expected_value[members]),
        "churn": _spread(profiles.churn_probability[members]),
        "confidence": _spread(profiles.segment_confidence[members]),
        "tiers": np.bincount(profiles.tier[members], minlength=len(TIERS)).tolist(),
        "stages": np.bincount(profiles.stage[members], minlength=len(STAGES)).tolist(),
    }


def _spread(values: NDArray[np.floating]) -> Json | None:
    """Mean, middle, and where the middle half and the middle 80 % lie; None where nothing is known."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return None
    lowest, low, middle, high, highest = np.quantile(known, [0.1, 0.25, 0.5, 0.75, 0.9])
    spread = {"lowest": lowest, "low": low, "middle": middle, "high": high, "highest": highest, "mean": known.mean()}
    return {name: round(float(value), 4) for name, value in spread.items()}


def _terms(topics: Facts, items: Facts, row: int, segment: Segment) -> Json:
    """What the segment is named by, with the share of its lines, or of its customers where these are items."""
    known = topics if set(segment.terms) <= set(topics.names) else items
    row_of = {name: at for at, name in enumerate(known.names)}
    terms = [
        {"name": term, "value": round(float(known.shares[row, at]), 4), "everybody": round(float(known.everybody[at]), 4)}
        for term in segment.terms
        if (at := row_of.get(term)) is not None and known.shares[row, at] > 0
    ]
    return {"terms": terms, "terms_are": known.statistic}


def _voice(voices: Voices, members: NDArray[np.int32]) -> Json | None:
    """What some customers say: their mood, what they are up to, and what they most write of; None = they wrote nothing.

    needs: share of those who wrote, and mean polarity from -1, a complaint, to 1, praise
    """
    wrote = members[voices.n_texts[members] > 0]
    if not len(wrote):
        return None
    moods, likely = voices.mood_score[wrote], voices.intent_probability[wrote]
    owners = np.repeat(np.arange(len(voices)), np.diff(voices.need_offsets))
    theirs = np.isin(owners, wrote)
    aspects, polarity = voices.need_aspect[theirs], voices.need_polarity[theirs].astype(np.float64)
    counts = np.bincount(aspects, minlength=len(voices.aspects))
    means = np.bincount(aspects, polarity, len(voices.aspects)) / np.maximum(counts, 1)
    read = np.isfinite(likely).all(axis=1)
    return {
        "n": len(wrote),
        "mood": _spread(moods),
        "intents": [{"name": name, "value": _mean(likely[read, row])} for row, name in enumerate(voices.intents)] if read.any() else [],
        "needs": [
            {"name": voices.aspects[row], "value": round(float(counts[row] / len(wrote)), 4), "polarity": round(float(means[row]), 4)}
            for row in np.argsort(-counts, kind="stable")[:N_ITEMS]
            if counts[row]
        ],
        "n_degraded": int(voices.degraded[wrote].sum()),
    }


def _facts(statements: Sequence[Statement]) -> list[Json]:
    return [
        {"name": said.statistic.split(": ", 1)[1], "value": round(said.value, 4), "everybody": round(said.everybody, 4)}
        for said in statements
    ]


def _map(drawn: Map, segments: NDArray[np.int16]) -> Json:
    points = [[round(float(x), 3), round(float(y), 3)] for x, y in drawn.places]
    centres = [[round(float(x), 3), round(float(y), 3)] for x, y in drawn.centres]
    return {
        "points": points,
        "segments": segments[drawn.customers].tolist(),
        "centres": centres,
        "axes": [_rounded(asdict(axis)) for axis in drawn.axes],
    }


def _outcome(profiles: Profiles, customers: NDArray[np.int32], later: Purchases) -> Json | None:
    """Predictions against what happened: churn in bins of equally many customers, and money by tier, None in a shop without."""
    orders = orders_of(later.take(later.customers < len(profiles)))
    spent = orders.sum_per_customer(np.where(np.isfinite(orders.values), orders.values, 0.0), len(profiles))[customers]
    if profiles.evidence.tier_unit != "money":
        spent = np.full(len(customers), np.nan)
    stayed_away = ~np.isin(customers, purchases_among(orders).customers)
    if len(customers) < MIN_OUTCOMES:
        return None
    said = profiles.churn_probability[customers].astype(np.float64)
    expected, tier = profiles.expected_value[customers].astype(np.float64), profiles.tier[customers]
    tiers = [
        {
            "name": name,
            "n": int((tier == row).sum()),
            "expected": _mean(expected[tier == row]),
            "spent": _mean(spent[tier == row]),
            "returned": _mean(~stayed_away[tier == row]),
        }
        for row, name in enumerate(TIERS)
    ]
    return {"n": len(customers), "tiers": tiers, "churn": _reliability(said, stayed_away) if np.isfinite(said).all() else None}


def _reliability(said: NDArray[np.float64], happened: NDArray[np.bool_]) -> Json:
    """Expected calibration error, Brier skill over the base rate (None where all or nobody did), and the bins."""
    bins = [part for part in np.array_split(np.argsort(said, kind="stable"), N_BINS) if len(part)]
    error = sum(len(part) * abs(said[part].mean() - happened[part].mean()) for part in bins) / len(said)
    base = float(np.mean((happened - happened.mean()) ** 2))
    return {
        "bins": [{"said": round(said[part].mean(), 4), "came": round(float(happened[part].mean()), 4), "n": len(part)} for part in bins],
        "calibration_error": round(float(error), 4),
        "brier_skill": round(1 - float(np.mean((said - happened) ** 2)) / base, 4) if base else None,
        "base_rate": round(float(happened.mean()), 4),
    }


def _notes(model: SegmentationModel, profiles: Profiles, customers: NDArray[np.int32], n_asked: int | None) -> list[str]:
    """What could not be done, and what was done in its place."""
    notes = []
    if not model.in_money:
        notes.append("The shop gives no money: tiers rest on the number of lines bought, and no expected value is shown.")
    if model.outlook.trees is None:
        notes.append(f"Value and churn are predicted in a simpler way: {model.outlook.method}.")
    if not np.isfinite(profiles.churn_probability[customers]).any():
        notes.append("Churn is not estimated: there are too few customers, or less history than one horizon.")
    if len(model.segments) == 1 and model.choice and n_asked is None:
        notes.append("There is one segment: no grouping came out again when customers were drawn anew.")
    degraded = int(profiles.voices.degraded[customers].sum())
    if degraded:
        notes.append(
            f"What {degraded:,} customers wrote was read without all the labels that a language model should have given: "
            "it could not be reached, or its answers were refused. The next fit asks again."
        )
    by_terms = sum(segment.is_named_by_terms for segment in model.segments)
    if by_terms:
        notes.append(
            f"{by_terms} of {len(model.segments)} segment names are put together from telling terms, and say so in brackets: "
            "no language model named them, or what it wrote did not keep to the evidence."
        )
    return notes


def _mean(values: NDArray[Any]) -> float | None:
    return round(float(values.mean()), 4) if len(values) and np.isfinite(values).all() else None


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if np.isfinite(whole) and whole > 0 else None


def _rounded(values: Json) -> Json:
    """NaN becomes None, for JSON has no NaN."""
    return {
        name: (round(value, 4) if np.isfinite(value) else None) if isinstance(value, float) else value for name, value in values.items()
    }

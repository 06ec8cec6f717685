"""Profiles of customers as a table in a file, and one of them in words."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from recsys.data.vocabulary import Vocabulary
from recsys.errors import DataError
from recsys.training.former import HeldSegments
from segmentation.profile import STAGES, TIERS, CustomerProfile, Profiles
from segmentation.reasons import ProfileReason
from segmentation.voice import Voices
from segrec.segment_page import percent

SUFFIXES = (".parquet", ".csv")
FORMULA, QUOTED = r"^('*[=+\-@\t\r])", r"'\1"
"""What a spreadsheet takes for a formula, and the same with a ' before it, which makes it text. `read_held` takes the ' off again."""
UNQUOTED = r"^'('*[=+\-@\t\r])"
WITHOUT_ZONE = r"^(\d+-\d+-\d+[ T]\d+:\d+:\d+(\.\d+)?)$"
HELD = {"customer_id": pa.string(), "segment": pa.string(), "as_of": pa.timestamp("us", "UTC"), "segmentation": pa.string()}
REASONS = {
    "bought_item": "{name}, bought in {number:g} lines, speaks for this segment more than all else that was bought",
    "bought_topic": "{name}, bought in {number:g} lines, speaks for this segment more than all else that was bought",
    "nothing_telling": "nothing that was bought speaks for this segment in particular",
    "outlier": "far from every segment; this is the nearest",
    "runner_up": "in doubt: probability {number:.2f}, and {against:.2f} of {name}",
    "segment_kept": "kept from before: probability {number:.2f}, and now {against:.2f} of {name}",
    "above_cut": "{number:,.2f} {unit} expected, above the cut of {against:,.2f}",
    "below_cut": "{number:,.2f} {unit} expected, not above the cut of {against:,.2f}",
    "recent_orders": "{number:g} orders since {time}",
    "recent_spend": "{number:,.2f} spent since {time}",
    "last_order": "last order on {time}, {number:.1f} days ago; usually after {against:.1f} days",
    "usual_interval": "usually orders every {number:.1f} days; the typical customer every {against:.1f}",
    "orders": "{number:g} orders since {time}",
}


def table_of(profiles: Profiles, ids: Sequence[str], segmentation: str) -> pa.Table:
    """One row per customer who has bought, in their order; what is not known is null.

    Needs and intents are JSON: lists of names with what was read of them. segmentation: name of the fit, of which the segments are.
    """
    rows = np.flatnonzero(profiles.segment >= 0)
    numbers: list[int] = rows.tolist()
    facts = profiles.evidence
    columns: dict[str, Any] = {
        "customer_id": [ids[number] for number in numbers],
        "segment": np.array(profiles.segment_ids)[profiles.segment[rows]],
        "segment_name": np.array(profiles.segment_names)[profiles.segment[rows]],
        "segment_confidence": _numbers(profiles.segment_confidence[rows]),
        "is_outlier": profiles.outlier[rows],
        "tier": np.array(TIERS)[profiles.tier[rows]],
        "stage": np.array(STAGES)[profiles.stage[rows]],
        "expected_value": _numbers(profiles.expected_value[rows]),
        "churn_probability": _numbers(profiles.churn_probability[rows]),
        "horizon_days": np.full(len(rows), profiles.horizon_days),
        "n_orders": facts.n_orders[rows],
        "first_order": _times(facts.first_order[rows]),
        "last_order": _times(facts.last_order[rows]),
        "interval_days": _numbers(facts.interval_days[rows]),
        "spend": _numbers(facts.spend[rows]),
        **_voice_columns(profiles.voices, numbers),
        "as_of": _times(np.full(len(rows), profiles.as_of)),
        "segmentation": pa.array([segmentation] * len(rows), pa.string()),
    }
    return pa.table(columns)


def write_table(table: pa.Table, path: Path) -> None:
    """Write it as its suffix says, complete or not at all; in CSV, for spreadsheets, no text is a formula."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(_replaced(table, FORMULA, QUOTED), unfinished)
        else:
            pq.write_table(table, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_held(path: Path, customers: Vocabulary, lineage: Sequence[str]) -> HeldSegments:
    """The segments that customers had, from a file that `write_table` wrote; customers not in it, or without a segment, had none.

    lineage: names of the fits whose segment ids count

    Raises:
        DataError: the file is missing, is no such file, or has segments of another fit.
    """
    try:
        table = _held_columns(path)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"--previous {path} is no file of profiles as `segrec segment assign --out` writes it: {error}") from error
    if not len(table):
        raise DataError(f"--previous {path} has no rows with a segment; leave it out if there are no earlier profiles")
    if others := sorted({str(name) for name in table["segmentation"].unique().to_pylist()} - set(lineage)):
        raise DataError(
            f"--previous {path} has segments of {', '.join(others)}, whose ids mean nothing here: this is {lineage[0]}"
            + (f", which goes on from {', '.join(lineage[1:])}" if lineage[1:] else ", fitted without --former")
        )
    rows = dict(zip(table["customer_id"].to_pylist(), table["segment"].to_pylist(), strict=True))
    as_of = pc.max(table["as_of"]).as_py()
    if as_of is None:
        raise DataError(f"--previous {path} does not say as of when its profiles are: as_of is empty")
    segment_ids = tuple(sorted(set(rows.values())))
    row_of = {id_: row for row, id_ in enumerate(segment_ids)}
    held = [row_of[rows[id_]] if id_ in rows else -1 for id_ in customers.ids]
    return HeldSegments(np.array(held, np.int16), segment_ids, np.datetime64(as_of.replace(tzinfo=None), "us"))


def _held_columns(path: Path) -> pa.Table:
    """The columns HELD of the rows that have a segment; a time without a zone is UTC."""
    if path.suffix == ".csv":
        as_text = dict.fromkeys(HELD, pa.string())
        options = pyarrow.csv.ConvertOptions(column_types=as_text, include_columns=list(HELD))
        table = _replaced(pyarrow.csv.read_csv(path, convert_options=options), UNQUOTED, r"\1")
    else:
        table = pq.read_table(path, columns=list(HELD))
    as_of = table["as_of"]
    if pa.types.is_string(as_of.type) or pa.types.is_large_string(as_of.type):
        as_of = pc.replace_substring_regex(pc.utf8_trim_whitespace(as_of), WITHOUT_ZONE, r"\1Z").cast(pa.timestamp("ns", "UTC"))
    columns = {name: table[name].cast(kind) for name, kind in HELD.items() if name != "as_of"}
    table = pa.table({**columns, "as_of": as_of.cast(HELD["as_of"], safe=False)})
    return table.filter(pc.not_equal(table["segment"], ""))


def _replaced(table: pa.Table, pattern: str, by: str) -> pa.Table:
    """With another text where the pattern matches, in all columns of text."""
    texts = [name for name in table.column_names if pa.types.is_string(table[name].type)]
    for name in texts:
        at = table.column_names.index(name)
        table = table.set_column(at, name, pc.replace_substring_regex(table[name], pattern, by))
    return table


def profile_json(profile: CustomerProfile) -> dict[str, Any]:
    """A profile as plain JSON values; what is not known is null."""
    plain: dict[str, Any] = _plain({**asdict(profile), "degraded": list(profile.degraded)})
    return plain


def profile_lines(profile: CustomerProfile, titles: Mapping[str, str], segments: Mapping[str, str]) -> list[tuple[str, str]]:
    """A profile in words: what, and the rest of the line; reasons last, the strongest first. titles, segments: see `reason_text`."""
    churn, worth = profile.churn_probability, profile.expected_value
    lines = [
        ("segment", f"{profile.segment} {profile.segment_name}, confidence {profile.segment_confidence:.2f}"),
        ("tier", profile.tier),
        ("stage", profile.stage.replace("_", " ")),
        ("expected value", "not known" if math.isnan(worth) else f"{worth:,.2f} in {profile.horizon_days:g} days"),
        (
            "churn",
            "not estimated" if math.isnan(churn) else f"{percent(churn)} probability of no purchase in {profile.horizon_days:g} days",
        ),
    ]
    voice = profile.voice
    if voice is not None and voice.mood is not None:
        lines.append(("mood", f"{voice.mood.score:+.2f} of -1 to 1, from {voice.mood.n_texts} texts"))
    if voice is not None and voice.intents:
        lines.append(("intent", f"{voice.intents[0].name}, {voice.intents[0].probability:.0%}"))
    if voice is not None and voice.needs:
        needs = ", ".join(f"{need.aspect} {'praised' if need.polarity > 0 else 'complained of'}" for need in voice.needs[:3])
        lines.append(("needs", needs))
    if voice is not None and voice.named:
        lines.append(("names", ", ".join(f"{named.value} ({named.n_texts})" for named in voice.named[:3])))
    lines += [("careful", what) for what in profile.degraded]
    return [*lines, *((f"why {', '.join(reason.about)}", reason_text(reason, titles, segments)) for reason in profile.reasons)]


def reason_text(reason: ProfileReason, titles: Mapping[str, str], segments: Mapping[str, str]) -> str:
    """One reason in words; titles: of items, by id; segments: their names, by id."""
    name = reason.name or ""
    if reason.code == "bought_item":
        name = titles.get(name) or name
    elif reason.code in ("runner_up", "segment_kept"):
        name = f"{name} {segments[name]}"
    time = "" if reason.time is None else f"{reason.time:%Y-%m-%d}"
    unit = "" if reason.unit in (None, "money") else reason.unit
    against = math.nan if reason.against is None else reason.against
    text = REASONS[reason.code].format(name=name, number=reason.number, against=against, unit=unit, time=time)
    return text.replace("  ", " ").replace(" ,", ",")


def _voice_columns(voices: Voices, rows: list[int]) -> dict[str, Any]:
    of = [voices.of(row) for row in rows]
    intents = [None if voice is None or not voice.intents else _json(voice.intents) for voice in of]
    needs = [None if voice is None or not voice.needs else _json(voice.needs) for voice in of]
    named = [None if voice is None or not voice.named else _json(voice.named) for voice in of]
    return {
        "n_texts": voices.n_texts[rows],
        "mood": _numbers(voices.mood_score[rows]),
        "mood_trend": _numbers(voices.mood_trend[rows]),
        "mood_confidence": _numbers(voices.mood.confidence[rows]),
        "intents": pa.array(intents, pa.string()),
        "needs": pa.array(needs, pa.string()),
        "named": pa.array(named, pa.string()),
        "is_degraded": voices.degraded[rows],
    }


def _json(said: Sequence[Any]) -> str:
    return json.dumps([_plain(asdict(one)) for one in said], ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Times as text, NaN as null."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _numbers(column: Any) -> pa.Array:
    return pa.array(np.asarray(column, np.float64), from_pandas=True)


def _times(column: Any) -> pa.Array:
    return pa.array(np.asarray(column, "datetime64[us]"), pa.timestamp("us", "UTC"))

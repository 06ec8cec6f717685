"""What is known of each customer as of a time: one row, or the columns of all of them."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import SegmentationError
from segmentation.evidence import Evidence, moment
from segmentation.reasons import Judged, ProfileReason, reasons_for, tier_confidence
from segmentation.voice import Voice, Voices

TIERS = ("low", "medium", "high")
STAGES = ("new", "active", "loyal", "at_risk", "lapsed")


@dataclass(frozen=True)
class CustomerProfile:
    """Who a customer is, derived from nothing later than `as_of`.

    segment:            stable id of the segment, for example "s3"
    segment_name:       readable name; says in brackets how it was made when no language model named it
    tier:               "low", "medium" or "high" by expected value
    stage:              lifecycle stage, one of STAGES
    expected_value:     money expected over `horizon_days`, in the shop's currency; NaN where the shop gives no money
    churn_probability:  probability of no purchase in the horizon, in [0, 1]; NaN = not estimated
    segment_confidence: probability that the customer belongs to its segment, given what it bought, in [0, 1]; 0 = an outlier, who is
                        far from every segment and was given the nearest; NaN = not measured
    tier_confidence:    how far the expected value is from the nearest cut that bounds the tier, as a share of the larger of the two; 0 = on
                        the cut. No probability; NaN = not measured
    voice:              what the customer says; None = it wrote nothing
    reasons:            why, the strongest first
    """

    customer_id: str
    segment: str
    segment_name: str
    tier: str
    stage: str
    expected_value: float
    churn_probability: float
    horizon_days: float
    as_of: dt.datetime
    segment_confidence: float = math.nan
    is_outlier: bool = False
    tier_confidence: float = math.nan
    voice: Voice | None = None
    reasons: tuple[ProfileReason, ...] = ()

    def group(self, within: str) -> str | None:
        """Which group of a partition the customer is in: its segment, its tier, or the need it speaks of most; None = it tells of none."""
        if within == "need":
            return self.voice.needs[0].aspect if self.voice is not None and self.voice.needs else None
        return self.segment if within == "segment" else self.tier

    @property
    def degraded(self) -> tuple[str, ...]:
        """The fields that could not be known as they should, each with why."""
        missing = {
            "expected_value: the shop gives no money; tiers rest on expected lines": math.isnan(self.expected_value),
            "churn_probability: too little history to estimate it": math.isnan(self.churn_probability),
            "voice: labels of the language model are missing": self.voice is not None and self.voice.is_degraded,
        }
        return tuple(what for what, is_missing in missing.items() if is_missing)


class Held(Protocol):
    """The segment that customers 0 .. n - 1 had: what assigning again asks of earlier profiles."""

    @property
    def segment(self) -> NDArray[np.int16]:
        """Rows of segment_ids, -1 = none."""
        ...

    @property
    def segment_ids(self) -> tuple[str, ...]: ...

    @property
    def as_of(self) -> np.datetime64: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Profiles:
    """The profiles of all customers as parallel arrays of length n_customers; -1 and NaN where a customer never bought.

    segment:            rows of segment_ids and segment_names; int16
    tier, stage:        rows of TIERS and STAGES; int8
    expected_value, churn_probability, segment_confidence: as in CustomerProfile; float32
    outlier:            far from every segment; bool
    as_of:              datetime64[us], UTC; nothing later was used
    """

    segment: NDArray[np.int16]
    tier: NDArray[np.int8]
    stage: NDArray[np.int8]
    expected_value: NDArray[np.float32]
    churn_probability: NDArray[np.float32]
    segment_confidence: NDArray[np.float32]
    outlier: NDArray[np.bool_]
    segment_ids: tuple[str, ...]
    segment_names: tuple[str, ...]
    horizon_days: float
    as_of: np.datetime64
    evidence: Evidence
    voices: Voices

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in (*_columns(), "evidence", "voices")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of profiles differ in length: {lengths}")
        if len(self.segment_ids) != len(self.segment_names):
            raise ValueError(f"{len(self.segment_ids)} segment ids but {len(self.segment_names)} names")

    def __len__(self) -> int:
        return len(self.segment)

    @staticmethod
    def nobody(as_of: np.datetime64) -> Profiles:
        """Of no customer anything is known."""
        numbers, flags = np.empty(0, np.float32), np.empty(0, np.bool_)
        codes = np.empty(0, np.int8)
        return Profiles(
            codes.astype(np.int16), codes, codes, numbers, numbers, numbers, flags, (), (), 1.0, as_of, Evidence.nobody(), Voices.nothing(0)
        )

    def profile(self, customer_num: int, customer_id: str) -> CustomerProfile | None:
        """The profile of one customer; None for one who never bought, or whose number is not among these."""
        facts = self.evidence.of(customer_num) if 0 <= customer_num < len(self) else None
        if facts is None:
            return None
        segment, stage, as_of = self.segment[customer_num], STAGES[self.stage[customer_num]], moment(self.as_of)
        confidence, is_outlier = float(self.segment_confidence[customer_num]), bool(self.outlier[customer_num])
        judged = Judged(self.segment_ids, confidence, is_outlier, stage, as_of, self.horizon_days)
        return CustomerProfile(
            customer_id=customer_id,
            segment=self.segment_ids[segment],
            segment_name=self.segment_names[segment],
            tier=TIERS[self.tier[customer_num]],
            stage=stage,
            expected_value=float(self.expected_value[customer_num]),
            churn_probability=float(self.churn_probability[customer_num]),
            horizon_days=self.horizon_days,
            as_of=as_of,
            segment_confidence=confidence,
            is_outlier=is_outlier,
            tier_confidence=tier_confidence(facts, self.evidence),
            voice=self.voices.of(customer_num),
            reasons=reasons_for(judged, facts, self.evidence),
        )

    def save(self, folder: Path) -> None:
        """Write one .npy per column, profiles.json, and the folders evidence and voices."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _columns():
            np.save(folder / f"{name}.npy", getattr(self, name))
        rest = {name: getattr(self, name) for name in ("segment_ids", "segment_names", "horizon_days")} | {"as_of": str(self.as_of)}
        (folder / "profiles.json").write_text(json.dumps(rest, ensure_ascii=False, indent=1), encoding="utf-8")
        self.evidence.save(folder / "evidence")
        self.voices.save(folder / "voices")

    @staticmethod
    def load(folder: Path) -> Profiles:
        """Read what `save` wrote; columns are memory-mapped. SegmentationError: a file is missing or damaged."""
        try:
            columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _columns()}
            rest = json.loads((folder / "profiles.json").read_text(encoding="utf-8"))
            ids, names = tuple(rest["segment_ids"]), tuple(rest["segment_names"])
            return Profiles(
                **columns,
                segment_ids=ids,
                segment_names=names,
                horizon_days=rest["horizon_days"],
                as_of=np.datetime64(rest["as_of"], "us"),
                evidence=Evidence.load(folder / "evidence"),
                voices=Voices.load(folder / "voices"),
            )
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise SegmentationError(f"{folder} does not hold profiles as Profiles.save writes them: {error}") from error


def _columns() -> tuple[str, ...]:
    rest = ("segment_ids", "segment_names", "horizon_days", "as_of", "evidence", "voices")
    return tuple(field.name for field in fields(Profiles) if field.name not in rest)

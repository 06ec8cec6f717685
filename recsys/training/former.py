"""The segments of an earlier bundle, which a new training goes on from: ids stay where customers stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import CUSTOMER_IDS, verify
from recsys.data.vocabulary import Vocabulary
from recsys.errors import ConfigError
from segmentation.model import SegmentationModel
from segmentation.profile import Profiles


@dataclass(frozen=True)
class HeldSegments:
    """The segment that each customer of a shop had. segment: rows of segment_ids, -1 = none; int16 (n,)."""

    segment: NDArray[np.int16]
    segment_ids: tuple[str, ...]
    as_of: np.datetime64

    def __len__(self) -> int:
        return len(self.segment)


@dataclass(frozen=True)
class Former:
    """An earlier bundle. version: its id; model: its segments; customers, profiles: who was in which."""

    version: str
    model: SegmentationModel
    customers: Vocabulary
    profiles: Profiles

    @property
    def as_of(self) -> np.datetime64:
        """When its customers were where `held` says."""
        return self.profiles.as_of

    def held(self, customers: Vocabulary) -> HeldSegments:
        """Its segments for customers as a later view numbers them.

        Raises:
            ConfigError: it knows none of them.
        """
        there = {id_: number for number, id_ in enumerate(self.customers.ids)}
        rows = np.array([there.get(id_, -1) for id_ in customers.ids], np.int64)
        if not (rows >= 0).any():
            raise ConfigError(f"the former bundle {self.version} knows no customer of this shop; name a bundle of the same shop")
        held = np.where(rows >= 0, np.asarray(self.profiles.segment)[rows], -1).astype(np.int16)
        return HeldSegments(held, self.profiles.segment_ids, self.as_of)


def load_former(bundle: Path) -> Former:
    """The segments of a bundle. BundleError, SegmentationError: it is missing or damaged."""
    manifest = verify(bundle)
    return Former(
        version=str(manifest["version"]),
        model=SegmentationModel.load(bundle / "segmentation"),
        customers=Vocabulary.load(bundle / "history" / CUSTOMER_IDS),
        profiles=Profiles.load(bundle / "profiles"),
    )


def changed_share(before: HeldSegments | Profiles, after: Profiles) -> float:
    """Share of the customers with a segment in both whose segment has another id, in [0, 1]; NaN = there is none such."""
    n = min(len(before), len(after))
    one, other = np.asarray(before.segment)[:n], np.asarray(after.segment)[:n]
    both = (one >= 0) & (other >= 0)
    if not both.any():
        return float("nan")
    ids, later = np.array(before.segment_ids), np.array(after.segment_ids)
    return float((ids[one[both]] != later[other[both]]).mean())

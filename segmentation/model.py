"""The front door: fit a segmentation once, assign profiles with it at any later time.

Two fits would number segments differently and move the cut points, so whatever learns from profiles keeps one fitted model and only
assigns.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.cluster import SegmentModel, fit_segments
from segmentation.errors import SegmentationError
from segmentation.lifecycle import LifecycleModel, fit_lifecycle
from segmentation.naming import distinguishing_terms, names_from_terms
from segmentation.profile import Profiles
from segmentation.purchases import Floats, Ints, Purchases, orders_of
from segmentation.rfm import BEHAVIOURS, Rfm, orders_to_rfm
from segmentation.value import TierCuts, ValueModel, fit_tiers, fit_value

MAX_TOPICS = 1_000
MAX_CUSTOMERS_TO_CLUSTER = 20_000
BLOCK = 16_384


@dataclass(frozen=True)
class Segment:
    """A segment as it was when fitted. share: of the customers, in (0, 1]; terms: what sets it apart, most telling first."""

    id: str
    name: str
    share: float
    terms: tuple[str, ...]


@dataclass(frozen=True)
class SegmentationModel:
    """Everything that was fitted; only assigned afterwards.

    fitted_as_of: datetime64[us]; nothing later was used to fit
    line_value:   what a line of unknown value counts; 1 where the shop gives no money at all
    in_money:     False = the shop gives no money: tiers then rest on the number of lines, and expected values are NaN
    topic_names:  topics the segments know; others are ignored
    segments:     the largest first
    """

    fitted_as_of: np.datetime64
    line_value: float
    in_money: bool
    topic_names: tuple[str, ...]
    segments: tuple[Segment, ...]
    value: ValueModel
    tiers: TierCuts
    lifecycle: LifecycleModel
    clusters: SegmentModel

    def assign(self, purchases: Purchases, n_customers: int, as_of: np.datetime64) -> Profiles:
        """Profiles of customers 0 .. n_customers - 1 from their purchases before `as_of`; a customer's depends on no other customer's.

        Raises:
            ValueError: a purchase is not strictly earlier than `as_of`, a customer number is not below `n_customers`, or `as_of` is
                before the fit.
        """
        if as_of < self.fitted_as_of:
            raise ValueError(f"as_of {as_of} is before this segmentation was fitted, {self.fitted_as_of}: it has seen what followed")
        purchases.check(n_customers, as_of)
        orders = orders_of(_priced(purchases, self.line_value, self.in_money))
        rfm = orders_to_rfm(orders, n_customers, as_of)
        expected = self.value.expected(orders, n_customers, as_of)
        segment, confidence = self._segments(purchases, rfm)
        return Profiles(
            segment=segment,
            tier=np.where(rfm.has_bought, self.tiers.assign(expected), -1).astype(np.int8),
            stage=self.lifecycle.stages(rfm),
            expected_value=np.where(rfm.has_bought & self.in_money, expected, np.nan).astype(np.float32),
            churn_probability=self.lifecycle.churn_probabilities(rfm).astype(np.float32),
            segment_confidence=confidence,
            segment_ids=tuple(segment.id for segment in self.segments),
            segment_names=tuple(segment.name for segment in self.segments),
            horizon_days=self.value.horizon_days,
            as_of=as_of.astype("datetime64[us]"),
        )

    def _segments(self, purchases: Purchases, rfm: Rfm) -> tuple[NDArray[np.int16], Floats]:
        segment = np.full(len(rfm.n_orders), -1, np.int16)
        confidence = np.full(len(segment), np.nan, np.float32)
        lines = purchases.by_customer()
        buyers = np.flatnonzero(rfm.has_bought).astype(np.int32)
        for start in range(0, len(buyers), BLOCK):
            block = buyers[start : start + BLOCK]
            first, last = np.searchsorted(lines.customers, [block[0], block[-1] + 1])
            counts = lines.take(slice(first, last)).topic_counts(block, self.topic_names)
            segment[block], confidence[block] = self.clusters.assign(counts, rfm.behaviour(block))
        return segment, confidence

    def save(self, folder: Path) -> None:
        """Write segmentation.json and segmentation.npz; `load` gives a model with identical answers."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "fitted_as_of": str(self.fitted_as_of),
            "line_value": self.line_value,
            "in_money": self.in_money,
            "topic_names": self.topic_names,
            "segments": [asdict(segment) for segment in self.segments],
            "value": asdict(self.value),
            "tiers": asdict(self.tiers),
            "typical_interval_days": self.lifecycle.typical_interval_days,
        }
        (folder / "segmentation.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
        np.savez(folder / "segmentation.npz", churn=self.lifecycle.churn, **vars(self.clusters))

    @staticmethod
    def load(folder: Path) -> SegmentationModel:
        """Read what `save` wrote. SegmentationError: a file is missing or damaged."""
        try:
            document = json.loads((folder / "segmentation.json").read_text(encoding="utf-8"))
            with (folder / "segmentation.npz").open("rb") as file, np.load(file) as stored:
                arrays = dict(stored)
            value = ValueModel(**document["value"])
            return SegmentationModel(
                fitted_as_of=np.datetime64(document["fitted_as_of"], "us"),
                line_value=document["line_value"],
                in_money=document["in_money"],
                topic_names=tuple(document["topic_names"]),
                segments=tuple(Segment(**{**segment, "terms": tuple(segment["terms"])}) for segment in document["segments"]),
                value=value,
                tiers=TierCuts(**document["tiers"]),
                lifecycle=LifecycleModel(value.horizon_days, document["typical_interval_days"], arrays.pop("churn")),
                clusters=SegmentModel(**arrays),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise SegmentationError(f"{folder} does not hold a segmentation as SegmentationModel.save writes it: {error!r}") from error


def fit_segmentation(
    purchases: Purchases,
    n_customers: int,
    as_of: np.datetime64,
    n_segments: int,
    tier_quantiles: tuple[float, float],
    horizon_days: float,
    seed: int,
    n_threads: int,
) -> SegmentationModel:
    """Fit segments, tiers, value and lifecycle on purchases before `as_of`; the same for equal seed and threads.

    Segments are found on at most MAX_CUSTOMERS_TO_CLUSTER customers, drawn by the seed, and on the MAX_TOPICS topics with most lines.
    Tiers are cut at the quantiles among all customers who bought.

    Raises:
        SegmentationError: there are no purchases.
        ValueError: a purchase is not strictly earlier than `as_of`, or a number or quantile is out of range.
    """
    purchases.check(n_customers, as_of)
    if not len(purchases):
        raise SegmentationError(f"there are no purchases before {as_of} to fit a segmentation on")
    in_money = bool(np.isfinite(purchases.values).any())
    line_value = float(np.nanmean(purchases.values.astype(np.float64))) if in_money else 1.0
    orders = orders_of(_priced(purchases, line_value, in_money))
    rfm = orders_to_rfm(orders, n_customers, as_of)
    value = fit_value(orders, n_customers, as_of, horizon_days)
    expected = value.expected(orders, n_customers, as_of)

    customers = _sample(np.flatnonzero(rfm.has_bought).astype(np.int32), seed)
    topic_names = _largest_topics(purchases)
    counts, behaviour = purchases.topic_counts(customers, topic_names), rfm.behaviour(customers)
    clusters = fit_segments(counts, behaviour, n_segments, seed, n_threads)
    return SegmentationModel(
        fitted_as_of=as_of.astype("datetime64[us]"),
        line_value=line_value,
        in_money=in_money,
        topic_names=topic_names,
        segments=_described(clusters, counts, behaviour, topic_names),
        value=value,
        tiers=fit_tiers(expected[rfm.has_bought], tier_quantiles),
        lifecycle=fit_lifecycle(orders, n_customers, as_of, horizon_days),
        clusters=clusters,
    )


def _priced(purchases: Purchases, line_value: float, in_money: bool) -> Purchases:
    """The same lines with every value known."""
    known = np.isfinite(purchases.values) & in_money
    return replace(purchases, values=np.where(known, purchases.values, np.float32(line_value)))


def _sample(customers: Ints, seed: int) -> Ints:
    if len(customers) <= MAX_CUSTOMERS_TO_CLUSTER:
        return customers
    return np.sort(np.random.default_rng(seed).choice(customers, MAX_CUSTOMERS_TO_CLUSTER, replace=False))


def _largest_topics(purchases: Purchases) -> tuple[str, ...]:
    lines = np.bincount(purchases.topics[purchases.topics >= 0], minlength=len(purchases.topic_names))
    largest = np.argsort(-lines, kind="stable")[:MAX_TOPICS]
    return tuple(purchases.topic_names[topic] for topic in largest if lines[topic] > 0)


def _described(clusters: SegmentModel, counts: Floats, behaviour: Floats, topic_names: tuple[str, ...]) -> tuple[Segment, ...]:
    columns = clusters.columns(counts, behaviour)
    how = columns[:, len(topic_names) :]
    has = np.concatenate([counts > 0, np.ones((len(counts), 2 * how.shape[1]), bool)], axis=1)
    words = (*topic_names, *(high for high, _ in BEHAVIOURS), *(low for _, low in BEHAVIOURS))
    assigned, _ = clusters.assign(counts, behaviour)
    n_segments = len(clusters.centroids)
    terms = distinguishing_terms(np.concatenate([columns, -how], axis=1), has, assigned, n_segments, words)
    shares = np.bincount(assigned, minlength=n_segments) / len(assigned)
    names = names_from_terms(terms)
    return tuple(Segment(f"s{number}", names[number], float(shares[number]), terms[number]) for number in range(n_segments))

"""The front door: fit a segmentation once, assign profiles with it at any later time.

Two fits would number segments differently and move the cut points, so whatever learns from profiles keeps one fitted model and only
assigns.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segmentation.choice import Candidate
from segmentation.cluster import Assigned, SegmentModel, fit_segments
from segmentation.describe import Statement
from segmentation.errors import SegmentationError
from segmentation.evidence import Evidence, OrderFacts, order_facts
from segmentation.features import Extra
from segmentation.identity import Succession, succeed
from segmentation.lifecycle import LifecycleModel, StageRules, fit_lifecycle
from segmentation.naming import Namer
from segmentation.outlook import OutlookModel, fit_outlook
from segmentation.portraits import Segment, Sitters, Wrote, portraits
from segmentation.profile import Held, Profiles
from segmentation.purchases import Ints, Orders, Purchases, Reals, orders_of
from segmentation.rfm import Rfm, orders_to_rfm
from segmentation.saying import SAYING, saying
from segmentation.taste import Bought
from segmentation.telling import lines_with, telling_things
from segmentation.value import TierCuts, fit_tiers
from segmentation.voice import Voices

Value = TypeVar("Value", bound=np.generic)

MAX_ITEMS, MIN_BUYERS = 3_000, 10
"""Items that stand for themselves; a rarer one stands for its topic, if that has as many buyers."""
MAX_TOPICS = 1_000
MAX_CUSTOMERS_TO_CLUSTER = 20_000
MARGIN = 0.2
"""A customer changes its segment only for one that is likelier by more than this."""


@dataclass(frozen=True)
class SegmentationModel:
    """Everything that was fitted; only assigned afterwards.

    fitted_as_of: datetime64[us]; nothing later was used to fit
    line_value:   what a line of unknown value counts; 1 where the shop gives no money at all
    in_money:     False = the shop gives no money: tiers then rest on the number of lines, and expected values are NaN
    item_names:   items the segments know
    topic_names:  topics the segments know, for other items; yet others are ignored
    segments:     the largest first
    choice:       how good each number of segments would be; empty where there was nothing to choose
    next_id:      number that no segment's id has used yet
    """

    fitted_as_of: np.datetime64
    line_value: float
    in_money: bool
    item_names: tuple[str, ...]
    topic_names: tuple[str, ...]
    segments: tuple[Segment, ...]
    choice: tuple[Candidate, ...]
    next_id: int
    outlook: OutlookModel
    tiers: TierCuts
    lifecycle: LifecycleModel
    clusters: SegmentModel

    def assign(
        self,
        purchases: Purchases,
        n_customers: int,
        as_of: np.datetime64,
        previous: Held | None = None,
        margin: float = MARGIN,
        voices: Voices | None = None,
    ) -> Profiles:
        """Profiles of customers 0 .. n_customers - 1 from their purchases before `as_of`; a customer's depends on no other customer's.

        Args:
            previous: segments of an earlier time, customers numbered alike, perhaps fewer. A customer keeps the one that it had there,
                by id, unless another is likelier by more than `margin`.
            voices: what customers 0 .. n_customers - 1 had said by `as_of`; None = nothing is known of it

        Raises:
            ValueError: a purchase is not strictly earlier than `as_of`, a customer number is not below `n_customers`, `as_of` is before
                the fit, `previous` is later than `as_of`, or the voices are not of n_customers.
        """
        voices = Voices.nothing(n_customers) if voices is None else voices
        self._check(purchases, n_customers, as_of, previous, voices)
        priced = _priced(purchases, self.line_value, self.in_money)
        orders = orders_of(priced)
        rfm = orders_to_rfm(orders, n_customers, as_of)
        outlook = self.outlook.of(priced, n_customers, as_of, saying(voices, as_of) if self.outlook.extra_names else None)
        expected, churn = outlook.expected_value, outlook.churn_probability
        bought, buyers = self._bought(purchases), np.flatnonzero(rfm.has_bought).astype(np.int32)
        found = self.clusters.assign(bought, buyers, self._held(previous, n_customers)[buyers], margin)
        facts = self._order_facts(purchases, orders, rfm, as_of)
        return Profiles(
            segment=_spread(found.segments, buyers, n_customers, -1),
            tier=np.where(rfm.has_bought, self.tiers.assign(expected), -1).astype(np.int8),
            stage=self.lifecycle.stages(rfm, churn),
            expected_value=np.where(rfm.has_bought & self.in_money, expected, np.nan).astype(np.float32),
            churn_probability=churn.astype(np.float32),
            segment_confidence=_spread(found.confidence, buyers, n_customers, np.nan),
            outlier=_spread(found.outlier, buyers, n_customers, False),
            segment_ids=tuple(segment.id for segment in self.segments),
            segment_names=tuple(segment.name for segment in self.segments),
            horizon_days=self.outlook.horizon_days,
            as_of=as_of.astype("datetime64[us]"),
            evidence=self._evidence(facts, np.where(rfm.has_bought, expected, np.nan), found, purchases, bought, buyers),
            voices=voices,
        )

    def _check(self, purchases: Purchases, n_customers: int, as_of: np.datetime64, previous: Held | None, voices: Voices) -> None:
        if as_of < self.fitted_as_of:
            raise ValueError(f"as_of {as_of} is before this segmentation was fitted, {self.fitted_as_of}: it has seen what followed")
        if previous is not None and previous.as_of > as_of:
            raise ValueError(f"the previous profiles are of {previous.as_of}, after {as_of}")
        if len(voices) != n_customers:
            raise ValueError(f"voices are of {len(voices)} customers, the profiles of {n_customers}")
        purchases.check(n_customers, as_of)

    def _order_facts(self, purchases: Purchases, orders: Orders, rfm: Rfm, as_of: np.datetime64) -> OrderFacts:
        """What orders say; unknown values, which `orders` has filled in, add nothing to the money."""
        known = orders_of(purchases).values if self.in_money else np.full(len(orders), np.nan)
        return order_facts(orders, known, rfm, as_of, self.outlook.horizon_days, self.lifecycle.typical_interval_days)

    def _evidence(
        self, facts: OrderFacts, expected: Reals, found: Assigned, purchases: Purchases, bought: Bought, buyers: Ints
    ) -> Evidence:
        """The evidence of all customers; `found` is of the buyers."""
        n_customers, rules = len(expected), self.lifecycle.rules
        telling = telling_things(self.clusters, bought, buyers, found.segments)
        things = _spread(telling.things, buyers, n_customers, -1)
        lines = lines_with(purchases, things, self.item_names, self.topic_names)
        told = lines > 0  # what was only sent back tells nothing
        runner_up, probability = found.runner_up()
        return Evidence(
            **vars(facts),
            tier_value=expected,
            thing=np.where(told, things, -1).astype(np.int32),
            thing_lines=lines,
            thing_weight=np.where(told, _spread(telling.weights, buyers, n_customers, np.nan), np.nan).astype(np.float32),
            runner_up=_spread(runner_up, buyers, n_customers, -1),
            runner_up_probability=_spread(probability, buyers, n_customers, np.nan),
            thing_names=(*self.item_names, *self.topic_names),
            n_items=len(self.item_names),
            tier_unit="money" if self.in_money else "lines",
            tier_cuts=(self.tiers.medium_above, self.tiers.high_above),
            order_limits=(rules.new_orders, rules.loyal_orders),
            typical_interval_days=self.lifecycle.typical_interval_days,
        )

    def succeeding(self, former: SegmentationModel, purchases: Purchases, n_customers: int) -> tuple[SegmentationModel, Succession]:
        """The same model with the ids of a former one where most of a segment's customers stayed, and what became of every segment.

        purchases: before this fit; both models assign the same customers by them, as of this fit

        Raises:
            ValueError: the former model is the later one.
        """
        before = former.assign(purchases, n_customers, self.fitted_as_of).segment
        after = self.assign(purchases, n_customers, self.fitted_as_of).segment
        ids = [segment.id for segment in former.segments]
        succession = succeed(before, after, ids, len(self.segments), former.next_id)
        segments = tuple(replace(segment, id=id_) for segment, id_ in zip(self.segments, succession.ids, strict=True))
        return replace(self, segments=segments, next_id=succession.next_id), succession

    def _bought(self, purchases: Purchases) -> Bought:
        things = purchases.things(self.item_names, self.topic_names)
        return Bought.of(purchases.customers, things, len(self.item_names) + len(self.topic_names))

    def _held(self, previous: Held | None, n_customers: int) -> NDArray[np.int16]:
        """The segment that each customer had, as a row of this model's, -1 = none."""
        held = np.full(n_customers, -1, np.int16)
        if previous is not None:
            row_of = {segment.id: row for row, segment in enumerate(self.segments)}
            rows = np.array([*(row_of.get(id_, -1) for id_ in previous.segment_ids), -1], np.int16)
            known = min(len(previous), n_customers)
            held[:known] = rows[previous.segment[:known]]
        return held

    def save(self, folder: Path) -> None:
        """Write segmentation.json, segmentation.npz and outlook.json; `load` gives a model with identical answers."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "fitted_as_of": str(self.fitted_as_of),
            "line_value": self.line_value,
            "in_money": self.in_money,
            "item_names": self.item_names,
            "topic_names": self.topic_names,
            "segments": [asdict(segment) for segment in self.segments],
            "choice": [asdict(candidate) for candidate in self.choice],
            "next_id": self.next_id,
            "tiers": asdict(self.tiers),
            "lifecycle": asdict(self.lifecycle),
        }
        (folder / "segmentation.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
        np.savez(folder / "segmentation.npz", **vars(self.clusters))
        self.outlook.save(folder)

    @staticmethod
    def load(folder: Path) -> SegmentationModel:
        """Read what `save` wrote. SegmentationError: a file is missing or damaged."""
        try:
            document = json.loads((folder / "segmentation.json").read_text(encoding="utf-8"))
            with (folder / "segmentation.npz").open("rb") as file, np.load(file) as stored:
                arrays = dict(stored)
            lifecycle = document["lifecycle"]
            return SegmentationModel(
                fitted_as_of=np.datetime64(document["fitted_as_of"], "us"),
                line_value=document["line_value"],
                in_money=document["in_money"],
                item_names=tuple(document["item_names"]),
                topic_names=tuple(document["topic_names"]),
                segments=tuple(map(_segment, document["segments"])),
                choice=tuple(Candidate(**candidate) for candidate in document["choice"]),
                next_id=document["next_id"],
                outlook=OutlookModel.load(folder),
                tiers=TierCuts(**document["tiers"]),
                lifecycle=LifecycleModel(lifecycle["typical_interval_days"], StageRules(**lifecycle["rules"])),
                clusters=SegmentModel(**arrays),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise SegmentationError(f"{folder} does not hold a segmentation as SegmentationModel.save writes it: {error!r}") from error


def fit_segmentation(
    purchases: Purchases,
    n_customers: int,
    as_of: np.datetime64,
    n_segments: int | None,
    tier_quantiles: tuple[float, float],
    horizon_days: float,
    seed: int,
    n_threads: int,
    stage_rules: StageRules = StageRules(),  # noqa: B008 - frozen
    titles: Mapping[str, str] = MappingProxyType({}),
    wrote: Wrote | None = None,
    voices_as_of: Callable[[np.datetime64], Voices] | None = None,
    namer: Namer | None = None,
) -> SegmentationModel:
    """Fit segments, tiers, value and lifecycle on purchases before `as_of`; the same for equal seed and threads.

    Segments are found on at most MAX_CUSTOMERS_TO_CLUSTER customers, drawn by the seed, by the MAX_ITEMS items that most of them bought
    and, for other items, the MAX_TOPICS topics with most lines. A shop that names neither has one segment.
    Tiers are cut at the quantiles among all customers who bought.

    Args:
        n_segments: None = chosen by what comes out again in resamples
        titles: of items, by name in `purchases.item_names`; for descriptions
        wrote: what customers wrote of before `as_of`; for descriptions
        voices_as_of: what customers 0 .. n_customers - 1 had said by `as_of` or a time before it; for value and churn
        namer: names segments by their evidence; None, or where it does not keep to the evidence: telling terms

    Raises:
        SegmentationError: there are no purchases.
        ValueError: a purchase is not strictly earlier than `as_of`, or a number or quantile is out of range.
    """
    purchases.check(n_customers, as_of)
    if not len(purchases):
        raise SegmentationError(f"there are no purchases before {as_of} to fit a segmentation on")
    in_money = bool(np.isfinite(purchases.values).any())
    line_value = _usual_line(purchases) if in_money else 1.0
    priced = _priced(purchases, line_value, in_money)
    rfm = orders_to_rfm(orders_of(priced), n_customers, as_of)
    if not rfm.has_bought.any():
        raise SegmentationError(f"there are only refunds before {as_of}, no purchases to fit a segmentation on")
    said = None if voices_as_of is None else Extra(SAYING, lambda time: saying(voices_as_of(time), time))
    outlook = fit_outlook(priced, n_customers, as_of, horizon_days, seed=seed, n_threads=n_threads, extra=said)
    expected = outlook.of(priced, n_customers, as_of, None if said is None else said.as_of(as_of)).expected_value

    customers = _sample(np.flatnonzero(rfm.has_bought).astype(np.int32), seed)
    topic_names = _largest_topics(purchases)
    item_names, rest_names = _common_things(purchases, topic_names)
    n_things = len(item_names) + len(rest_names)
    bought = Bought.of(purchases.customers, purchases.things(item_names, rest_names), n_things)
    clusters, choice = fit_segments(bought, customers, n_things, n_segments, seed, n_threads)
    found = clusters.assign(bought, customers).segments
    sitters = Sitters(customers, found, len(clusters.means), rfm, purchases, in_money)
    segments = portraits(sitters, bought, item_names, topic_names, titles, wrote, namer)
    return SegmentationModel(
        fitted_as_of=as_of.astype("datetime64[us]"),
        line_value=line_value,
        in_money=in_money,
        item_names=item_names,
        topic_names=rest_names,
        segments=segments,
        choice=choice,
        next_id=len(segments),
        outlook=outlook,
        tiers=fit_tiers(expected[rfm.has_bought], tier_quantiles),
        lifecycle=fit_lifecycle(rfm, horizon_days, stage_rules),
        clusters=clusters,
    )


def _usual_line(purchases: Purchases) -> float:
    """Mean value of the lines that are bought, not refunded; 0 where all known ones are refunds."""
    paid = purchases.values[np.isfinite(purchases.values) & (purchases.values >= 0)]
    return float(paid.mean(dtype=np.float64)) if len(paid) else 0.0


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


def _common_things(purchases: Purchases, topic_names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The items that at least MIN_BUYERS customers bought, those with most of them first, and the topics of which as many bought others."""
    n_items = 0 if purchases.items is None else len(purchases.item_names)
    buyers = _buyers(purchases, purchases.things(purchases.item_names, ()), n_items)
    common = [item for item in np.argsort(-buyers, kind="stable")[:MAX_ITEMS] if buyers[item] >= MIN_BUYERS]
    item_names = tuple(purchases.item_names[item] for item in common)
    buyers = _buyers(purchases, purchases.things(item_names, topic_names), len(item_names) + len(topic_names))
    least = min(MIN_BUYERS, buyers.max(initial=0))
    return item_names, tuple(name for name, n in zip(topic_names, buyers[len(item_names) :], strict=True) if n >= least)


def _buyers(purchases: Purchases, things: Ints, n_things: int) -> NDArray[np.intp]:
    return np.bincount(Bought.of(purchases.customers, things, n_things).things, minlength=n_things)


def _segment(stored: dict[str, Any]) -> Segment:
    description = tuple(Statement(**statement) for statement in stored["description"])
    return Segment(**{**stored, "terms": tuple(stored["terms"]), "description": description})


def _spread(values: NDArray[Value], rows: Ints, n: int, rest: float) -> NDArray[Value]:
    """The values at their rows among n, and the rest elsewhere."""
    column = np.full(n, rest, values.dtype)
    column[rows] = values
    return column

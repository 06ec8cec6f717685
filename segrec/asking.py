"""The same questions to any systems: a shop, a cut, what customers bought in the period after it, and what is measured of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.facts import ItemFacts
from offline_eval.lists import Kept, Lists, Notice, notices
from offline_eval.metrics import Metric, parse_metrics
from offline_eval.relevance import NothingRelevant, Truth, new_items, relevant_items
from offline_eval.slices import customer_slices
from offline_eval.splits import Split, narrowed, sampled
from offline_eval.systems import tiers
from recsys.bundle import Bundle
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError, DataError
from recsys.training.stages import Progress
from recsys.types import aware
from segrec.console import say

ALL, DISCOVERY = "all purchases", "discovery"


@dataclass(frozen=True)
class Period:
    """[start, end) of a shop, and the events in it that count as wanting an item."""

    dataset: Dataset
    start: np.datetime64
    end: np.datetime64
    positive_events: tuple[str, ...]

    @staticmethod
    def of(bundle: Bundle, dataset: Dataset) -> Period:
        """The evaluation period after a bundle's as_of.

        Raises:
            DataError: the bundle has no time, the shop does not reach to the end of the period, or lacks items of the bundle.
        """
        if bundle.as_of is None:
            raise DataError(f"bundle {bundle.version} is from a split by position and has no time to be measured at")
        config, start = bundle.config.evaluation, bundle.as_of
        end = start + np.timedelta64(round(config.period_days * 86_400), "s")
        last = dataset.interactions.times[-1]
        if _is_beyond(start, end, last):
            raise DataError(
                f"bundle {bundle.version} knows everything before {start} and needs {config.period_days:g} days after it to be measured "
                f"on, but the data end at {last}; measure its twin (`segrec inspect` names it) or set evaluation.period_days lower"
            )
        foreign = set(bundle.catalogue.items.ids).difference(dataset.item_ids.ids)
        if foreign:
            raise DataError(
                f"the shop lacks {len(foreign):,} of the {len(bundle.catalogue):,} items of bundle {bundle.version}, "
                f"for example {min(foreign)!r}; "
                "measure it on the shop that it was trained on"
            )
        return Period(dataset, start, end, bundle.config.data.positive_events)

    @staticmethod
    def after(cut: np.datetime64, days: float, dataset: Dataset, positive_events: tuple[str, ...]) -> Period:
        """So many days after a cut.

        Raises:
            DataError: the shop's data do not cover the period.
        """
        end, times = cut + np.timedelta64(round(days * 86_400), "s"), dataset.interactions.times
        if cut <= times[0] or _is_beyond(cut, end, times[-1]):
            raise DataError(f"the data go from {times[0]} to {times[-1]} and do not cover {days:g} days after {cut}; choose an earlier cut")
        return Period(dataset, cut, end, positive_events)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items as they were at the start."""
        return self.dataset.before(self.start).catalogue()

    def wanted(self, title: str, split: str) -> Split:
        """What each customer bought that could be recommended: all of it, or for discovery what was new to the customer.

        split: whom and what of it, see `offline_eval.splits.narrowed`

        Raises:
            NothingRelevant: nobody bought such a thing.
            ConfigError: there is no such split, or it cannot be asked.
        """
        relevant = new_items if title == DISCOVERY else relevant_items
        truth = relevant(self.dataset, self.start, self.end, self.positive_events, self.catalogue.recommendable)
        try:
            return narrowed(split, truth, self.dataset, self.start, self.end, self.positive_events)
        except NothingRelevant:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error


@dataclass(frozen=True)
class Answered:
    """Systems measured on one truth, with the lists that the values were made of.

    may_leak: in what respect systems knew more than they would have, in sentences; facts: of items at the cut, where a metric needs any
    """

    period: Period
    measurements: Measurements
    truth: Truth
    lists: Mapping[str, Lists]
    notices: tuple[Notice, ...]
    may_leak: tuple[str, ...]
    facts: ItemFacts | None


@dataclass(frozen=True)
class Negatives:
    """Items drawn for each customer to rank the wanted ones among, in place of all; insist: although such metrics mislead."""

    n: int
    seed: int
    insist: bool


@dataclass(frozen=True)
class Question:
    """What is asked of all systems alike.

    split:    whom of the truth, see `offline_eval.splits`
    grouping: the bundle whose profiles make the slices; None = there are no slices
    in_full:  slices of every kind; else by tier only
    negatives: None = every item competes
    """

    period: Period
    metrics: Sequence[Metric]
    progress: Progress
    facts: ItemFacts | None = None
    split: str = "time"
    grouping: Bundle | None = None
    in_full: bool = False
    negatives: Negatives | None = None

    def ask(self, title: str, systems: Mapping[str, Recommend]) -> Answered | None:
        """Ask every system for every customer of the truth and measure; None = nobody bought anything new, so there is no discovery.

        Raises:
            DataError: nobody bought anything at all, a list cannot be measured, or the shop lacks what a metric is made of.
            ConfigError: there is no such split, or negatives are asked for without insisting.
        """
        try:
            split = self.period.wanted(title, self.split)
        except NothingRelevant as error:
            if title == DISCOVERY:
                say("nobody bought anything new in the period: no discovery table")
                return None
            raise DataError(f"nothing can be measured: {error}") from error
        truth = split.truth
        if self.negatives is not None:
            systems = {name: self._sampled(self.negatives, system, truth) for name, system in systems.items()}
        kept = {name: Kept(system) for name, system in systems.items()}
        time, slices = aware(self.period.start), self._slices(truth)
        try:
            measured = evaluate(kept, truth, time, self.metrics, title=title, slices=slices, progress=self.progress, facts=self.facts)
        except ValueError as error:
            raise DataError(f"{title}: {error}") from error
        noticed = self._notices(
            {name: system if isinstance(system, Lists) else kept[name].lists for name, system in systems.items()}, truth
        )
        lists = {name: of.lists for name, of in kept.items()}
        return Answered(self.period, measured, truth, lists, noticed, split.may_leak, self.facts)

    def _sampled(self, negatives: Negatives, system: Recommend, truth: Truth) -> Recommend:
        try:
            return sampled(system, truth, self.period.dataset.item_ids.ids, negatives.n, negatives.seed, insist=negatives.insist)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _slices(self, truth: Truth) -> dict[str, dict[str, str]]:
        if self.grouping is None:
            return {}
        if not self.in_full:
            return {"tier": tiers(self.grouping, truth)}
        return customer_slices(self.grouping, self.period.dataset, self.period.start, truth)

    def _notices(self, lists: Mapping[str, Lists], truth: Truth) -> tuple[Notice, ...]:
        k, items = max(metric.k for metric in self.metrics), set(self.period.dataset.item_ids.ids)
        return tuple(notice for name, of in lists.items() for notice in notices(name, of, truth, items, k))


def rng_of(title: str, seed: int) -> np.random.Generator:
    """Of the intervals and tests of one table."""
    return np.random.default_rng([int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big"), seed])


def best_of(measured: Measurements, others: Sequence[str]) -> str:
    """Which of some systems has the best mean of the first metric."""
    first: NDArray[np.float64] = measured.columns(np.arange(len(measured.customers)))[:, 0]
    means = np.nanmean(first, axis=1) * (-1 if parse_metrics(measured.figures[0])[0].lower_is_better else 1)
    return max(others, key=lambda system: float(means[measured.systems.index(system)]))


def _is_beyond(start: np.datetime64, end: np.datetime64, last: np.datetime64) -> bool:
    """Whether data that end at `last` leave the period empty, or lack more than a day of it."""
    return bool(last <= start or last + np.timedelta64(1, "D") < end)

"""What the tables of a shop say of a reason; of a bundle nothing is read but who is in which segment and tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.feature_config import Attribute
from recsys.source_config import PopularConfig
from recsys.text.plain_text import plain_text
from recsys.training.mentions import MAX_CHARACTERS
from recsys.types import Interactions, Ints, Reason, ReasonCode, utc64
from segmentation.profile import TIERS, CustomerProfile, Profiles
from segmentation.words import tokens

OFTEN = 0.1
"""Share of an item's lines that repeat one of the same customer, from which it is often bought again."""
NEAR = 0.25
"""So far from the customer's usual place among the prices, 0 = cheapest to 1 = dearest, a price is usual."""
LINES_ANYWHERE = 5
"""So many lines of the customer's usual place in the whole shop count with those of one category or brand."""


@dataclass(frozen=True)
class Review:
    """One review as it stands in the shop's table."""

    customer: int
    time: np.datetime64
    text: str


@dataclass(frozen=True)
class Group:
    """What the customers of a segment or tier bought.

    lines:       of each item, (n_items,)
    most_bought: of each source that counts within such groups, how many it proposes at most, and each item's rank in it, 1 = first
    """

    lines: Ints
    most_bought: list[tuple[int, NDArray[np.float64]]]

    @staticmethod
    def of(lines: Interactions, scope: str, config: Config, catalogue: Catalogue, as_of: np.datetime64) -> Group:
        """From the lines of its customers."""
        n_items, days = len(catalogue), (as_of - lines.times) / np.timedelta64(1, "D")
        shown = catalogue.available & catalogue.recommendable
        most_bought = []
        for name, source in config.sources.items():
            if isinstance(source, PopularConfig) and source.within == scope:
                weights = (days <= (source.window_days or np.inf)) * 0.5 ** (days / (source.half_life_days or np.inf))
                counts = pd.Series(np.bincount(lines.items, weights, minlength=n_items)).where(shown)
                n = max((strategy.sources.get(name, 0) for strategy in config.strategies.values()), default=0)
                most_bought.append(
                    (n, counts[counts > 0].rank(ascending=False, method="min").reindex(range(n_items), fill_value=np.inf).to_numpy())
                )
        return Group(np.bincount(lines.items, minlength=n_items).astype(np.int32), most_bought)


@dataclass(frozen=True)
class Evidence:
    """A shop as of a time.

    bought:  item of every line of each customer, by id
    buyers:  ids of the customers who bought each item
    written: reviews of each item
    groups:  by the name of a segment or tier, what its customers bought
    priced_by: within what prices are compared
    """

    catalogue: Catalogue
    bought: Mapping[str, list[int]]
    buyers: Mapping[int, set[str]]
    written: Mapping[int, list[Review]]
    groups: Mapping[str, Group]
    priced_by: tuple[Attribute, ...]

    @staticmethod
    def of(known: Dataset, config: Config, profiles: Profiles) -> Evidence:
        """From the tables; what counts as bought is what the configuration calls positive, and who is in a group what the profiles say."""
        lines = known.interactions
        lines = lines.take(np.isin(lines.events, known.event_codes(config.data.positive_events)) & (lines.customers >= 0))
        bought: defaultdict[str, list[int]] = defaultdict(list)
        buyers: defaultdict[int, set[str]] = defaultdict(set)
        for customer, item in zip(lines.customers.tolist(), lines.items.tolist(), strict=True):
            bought[known.customers.ids[customer]].append(item)
            buyers[item].add(known.customers.ids[customer])
        reviews, written = read_reviews(known), defaultdict(list)
        for customer, item, text, time in zip(
            reviews.customers.tolist(), reviews.items.tolist(), reviews.texts, reviews.times, strict=True
        ):
            written[item].append(Review(customer, time, plain_text(text, MAX_CHARACTERS)))
        catalogue = known.catalogue()
        partitions = [("segment", profiles.segment_ids, profiles.segment), ("tier", TIERS, profiles.tier)]
        groups = {
            name: Group.of(lines.take(np.isin(lines.customers, np.flatnonzero(members == row))), scope, config, catalogue, profiles.as_of)
            for scope, names, members in partitions
            for row, name in enumerate(names)
        }
        prices = [feature for feature in config.features.values() if (feature.scope, feature.statistic) == ("pair", "price")]
        return Evidence(catalogue, bought, buyers, written, groups, tuple(dict.fromkeys(feature.by for feature in prices)))

    @cached_property
    def lines(self) -> Ints:
        """Of each item, (n_items,)."""
        items = [item for own in self.bought.values() for item in own]
        return np.bincount(items, minlength=len(self.catalogue)).astype(np.int32)

    def holds(self, reason: Reason, item: int, customer: str, profile: CustomerProfile | None) -> bool:
        """Whether what a reason says of an item is true of a customer."""
        own = self.bought.get(customer, [])
        seed = None if reason.because_item_id is None else self.catalogue.items.number(reason.because_item_id)
        if reason.because_item_id is not None and seed not in own:
            return False
        if reason.code is ReasonCode.BOUGHT_BEFORE:
            groups = self.catalogue.groups
            return seed is not None and (seed == item or bool(groups[seed] == groups[item] >= 0))
        if reason.code is ReasonCode.POPULAR:
            return bool(self.lines[item] >= np.median(self.lines[self.lines > 0]))
        if reason.code is ReasonCode.BOUGHT_AGAIN:
            repeats = self.lines[item] - len(self.buyers.get(item, ()))
            return bool(repeats / max(self.lines[item], 1) >= OFTEN - 1e-6)
        if reason.code is ReasonCode.MENTIONED:
            return seed is not None and self._is_mentioned(reason, item, seed)
        if reason.code is ReasonCode.POPULAR_IN_SEGMENT:
            return (
                profile is not None
                and reason.name in (profile.segment, profile.tier)
                and self._is_popular_among(str(reason.name), item, own)
            )
        if reason.code in (ReasonCode.SAME_BRAND, ReasonCode.SAME_CATEGORY):
            return any(reason.name in self._names(thing) for thing in own) and reason.name in self._names(item)
        if reason.code is ReasonCode.USUAL_PRICE:
            return self._is_usual(reason.name, item, own)
        if reason.code in _BY_OTHERS_TOO:
            return seed is not None and bool((self.buyers.get(seed, set()) & self.buyers.get(item, set())) - {customer})
        return seed is not None

    def _names(self, item: int) -> set[str]:
        """The brand and the categories of an item."""
        shop = self.catalogue
        brand = {shop.brand_names[shop.brands[item]]} if shop.brands[item] >= 0 else set()
        return brand | {shop.category_names[code] for code in shop.categories[item].tolist() if code >= 0}

    def _is_popular_among(self, group: str, item: int, own: list[int]) -> bool:
        """Whether a group buys more of the item than its share of all lines, or it is among the most bought there that `own` lacks."""
        members = self.groups[group]
        expected = self.lines[item] * members.lines.sum() / self.lines.sum()
        n_passed = len(set(own))  # a list of what is new passes over them
        return bool(members.lines[item] > expected) or any(ranks[item] <= n + n_passed for n, ranks in members.most_bought)

    def _is_usual(self, name: str | None, item: int, own: list[int]) -> bool:
        """Whether the item is about as dear, among the items of a brand or category, as what the customer bought of it."""
        for attribute in self.priced_by:
            codes, places = self.catalogue.codes(attribute), self._places[attribute]
            names = self.catalogue.brand_names if attribute == "brand" else self.catalogue.category_names
            if codes[item] < 0 or names[codes[item]] != name or not own:
                continue
            of_lines = pd.Series(places[own])
            there = of_lines[codes[own] == codes[item]].dropna()
            usual = (there.sum() + LINES_ANYWHERE * of_lines.mean()) / (len(there) + LINES_ANYWHERE)
            if (codes[own] == codes[item]).any() and abs(places[item] - usual) <= NEAR + 1e-6:
                return True
        return False

    @cached_property
    def _places(self) -> dict[Attribute, NDArray[np.float64]]:
        """Of every item the share of its brand's or category's prices that are lower, of equal ones half; NaN without a price."""
        places = {}
        for attribute in self.priced_by:
            codes = self.catalogue.codes(attribute)
            prices = pd.Series(np.asarray(self.catalogue.prices)).where(codes >= 0).groupby(codes)
            places[attribute] = ((prices.rank() - 0.5) / prices.transform("count")).to_numpy()
        return places

    def _is_mentioned(self, reason: Reason, item: int, seed: int) -> bool:
        """Whether a review of the item has the quote with the term, and as many reviewers of it and two of the seed have the term."""
        if reason.mention is None or reason.name is None:
            return False
        term, time = tokens(reason.name), utc64(reason.mention.time)
        quoted = any(review.time == time and reason.mention.quote in review.text for review in self.written.get(item, ()))
        of_item, of_seed = (
            len({review.customer for review in self.written.get(of, ()) if _has(tokens(review.text), term)}) for of in (item, seed)
        )
        return quoted and _has(tokens(reason.mention.quote), term) and of_item >= reason.mention.n_reviewers and of_seed >= 2


_BY_OTHERS_TOO = frozenset({ReasonCode.SIMILAR_CUSTOMERS, ReasonCode.OFTEN_NEXT, ReasonCode.BOUGHT_TOGETHER})
"""What other customers did: one of them bought the item, and the one of this customer that it rests on."""


def _has(words: list[str], run: list[str]) -> bool:
    return any(words[at : at + len(run)] == run for at in range(len(words) - len(run) + 1))

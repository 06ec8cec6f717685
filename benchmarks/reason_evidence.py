"""What the tables of a shop say of a reason; nothing in here reads a bundle or asks the engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.text.plain_text import plain_text
from recsys.training.mentions import MAX_CHARACTERS
from recsys.types import Ints, Reason, ReasonCode, utc64
from segmentation.profile import CustomerProfile
from segmentation.words import tokens

OFTEN = 0.1
"""Share of an item's lines that repeat one of the same customer, from which it is often bought again."""


@dataclass(frozen=True)
class Review:
    """One review as it stands in the shop's table."""

    customer: int
    time: np.datetime64
    text: str


@dataclass(frozen=True)
class Evidence:
    """A shop as of a time.

    bought: items of each customer, by id; written: reviews of each item; lines, buyers: of each item, (n_items,)
    """

    catalogue: Catalogue
    bought: Mapping[str, set[int]]
    written: Mapping[int, list[Review]]
    lines: Ints
    buyers: Ints

    @staticmethod
    def of(known: Dataset, config: Config) -> Evidence:
        """From the tables; what counts as bought is what the configuration calls positive."""
        lines = known.interactions
        rows = np.flatnonzero(np.isin(lines.events, known.event_codes(config.data.positive_events)) & (lines.customers >= 0))
        bought: defaultdict[str, set[int]] = defaultdict(set)
        for customer, item in zip(lines.customers[rows].tolist(), lines.items[rows].tolist(), strict=True):
            bought[known.customers.ids[customer]].add(item)
        reviews, written = read_reviews(known), defaultdict(list)
        for customer, item, text, time in zip(
            reviews.customers.tolist(), reviews.items.tolist(), reviews.texts, reviews.times, strict=True
        ):
            written[item].append(Review(customer, time, plain_text(text, MAX_CHARACTERS)))
        buyers = Counter(item for own in bought.values() for item in own)
        counts = np.bincount(lines.items[rows], minlength=len(known.items)).astype(np.int32)
        return Evidence(known.catalogue(), bought, written, counts, np.array([buyers[item] for item in range(len(counts))], np.int32))

    def holds(self, reason: Reason, item: int, customer: str, profile: CustomerProfile | None) -> bool:
        """Whether what a reason says of an item is true of a customer."""
        own = self.bought.get(customer, set())
        seed = None if reason.because_item_id is None else self.catalogue.items.number(reason.because_item_id)
        if reason.because_item_id is not None and seed not in own:
            return False
        if reason.code is ReasonCode.BOUGHT_BEFORE:
            groups = self.catalogue.groups
            return seed is not None and (seed == item or bool(groups[seed] == groups[item] >= 0))
        if reason.code is ReasonCode.POPULAR:
            return bool(self.lines[item] >= np.median(self.lines[self.lines > 0]))
        if reason.code is ReasonCode.BOUGHT_AGAIN:
            return bool((self.lines[item] - self.buyers[item]) / max(self.lines[item], 1) >= OFTEN - 1e-6)
        if reason.code is ReasonCode.MENTIONED:
            return seed is not None and self._is_mentioned(reason, item, seed)
        if reason.code is ReasonCode.POPULAR_IN_SEGMENT:
            return profile is not None and reason.name in (profile.segment, profile.tier)
        if reason.code in (ReasonCode.SAME_BRAND, ReasonCode.SAME_CATEGORY, ReasonCode.USUAL_PRICE):
            return reason.name is not None and any(reason.name in self._names(thing) for thing in own) and reason.name in self._names(item)
        return reason.because_item_id is not None or reason.code in _MAY_NAME_NONE

    def _names(self, item: int) -> set[str]:
        """The brand and the categories of an item."""
        shop = self.catalogue
        brand = {shop.brand_names[shop.brands[item]]} if shop.brands[item] >= 0 else set()
        return brand | {shop.category_names[code] for code in shop.categories[item].tolist() if code >= 0}

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


_MAY_NAME_NONE = frozenset({ReasonCode.SIMILAR_CUSTOMERS, ReasonCode.OFTEN_NEXT})
"""Of customers like this one, among whom no item need be named."""


def _has(words: list[str], run: list[str]) -> bool:
    return any(words[at : at + len(run)] == run for at in range(len(words) - len(run) + 1))

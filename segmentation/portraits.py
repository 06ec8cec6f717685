"""What every segment is called and what there is to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.describe import Facts, Statement, as_text, habits, shares_of_customers, shares_of_lines
from segmentation.naming import BY_TERMS, MAX_TERMS, Namer, distinguishing_terms, names_from_terms, telling_habit, written_name
from segmentation.purchases import Floats, Ints, Purchases, Reals
from segmentation.rfm import Rfm
from segmentation.taste import Bought

PRIOR_WEIGHT = 0.2
"""Of the average customer's lines, added to everybody's before shares are taken, so that a thin history stays near the middle."""
MIN_MEMBERS = 50
"""Of a segment with fewer customers no habit goes into the name: their medians wander."""


@dataclass(frozen=True)
class Segment:
    """A segment as it was when fitted.

    share:       of the customers, in [0, 1]
    terms:       what sets it apart, most telling first
    summary:     one sentence by whoever named it; "" = none
    description: sentences, each with the statistic that backs it
    """

    id: str
    name: str
    share: float
    terms: tuple[str, ...]
    summary: str = ""
    description: tuple[Statement, ...] = ()

    @property
    def is_named_by_terms(self) -> bool:
        """Whether the name is only its telling terms."""
        return self.name.endswith(BY_TERMS)


@dataclass(frozen=True)
class Wrote:
    """What customers wrote of, in short phrases: parallel arrays of distinct pairs. phrases: rows of names"""

    customers: Ints
    phrases: Ints
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sitters:
    """The customers that segments are described by.

    customers: numbers, distinct and sorted; segments: of each; rfm: of all customers; purchases: of all customers
    """

    customers: Ints
    segments: NDArray[np.int16]
    n_segments: int
    rfm: Rfm
    purchases: Purchases
    in_money: bool

    def pairs(self, customers: Ints, things: Ints) -> tuple[NDArray[np.intp], Ints]:
        """Rows of the sitters among pairs, and their things."""
        known = np.isin(customers, self.customers)
        return np.searchsorted(self.customers, customers[known]), things[known]

    def price_levels(self) -> Reals:
        """What each pays for a line, in means of the line's topic; NaN where no line has a value and a topic; (n,)."""
        lines = self.purchases.take((self.purchases.topics >= 0) & (self.purchases.values > 0))
        values, n_customers = lines.values.astype(np.float64), len(self.rfm.n_orders)
        n_topics = max(len(lines.topic_names), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            usual = np.bincount(lines.topics, values, n_topics) / np.bincount(lines.topics, minlength=n_topics)
            paid = np.bincount(lines.customers, values / usual[lines.topics], n_customers)
            levels = paid / np.bincount(lines.customers, minlength=n_customers)
        return np.asarray(levels[self.customers])


def portraits(
    sitters: Sitters,
    bought: Bought,
    item_names: Sequence[str],
    topic_names: tuple[str, ...],
    titles: Mapping[str, str],
    wrote: Wrote | None,
    namer: Namer | None,
) -> tuple[Segment, ...]:
    """All segments, in their order, with ids s0, s1, ...

    Args:
        bought, item_names, titles: see `bought_by`
        namer: None = segments are called by their terms
    """
    counts = sitters.purchases.topic_counts(sitters.customers, topic_names)
    items = bought_by(sitters, bought, item_names, titles)
    facts = [items, shares_of_lines(sitters.segments, sitters.n_segments, counts, topic_names)]
    if wrote is not None:
        pairs = sitters.pairs(wrote.customers, wrote.phrases)
        sentence = "{value} of them wrote of {name}; of everybody {everybody}."
        facts.append(shares_of_customers(sitters.segments, sitters.n_segments, *pairs, wrote.names, "wrote of", sentence))
    terms = _terms(sitters, counts, topic_names, items)
    levels = sitters.price_levels()
    statements = [_statements(sitters, segment, levels, facts) for segment in range(sitters.n_segments)]
    sizes = np.bincount(sitters.segments, minlength=sitters.n_segments)
    words = [telling_habit(own) if n >= MIN_MEMBERS else "" for own, n in zip(statements, sizes, strict=True)]
    named = _named(names_from_terms(terms, words), terms, statements, facts, namer)
    shares = sizes / max(len(sitters.segments), 1)
    return tuple(
        Segment(f"s{row}", name, float(shares[row]), terms[row], summary, statements[row]) for row, (name, summary) in enumerate(named)
    )


def bought_by(sitters: Sitters, bought: Bought, item_names: Sequence[str], titles: Mapping[str, str]) -> Facts:
    """The share of a segment's customers who bought an item; items of one title are one.

    bought: its first things are the items; titles: of items, by name; one without a title is called by its name
    """
    of_items = [titles.get(name) or name for name in item_names]
    row_of = {title: row for row, title in enumerate(dict.fromkeys(of_items))}
    title_of = np.array([row_of[title] for title in of_items], np.int32)
    is_item = bought.things < len(item_names)
    customers, things = bought.customers[is_item], title_of[bought.things[is_item]]
    pairs = np.unique(np.stack([customers, things]), axis=1)
    sentence = "{value} of them have bought {name}; of everybody {everybody}."
    return shares_of_customers(sitters.segments, sitters.n_segments, *sitters.pairs(pairs[0], pairs[1]), tuple(row_of), "bought", sentence)


def _terms(sitters: Sitters, counts: Floats, topic_names: Sequence[str], items: Facts) -> list[tuple[str, ...]]:
    """Telling topics, and where there are none telling items."""
    lines = counts + PRIOR_WEIGHT * counts.mean(axis=0)
    totals = lines.sum(axis=1, keepdims=True)
    columns = np.sqrt(np.divide(lines, totals, out=np.zeros_like(lines), where=totals > 0))
    topics = distinguishing_terms(columns, counts > 0, sitters.segments, sitters.n_segments, topic_names)
    return [terms or items.telling_names(segment)[:MAX_TERMS] for segment, terms in enumerate(topics)]


def _statements(sitters: Sitters, segment: int, levels: Reals, facts: Sequence[Facts]) -> tuple[Statement, ...]:
    own = habits(sitters.segments == segment, sitters.customers, sitters.rfm, levels, sitters.in_money)
    return (*own, *(statement for kind in facts for statement in kind.telling(segment)))


def _named(
    by_terms: Sequence[str],
    terms: Sequence[tuple[str, ...]],
    statements: Sequence[tuple[Statement, ...]],
    facts: Sequence[Facts],
    namer: Namer | None,
) -> list[tuple[str, str]]:
    """Name and summary of each segment; the writer's where there is one who keeps to the evidence."""
    named = [(name, "") for name in by_terms]
    if namer is None:
        return named
    for segment, own in enumerate(statements):
        words = [*terms[segment], *(name for kind in facts for name in kind.telling_names(segment))]
        taken = [name for name, _ in named]
        named[segment] = written_name(namer, as_text(terms[segment], own), words, taken) or named[segment]
    return named

"""What texts, prices and reasons know of items: cold items by their texts, the dearness that suits a customer, why an item is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from offline_eval.significance import bootstrap
from recsys.engine import Engine, Snapshot
from recsys.protocols import CandidateSource
from recsys.selection.eligibility import on_sale
from recsys.source_config import ContentConfig
from recsys.synthetic import oracle
from recsys.threads import limit_threads
from recsys.types import Flags, Floats, Query, ReasonCode, Recommendation, aware
from segrec.recovery.lists import Best
from segrec.recovery.measures import auc, rank_correlation
from segrec.recovery.score import Rows, Score, by_halves, by_halves_of_both
from segrec.recovery.subject import Subject

COLD_DAYS = 60.0
"""An item is cold for so long after its launch."""

TOP = 10
LOOKS_AT = 20
"""Items of a list whose reasons, and whose prices, are looked at."""

_LIKED = frozenset({oracle.TASTE, oracle.PERSONA})
TRUE_CAUSES = {
    ReasonCode.BOUGHT_BEFORE: frozenset({oracle.BOUGHT_BEFORE}),
    ReasonCode.BOUGHT_TOGETHER: frozenset({oracle.BOUGHT_TOGETHER}),
    ReasonCode.SIMILAR_TEXT: _LIKED,
    ReasonCode.MENTIONED: _LIKED,
    ReasonCode.SIMILAR_CUSTOMERS: _LIKED,
    ReasonCode.OFTEN_NEXT: _LIKED | {oracle.BOUGHT_TOGETHER},
    ReasonCode.POPULAR_IN_SEGMENT: frozenset({oracle.PERSONA}),
    ReasonCode.POPULAR: frozenset({oracle.POPULAR}),
    ReasonCode.BOUGHT_AGAIN: frozenset({oracle.BOUGHT_BEFORE}),
    ReasonCode.SAME_BRAND: _LIKED,
    ReasonCode.SAME_CATEGORY: _LIKED,
    ReasonCode.USUAL_PRICE: _LIKED,
}
"""The causes that make each reason right; a reason that is not here never is."""


def score_cold_items(subject: Subject, rng: np.random.Generator) -> Iterator[Score]:
    """Whether texts tell who will buy a new item. No row without a content source, or where nobody bought one.

    Only items that are new to the customer count, and each score less the item's mean over those to whom it is new: a text can tell
    whose taste an item meets, and is not asked how many will want it, which a few items would decide for all customers at once.
    """
    content = [name for name, source in subject.bundle.config.sources.items() if isinstance(source, ContentConfig)]
    cold = np.flatnonzero(_is_cold(subject))
    if not content or len(cold) < 2:
        return
    is_new = subject.by_batch(lambda rows: ~subject.bought(rows)[:, cold])
    found = _content_scores(subject, subject.bundle.sources[content[0]], cold)
    best = subject.by_batch(lambda rows: np.log(np.maximum(subject.likely(rows)[:, cold], 1e-12)))
    bought = _bought_later(subject)[:, cold]
    buyers = np.flatnonzero((bought & is_new & np.isfinite(found)).any(axis=1))
    if not len(buyers):
        return
    for_found, for_best = (_less_means(np.where(is_new, scores, np.nan))[buyers] for scores in (found, best))

    def told_apart(customers: Rows, items: Rows) -> float:
        return _within_customers(for_found[np.ix_(customers, items)], bought[np.ix_(buyers[customers], items)])

    note = f"{len(cold)} items of the last {COLD_DAYS:.0f} days, by their texts alone, within customers; best: the true probability"
    interval = by_halves_of_both(told_apart, len(buyers), len(cold), rng)
    yield Score.of("cold items", "AUC", interval, chance=0.5, best=_within_customers(for_best, bought[buyers]), note=note)


def score_price(subject: Subject, lists: Sequence[Recommendation], rng: np.random.Generator) -> Score:
    """Whether the discovery lists are dearer for customers whom dear items suit."""
    dearness = subject.items.dearness[subject.planted]
    number = subject.bundle.catalogue.items.numbers
    found = np.array([dearness[number(answer.item_ids[:LOOKS_AT])].mean() for answer in lists])
    ideal = Best(subject, subject.likely, new_only=True)
    best = np.array([dearness[items].mean() for rows in subject.batches() for items in ideal.items(rows, LOOKS_AT)])
    wanted = net_price_preference(subject)

    def agreement(rows: Rows) -> float:
        return rank_correlation(wanted[rows], found[rows])

    return Score.of(
        "price",
        "Spearman",
        by_halves(agreement, len(found), rng),
        chance=0.0,
        best=rank_correlation(wanted, best),
        note=f"of the mean dearness of {LOOKS_AT} items with the customer's taste for dear ones; best: the oracle's lists",
    )


def score_reasons(part: str, subject: Subject, lists: Sequence[Recommendation], rng: np.random.Generator) -> Iterator[Score]:
    """Whether the first reason of each item is the true cause of its being likely.

    Left out are items without a reason, and new ones that would meet a need of the customer's: of these causes no reason speaks.

    part: what the row is called
    """
    by_batch = [_causes(subject, lists, rows) for rows in subject.batches()]
    causes, is_counted = (np.concatenate(parts) for parts in zip(*by_batch, strict=True))
    codes = np.array([[str(item.reasons[0].code) if item.reasons else "" for item in answer.items[:TOP]] for answer in lists])
    is_counted &= codes != ""
    given = [code for code in np.unique(codes) if code]
    gives = [codes == code for code in given]
    would_be_right = [np.isin(causes, [*TRUE_CAUSES.get(ReasonCode(code), ())]) for code in given]
    n_counted = is_counted.sum(axis=1)
    is_right = np.logical_or.reduce([gave & right for gave, right in zip(gives, would_be_right, strict=True)]) & is_counted
    measured = np.flatnonzero(n_counted)
    if not len(measured):
        return
    shares = (is_right.sum(axis=1)[measured] / n_counted[measured])[:, None]
    found = bootstrap([subject.customer_ids[row] for row in measured], shares, rng).mean(0)
    shuffled = sum(gave[is_counted].mean() * right[is_counted].mean() for gave, right in zip(gives, would_be_right, strict=True))
    note = "first reasons that are the chief true cause; chance: the same reasons shuffled; in a null world items are still bought again"
    yield Score.of(part, "share right", found, chance=float(shuffled), best=1.0, note=note)


def net_price_preference(subject: Subject) -> NDArray[np.float64]:
    """What dearness adds to the utility of an item for each scored customer; where it adds nothing, what it would, were it to matter."""
    signals, customers = subject.world.config.signals, subject.block.scene.customers
    for_dear, against = (signals.tier, signals.price) if signals.tier or signals.price else (1.0, 1.0)
    return np.asarray(for_dear * customers.value[subject.owners] - against * customers.sensitivity[subject.owners], np.float64)


def _is_cold(subject: Subject) -> Flags:
    """Items launched shortly before the cut."""
    age = subject.oracle.day - subject.items.launch_day[subject.planted]
    return np.asarray((age > 0) & (age <= COLD_DAYS) & on_sale(subject.bundle.catalogue))


def _content_scores(subject: Subject, source: CandidateSource, cold: NDArray[np.intp]) -> Floats:
    """The source's score of each cold item for each scored customer; NaN where it knows nothing of the customer; (n, n_cold)."""
    engine, snapshot = Engine(subject.bundle), Snapshot.of(subject.bundle)
    eligible = np.zeros(len(subject.planted), np.bool_)
    eligible[cold] = True
    scores = np.full((len(subject.owners), len(subject.planted)), np.nan, np.float32)
    with limit_threads(1):
        for row, id_ in enumerate(subject.customer_ids):
            resolved, _ = engine.resolve(Query(k=1, time=aware(subject.as_of), customer_id=id_), snapshot)
            proposed = source.retrieve(resolved, len(cold), eligible)
            scores[row, proposed.items] = proposed.scores
    return scores[:, cold]


def _bought_later(subject: Subject) -> Flags:
    """What each scored customer bought in the horizon, as far as the shop knows; (n, n_items)."""
    lines = subject.dataset.interactions.between(subject.as_of, subject.end)
    lines = lines.take(np.isin(lines.events, subject.bundle.positive_events) & (lines.customers >= 0))
    row_of = np.full(max(len(subject.dataset.customers), 1), -1)
    row_of[subject.numbers] = np.arange(len(subject.numbers))
    rows = row_of[lines.customers]
    bought = np.zeros((len(subject.numbers), len(subject.planted)), np.bool_)
    bought[rows[rows >= 0], lines.items[rows >= 0]] = True
    return bought


def _less_means(scores: Floats) -> Floats:
    """Scores less each item's mean over customers; NaN = none; (n, n_items)."""
    has_score = np.isfinite(scores)
    return np.asarray(scores - np.where(has_score, scores, 0).sum(axis=0) / np.maximum(has_score.sum(axis=0), 1))


def _within_customers(scores: Floats, bought: Flags) -> float:
    """Mean AUC of customers over the items that they have scores of; NaN where nobody bought some of these and not others."""
    has_score = np.isfinite(scores)
    values = [auc(bought[row, said], scores[row, said]) for row, said in enumerate(has_score) if (bought[row] & said).any()]
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _causes(subject: Subject, lists: Sequence[Recommendation], rows: NDArray[np.intp]) -> tuple[NDArray[np.str_], Flags]:
    """The oracle's chief cause for each of the first items of each list, and whether a reason can name it; (m, TOP) each."""
    items = np.stack([subject.bundle.catalogue.items.numbers(lists[row].item_ids[:TOP]) for row in rows])
    causes = np.take_along_axis(subject.oracle.causes(subject.owners[rows])[:, subject.planted], items, axis=1)
    was_bought = np.take_along_axis(subject.bought(rows), items, axis=1)
    return causes, (causes != oracle.BOUGHT_BEFORE) | was_bought

"""Who customers are, what they will spend, and whether they will come: what segmentation found against what was planted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.customers import OWN_CHURN, OWN_SENSITIVITY, OWN_VISITS, VALUE_IN_VISITS
from recsys.synthetic.visits import TYPE_TASTE
from recsys.synthetic.world import Block, World
from recsys.types import Flags, Floats, Ints
from segmentation.profile import TIERS
from segrec.recovery.measures import auc, captured, graded, rand_index, rank_correlation, weighted_kappa
from segrec.recovery.score import Rows, Score, by_halves
from segrec.recovery.subject import Subject

_REMAINS = "in a null world there is still who has gone and who needs what"


def score_customers(subject: Subject, rng: np.random.Generator) -> Iterator[Score]:
    """Segments, tiers, value and churn."""
    yield _segments(subject, rng)
    yield _tiers(subject, rng)
    yield from _value(subject, rng)
    yield _churn(subject, rng)


def likely_personas(world: World, block: Block, owners: Ints, day: float) -> Ints:
    """The likeliest persona of each of some customers of a block, given all that it shapes: the best that anybody could tell.

    That is the true taste, price sensitivity and rates of visits and leaving, each normal (or its logarithm) around the persona's, and
    the needs that the customer's reviews told before `day`, which are the persona's own.
    """
    signals, usual, personas = world.config.signals, world.config.behaviour, world.personas
    customers = block.scene.customers.take(owners.astype(np.intp))
    shared, own, spread = np.sqrt(signals.segment), np.sqrt(1 - signals.segment), signals.value
    visits = _log_of(customers.visits, usual.visits_per_month / 30) - VALUE_IN_VISITS * spread * customers.value[:, None]
    surprise = _squares(customers.tastes, shared * personas.tastes, own)
    if signals.price:  # else nobody is more sensitive than others
        surprise += _squares(_log_of(customers.sensitivity, 1.0), shared * personas.sensitivity, own * OWN_SENSITIVITY)
    surprise += _squares(visits, shared * personas.visits, OWN_VISITS * spread)
    if usual.churn_per_year:
        surprise += _squares(_log_of(customers.churn_rate, usual.churn_per_year / 365), shared * personas.churn, OWN_CHURN)
    return np.asarray(np.argmin(np.where(_contradicted(world, block, owners, day), np.inf, surprise), axis=1), np.int32)


def personas_by_purchases(subject: Subject) -> Ints:
    """The persona whose taste is nearest in direction to the true vectors of what each scored customer bought, less what all bought.

    What could be known of personas from purchases by one who knew every item: tastes themselves nobody sees.
    """
    items = subject.items
    seen = (items.vectors + TYPE_TASTE * items.types.vectors[items.true.types])[subject.planted]
    bought = subject.by_batch(subject.bought)
    shares = bought / np.maximum(bought.sum(axis=1, keepdims=True), 1)
    tastes = subject.world.personas.tastes
    agreement = (shares - shares.mean(axis=0)) @ seen @ (tastes / np.linalg.norm(tastes, axis=1, keepdims=True)).T
    return np.asarray(np.argmax(agreement, axis=1), np.int32)


def _log_of(values: Floats, usual: float) -> NDArray[np.float64]:
    """Logarithms of multiples of what is usual, one column; (n, 1)."""
    return np.asarray(np.log(values.astype(np.float64) / usual)[:, None])


def _squares(values: NDArray[np.floating], means: NDArray[np.floating], deviation: float) -> NDArray[np.float64]:
    """Twice the negative log density of each customer's values under each persona's, less what all personas share; (n, n_personas)."""
    distances = values[:, None, :] - means.reshape(1, len(means), -1)
    return np.asarray((distances**2).sum(axis=2) / max(deviation**2, 1e-9), np.float64)


def _contradicted(world: World, block: Block, owners: Ints, day: float) -> Flags:
    """Whether what each customer's true reviews told before `day` is not the need of each persona; (n, n_personas)."""
    reviews, personas = block.reviews, block.scene.customers.personas
    told = reviews.tells_need & reviews.is_true & (reviews.days < day) & world.config.texts
    tellers = block.scene.visits.owners[block.purchases.visits[reviews.lines[told]]]
    needs = np.array([persona.need for persona in world.lexicon.personas])
    return np.asarray(np.isin(owners, tellers)[:, None] & (needs[personas[owners]][:, None] != needs))


def _segments(subject: Subject, rng: np.random.Generator) -> Score:
    true = subject.block.scene.customers.personas[subject.owners]
    found = subject.bundle.profiles.segment[subject.numbers]
    seen = rand_index(true, personas_by_purchases(subject))

    def agreement(rows: Rows) -> float:
        return rand_index(true[rows], found[rows])

    return Score.of(
        "segments",
        "adjusted Rand index",
        by_halves(agreement, len(true), rng),
        chance=0.0,
        best=rand_index(true, likely_personas(subject.world, subject.block, subject.owners, subject.oracle.day)),
        note="best: the likeliest persona given the true taste, value level, price sensitivity and rates of visits and leaving, and the "
        f"needs told in reviews; the persona whose taste is nearest to the true vectors of what was bought has {seen:.2f}",
    )


def _tiers(subject: Subject, rng: np.random.Generator) -> Score:
    found = np.asarray(subject.bundle.profiles.tier[subject.numbers])
    below = np.cumsum(np.bincount(found, minlength=len(TIERS)))[:-1] / len(found)
    true, best = graded(subject.spent, below), graded(subject.expected_spend, below)

    def agreement(rows: Rows) -> float:
        return weighted_kappa(true[rows], found[rows])

    return Score.of(
        "tiers",
        "quadratic kappa",
        by_halves(agreement, len(true), rng),
        chance=0.0,
        best=weighted_kappa(true, best),
        note=f"against tiers of equal size by what was spent; best: tiers by the spend that the true model expects; {_REMAINS}",
    )


def _value(subject: Subject, rng: np.random.Generator) -> Iterator[Score]:
    value = subject.bundle.profiles.expected_value[subject.numbers]
    said = np.isfinite(value)
    found, spent, best = value[said], subject.spent[said], subject.expected_spend[said]

    def sorted_by_spend(rows: Rows) -> float:
        return captured(spent[rows], found[rows])

    def agreement(rows: Rows) -> float:
        return rank_correlation(best[rows], found[rows])

    yield Score.of(
        "value",
        "normalised Gini",
        by_halves(sorted_by_spend, len(found), rng),
        chance=0.0,
        best=captured(spent, best),
        note=f"of what was spent; chance: any order; best: by the spend that the true model expects; {_REMAINS}",
    )
    yield Score.of(
        "value",
        "Spearman",
        by_halves(agreement, len(found), rng),
        chance=0.0,
        best=1.0,
        note=f"with the spend that the true model expects, which is the best possible itself; {_REMAINS}",
    )


def _churn(subject: Subject, rng: np.random.Generator) -> Score:
    churn = subject.bundle.profiles.churn_probability[subject.numbers]
    said = np.isfinite(churn)
    found, has_left, best = churn[said], subject.has_left[said], subject.oracle.no_purchase(subject.owners[said])

    def separated(rows: Rows) -> float:
        return auc(has_left[rows], found[rows])

    return Score.of(
        "churn",
        "AUC",
        by_halves(separated, len(found), rng),
        chance=0.5,
        best=auc(has_left, best),
        note=f"of buying nothing in the horizon; best: its probability by the true model; {_REMAINS}",
    )

"""Who customers are, what they will spend, and whether they will come: what segmentation found against what was planted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recsys.synthetic.customers import OWN_SENSITIVITY
from recsys.synthetic.visits import TYPE_TASTE
from recsys.types import Ints
from segmentation.profile import TIERS
from segrec.recovery.measures import auc, captured, graded, rand_index, rank_correlation, weighted_kappa
from segrec.recovery.score import Rows, Score, by_halves
from segrec.recovery.subject import Subject


def score_customers(subject: Subject, rng: np.random.Generator) -> Iterator[Score]:
    """Segments, tiers, value and churn."""
    yield _segments(subject, rng)
    yield _tiers(subject, rng)
    yield from _value(subject, rng)
    yield _churn(subject, rng)


def likely_personas(subject: Subject) -> Ints:
    """The likeliest persona of each scored customer, given their true taste and price sensitivity.

    Both are normal around the persona's with the variance that the persona does not explain.
    """
    segment = subject.world.config.signals.segment
    shared, own = np.sqrt(segment), max(1 - segment, 1e-9)
    personas, customers = subject.world.personas, subject.block.scene.customers
    tastes, sensitivity = customers.tastes[subject.owners], np.log(customers.sensitivity[subject.owners])
    of_taste = ((tastes[:, None, :] - shared * personas.tastes[None, :, :]) ** 2).sum(axis=2)
    of_price = ((sensitivity[:, None] - shared * personas.sensitivity[None, :]) / OWN_SENSITIVITY) ** 2
    return np.asarray(np.argmin((of_taste + of_price) / own, axis=1), np.int32)


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
        best=rand_index(true, likely_personas(subject)),
        note=f"best: the likeliest persona given the true taste; from purchases alone, all items known, {seen:.2f} can be reached",
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
        note="against tiers of equal size by what was spent; best: tiers by the spend that the true model expects",
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
        note="of what was spent; chance: any order; best: by the spend that the true model expects",
    )
    yield Score.of(
        "value",
        "Spearman",
        by_halves(agreement, len(found), rng),
        chance=0.0,
        best=1.0,
        note="with the spend that the true model expects, which is the best possible itself",
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
        note="of buying nothing in the horizon; best: its probability by the true model",
    )

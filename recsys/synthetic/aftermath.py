"""What follows a purchase: what was paid, how it pleased, what came back, what was written about it, and messages to the shop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.behaviour import Purchases, Scene
from recsys.synthetic.messages import INTENTS
from recsys.synthetic.reviews import ASPECTS
from recsys.types import Flags, Floats, Ints

LEAVING_DAYS = 45.0
"""A customer who is about to leave writes a message that says so within this time before, with probability LEAVING_WRITES."""

LEAVING_WRITES = 0.5
_DELAYED = 0.08
_CONTENT, _DISAPPOINTED = 0.35, -0.45
"""Satisfaction above and below which a review is positive and negative; between them it is neutral."""

USUAL_LEAVE = 0.05
"""Share of usual messages that say so without meaning it."""

_INTENT_SHARES = {"buy": 0.3, "hesitate": 0.25, "leave": USUAL_LEAVE, "service": 0.4}


@dataclass(frozen=True)
class Lines:
    """What became of each purchase, as parallel arrays.

    prices: paid per piece; quantities: pieces; satisfaction: about standard normal; float32
    opinions: what the customer thinks of each of ASPECTS, above 0 = well; float32 (n, n_aspects)
    returned: day on which it came back, NaN = kept; float64
    """

    prices: Floats
    quantities: Floats
    satisfaction: Floats
    opinions: Floats
    returned: NDArray[np.float64]


@dataclass(frozen=True)
class Reviews:
    """Reviews to be written, as parallel arrays.

    lines:     rows of the purchases; days: when; float64
    sentiment: -1, 0 or 1, of the text; stars: 1 to 5; int8
    aspects:   polarity of each of ASPECTS in the text, 0 = not mentioned; int8 (n, n_aspects)
    tells_need: whether the text tells the need of the customer's persona; bool
    is_true:   whether stars and text are of this purchase, or drawn as if of another; bool
    """

    lines: NDArray[np.intp]
    days: NDArray[np.float64]
    sentiment: NDArray[np.int8]
    stars: NDArray[np.int8]
    aspects: NDArray[np.int8]
    tells_need: Flags
    is_true: Flags

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True)
class Messages:
    """Messages to be written. owners: rows of the block; days: when; intents: rows of INTENTS, int8; types: what they are about."""

    owners: Ints
    days: NDArray[np.float64]
    intents: NDArray[np.int8]
    types: Ints

    def __len__(self) -> int:
        return len(self.owners)


def lines_of(scene: Scene, purchases: Purchases, rng: np.random.Generator) -> Lines:
    """What every purchase cost and how it pleased: the item's quality, its fit with the customer's taste, and how it arrived."""
    items, owners = scene.model.items, scene.visits.owners[purchases.visits]
    days = scene.visits.days[purchases.visits]
    n, weeks = len(purchases), scene.model.calendar.weeks(days)
    depth = scene.model.calendar.depth[weeks, purchases.items]
    fit = min(1.0, scene.model.signals.taste) * np.einsum("nd,nd->n", scene.customers.tastes[owners], items.vectors[purchases.items])
    quality, noise = items.quality[purchases.items], rng.standard_normal((n, len(ASPECTS)), np.float32)
    is_delayed = rng.random(n) < _DELAYED
    dear = scene.customers.sensitivity[owners] * (items.dearness[purchases.items] - 4 * depth)
    means = {"quality": quality, "price": 0.3 - 0.8 * dear, "fit": 0.7 * fit, "design": 0.5 * fit}
    means |= {"delivery": np.where(is_delayed, -2.5, 0.6), "service": np.where(is_delayed, -0.5, 0.3)}
    opinions = np.stack([means[aspect] for aspect in ASPECTS], axis=1) + 0.5 * noise
    pleased = 0.6 * quality + 0.35 * fit - 1.2 * is_delayed + 0.15 + 0.5 * rng.standard_normal(n)
    durable = items.is_durable[purchases.items]
    comes_back = rng.random(n) < np.where(pleased < -1, np.where(durable, 0.6, 0.15), 0.01)
    return Lines(
        prices=np.round(items.prices[purchases.items] * (1 - depth), 2).astype(np.float32),
        quantities=(1 + ~durable * rng.poisson(0.35, n)).astype(np.float32),
        satisfaction=pleased.astype(np.float32),
        opinions=opinions.astype(np.float32),
        returned=np.where(comes_back, days + rng.uniform(2, 14, n), np.nan),
    )


def reviews_of(scene: Scene, purchases: Purchases, lines: Lines, rng: np.random.Generator) -> Reviews:
    """Who writes: those strongly pleased or displeased more often than the others, as far as texts tell the truth."""
    truth = scene.model.signals.text
    strength = 0.5 + np.minimum(np.abs(lines.satisfaction), 2)
    likely = (
        scene.model.behaviour.reviews * (1 - truth + truth * strength / max(float(strength.mean()), 1e-6)) if len(strength) else strength
    )
    rows = np.flatnonzero(rng.random(len(purchases)) < likely)
    days = scene.visits.days[purchases.visits[rows]] + rng.uniform(3, 25, len(rows))
    is_true = rng.random(len(rows)) < truth
    source = np.where(is_true, rows, rng.permutation(rows))  # a false review says what another one should have
    pleased = lines.satisfaction[source]
    stars = np.clip(np.round(3.4 + 1.5 * pleased + 0.3 * rng.standard_normal(len(rows))), 1, 5)
    sentiment = (pleased > _CONTENT).astype(np.int8) - (pleased < _DISAPPOINTED)
    told = _mentioned(lines.opinions[source], rng), is_true & _tells(scene, rows, rng)
    reviews = Reviews(rows, days, sentiment, stars.astype(np.int8), *told, is_true)
    within = np.flatnonzero(days < scene.model.calendar.n_days)
    return Reviews(*(column[within] for column in vars(reviews).values()))


def messages_of(scene: Scene, rng: np.random.Generator) -> Messages:
    """Messages of every day, and those of customers who are about to leave."""
    model, customers = scene.model, scene.customers
    at = np.flatnonzero(rng.random(len(scene.visits)) < model.behaviour.messages)
    usual = rng.choice(len(INTENTS), len(at), p=[_INTENT_SHARES[intent] for intent in INTENTS])
    leaving = np.flatnonzero(rng.random(len(customers)) < LEAVING_WRITES).astype(np.int32)
    says_so = customers.churn[leaving] - rng.uniform(0, LEAVING_DAYS, len(leaving))
    there = (says_so > np.maximum(customers.arrival[leaving], 0)) & (says_so < model.calendar.n_days)
    there &= rng.random(len(leaving)) < model.signals.text  # where texts say nothing, not even that there is one may tell
    intents = np.full(int(there.sum()), INTENTS.index("leave"))
    owners = np.concatenate([scene.visits.owners[at], leaving[there]])
    days = np.concatenate([scene.visits.days[at] + rng.uniform(0, 1, len(at)), says_so[there]])
    types = rng.integers(len(model.items.types), size=len(owners)).astype(np.int32)
    order = np.lexsort((days, owners))
    order = order[days[order] < model.calendar.n_days]
    return Messages(owners[order], days[order], np.concatenate([usual, intents]).astype(np.int8)[order], types[order])


def _mentioned(opinions: Floats, rng: np.random.Generator) -> NDArray[np.int8]:
    """None to three aspects of each review, those with the strongest opinions first."""
    n_mentioned = rng.choice(4, len(opinions), p=[0.2, 0.35, 0.3, 0.15])
    place = np.argsort(np.argsort(-np.abs(opinions + 0.3 * rng.standard_normal(opinions.shape)), axis=1), axis=1)
    return (np.sign(opinions) * (place < n_mentioned[:, None])).astype(np.int8)


def _tells(scene: Scene, rows: NDArray[np.intp], rng: np.random.Generator) -> Flags:
    """A need is told in a third of the reviews, as far as the persona matters."""
    return np.asarray(rng.random(len(rows)) < 0.35 * np.sqrt(scene.model.signals.segment))

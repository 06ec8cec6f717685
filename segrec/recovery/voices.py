"""What the product says that customers say, against what they wrote: moods, and how they find what they write of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segrec.recovery.measures import rank_correlation
from segrec.recovery.score import Rows, Score, by_halves
from segrec.recovery.subject import Subject

_WRITTEN = "it is read from the texts themselves, so in a null world too"


def score_voices(subject: Subject, rng: np.random.Generator) -> Iterator[Score]:
    """Moods and needs of the scored customers who wrote reviews; no row where the bundle reads neither.

    Intents are taught by a language model alone, and a planted world is scored without one.
    """
    voices, numbers = subject.bundle.profiles.voices, subject.numbers
    sentiments, polarities = _as_written(subject)
    owners = np.repeat(np.arange(len(voices)), np.diff(voices.need_offsets))
    liked = _means(owners, voices.need_polarity, len(voices))[numbers]
    yield from _agreement("mood", voices.mood_score[numbers], sentiments, "mean sentiment of its reviews", rng)
    yield from _agreement("needs", liked, polarities, "mean polarity of the aspects of its reviews", rng)


def _agreement(part: str, said: NDArray[np.floating], true: NDArray[np.float64], of: str, rng: np.random.Generator) -> Iterator[Score]:
    """A row for the customers of whom both is known, if there are any."""
    known = np.isfinite(said) & np.isfinite(true)

    def agreement(rows: Rows) -> float:
        return rank_correlation(true[known][rows], said[known][rows])

    if known.any():
        found = by_halves(agreement, int(known.sum()), rng)
        yield Score.of(part, "Spearman", found, chance=0.0, best=1.0, note=f"of each customer's with the {of}, as planted; {_WRITTEN}")


def _as_written(subject: Subject) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean sentiment, and mean polarity of the aspects, of the reviews that each scored customer wrote before the cut; NaN = none."""
    block, reviews = subject.block, subject.block.reviews
    past = reviews.days < subject.oracle.day
    owners = block.scene.visits.owners[block.purchases.visits[reviews.lines[past]]]
    rows, aspects = np.nonzero(reviews.aspects[past])
    n = len(block.scene.customers)
    polarities = _means(owners[rows], reviews.aspects[past][rows, aspects], n)
    return _means(owners, reviews.sentiment[past], n)[subject.owners], polarities[subject.owners]


def _means(owners: NDArray[np.integer], values: NDArray[np.generic], n: int) -> NDArray[np.float64]:
    """Mean of the values of each of n owners; NaN = it has none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(owners, values, n) / np.bincount(owners, minlength=n), np.float64)

"""What a shop would use instead of the engine, fitted on the same lines and asked for the same customers."""

from __future__ import annotations

import numpy as np

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.protocols import CandidateSource
from recsys.source_config import CovisitConfig, EaseConfig
from recsys.training.covisit import fit_covisit
from recsys.training.ease import MAX_ITEMS, fit_ease
from recsys.training.split import JUST_AFTER, positive_lines
from recsys.types import Interactions

NEVER_OLD = 1e9
"""Half-life in days of what never counts less."""
MOST_BOUGHT = 10_000
"""Items that EASE knows where a shop has more: its matrix grows with their square, and its time with their cube."""


def fit_rivals(known: Dataset, config: Config) -> dict[str, CandidateSource]:
    """Item-kNN by cosine, and EASE with the newest items weighing most; EASE only where its dense matrix has room."""
    lines, n_items = positive_lines(known, config), len(known.items)
    now, ageless = lines.times[-1] + JUST_AFTER, {"half_life_days": NEVER_OLD, "seed_half_life_days": NEVER_OLD}
    cosine = CovisitConfig(kind="covisit", unit="customer", n_neighbours=200, popularity_exponent=0.5, **ageless)
    rivals: dict[str, CandidateSource] = {"item-kNN": fit_covisit(lines, n_items, now, cosine)}
    if n_items <= MAX_ITEMS:
        linear = EaseConfig(kind="ease", l2=100, n_neighbours=200, **ageless)
        rivals["EASE"] = fit_ease(lines, n_items, now, linear, n_threads=config.training.n_threads)
    return rivals


def ease_of(known: Dataset, config: Config) -> CandidateSource:
    """EASE as a shop would use it every day: over the items most bought, older lines counting less."""
    lines, n_items = positive_lines(known, config), len(known.items)
    settings = EaseConfig(
        kind="ease", l2=500, n_neighbours=200, half_life_days=90, n_seeds=300, seed_half_life_days=90, seed_half_life_items=None
    )
    return fit_ease(_most_bought(lines, n_items), n_items, known.end, settings, n_threads=config.training.n_threads)


def _most_bought(lines: Interactions, n_items: int) -> Interactions:
    """The lines of the items that have most of them."""
    counts = np.bincount(lines.items, minlength=n_items)
    best = np.argsort(-counts, kind="stable")[:MOST_BOUGHT]
    return lines.take(np.isin(lines.items, best))

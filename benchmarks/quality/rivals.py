"""What a shop would use instead of the engine, fitted on the same lines and asked for the same customers."""

from __future__ import annotations

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.protocols import CandidateSource
from recsys.source_config import CovisitConfig, EaseConfig
from recsys.training.covisit import fit_covisit
from recsys.training.ease import MAX_ITEMS, fit_ease
from recsys.training.split import JUST_AFTER, positive_lines

NEVER_OLD = 1e9
"""Half-life in days of what never counts less."""


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

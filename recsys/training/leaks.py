"""The alarm for the worst mistake of a two-stage recommender: a source fitted on data that contain the ranker's labels."""

from __future__ import annotations

import numpy as np

from recsys.errors import LeakError
from recsys.training.split import RankingPeriod
from recsys.types import Floats

FACTOR = 2.0
STANDARD_ERRORS = 4.0
MIN_CUSTOMERS = 20
"""With fewer a few equal customers would pass for certainty."""


def check_times(period: RankingPeriod) -> None:
    """Refuse a period whose sources would be fitted on its own labels.

    Raises:
        LeakError: what is known reaches beyond the start of the period.
    """
    lines = period.known.interactions
    if len(lines) and lines.times[-1] >= period.start:
        raise LeakError(
            f"the ranking period from {period.start} would fit its sources on interactions up to {lines.times[-1]}, "
            "its own labels among them; fit them on Dataset.before(start)"
        )


def check_leaks(sources: tuple[str, ...], recalls: Floats, later: Floats, period: str) -> None:
    """Compare how well each source foresees the labels with how well it foresees what came after them.

    An honest source knows neither, and finds new items about as often in the one as in the other. One that saw the labels finds
    far more of them. Only items new to the customer count, for those a source cannot know from the customer's own past; and only
    items sold before, for the longer a time ago a source was fitted, the more it misses what appeared since, without any leak.

    recalls, later: float32 (n_customers, n_sources), NaN = the customer wanted no such item; paired by row

    Raises:
        LeakError: a source's mean recall on the labels exceeds twice that on what came later, by more than four standard errors.
    """
    paired = np.isfinite(recalls).all(axis=1) & np.isfinite(later).all(axis=1) if len(later) else np.zeros(0, np.bool_)
    n = int(paired.sum())
    if n < MIN_CUSTOMERS:
        return
    excess = recalls[paired].astype(np.float64) - FACTOR * later[paired]
    error = excess.std(axis=0, ddof=1) / np.sqrt(n)
    for column, source in enumerate(sources):
        if excess[:, column].mean() > STANDARD_ERRORS * error[column] and excess[:, column].mean() > 0:
            seen, honest = recalls[paired, column].mean(), later[paired, column].mean()
            raise LeakError(
                f"source {source!r} has recall {seen:.4f} on the ranker's labels of the period from {period}, but {honest:.4f} on what "
                f"came after them: it was fitted on data that contain the labels. Fit it on data strictly before the period."
            )

"""What customers say, as columns from which value and churn are told; see `segmentation.features.Extra`."""

from __future__ import annotations

import numpy as np

from segmentation.purchases import DAY, Floats, Reals, Times
from segmentation.voice import Voices

INTENTS = ("buy", "hesitate", "leave")
SAYING = ("texts", "text_age_days", "mood", "mood_trend", *(f"intent_{name}" for name in INTENTS))
"""Names of the columns: how many texts and how long ago the newest is, the mood and how it changes, and each intent's probability."""


def saying(voices: Voices, as_of: np.datetime64) -> Reals:
    """The columns `SAYING` of all customers, float64 (n_customers, len(SAYING)); NaN = nothing of the kind was read."""
    newest: Times = np.fmax(voices.mood.last_time, voices.intent.last_time)
    moods = [voices.n_texts, np.asarray((as_of - newest) / DAY), voices.mood_score, voices.mood_trend]
    columns = [*moods, *(_intent(voices, name) for name in INTENTS)]
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _intent(voices: Voices, name: str) -> Floats:
    if name not in voices.intents:
        return np.full(len(voices), np.nan, np.float32)
    return voices.intent_probability[:, voices.intents.index(name)]

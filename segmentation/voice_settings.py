"""How texts are learnt from and read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VoiceSettings:
    """Numbers that a shop may change.

    half_life_days:         a text this old counts half as much in moods and needs as one written now
    intent_half_life_days:  the same for intents
    n_labelled:             texts that a language model labels, for each question; 0 = none, although there is one
    max_texts:              texts that are learnt from, at most
    max_texts_per_customer: of one customer, drawn at random; all of them are read
    max_aspects:            things that needs may be about, at most; 0 = no needs
    min_texts_per_aspect:   texts learnt from that must mention one
    """

    half_life_days: float = 180.0
    intent_half_life_days: float = 30.0
    n_labelled: int = 300
    max_texts: int = 6_000
    max_texts_per_customer: int = 20
    max_aspects: int = 12
    min_texts_per_aspect: int = 10

    def __post_init__(self) -> None:
        for name in ("half_life_days", "intent_half_life_days"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        least = {"n_labelled": 0, "max_texts": 1, "max_texts_per_customer": 1, "max_aspects": 0, "min_texts_per_aspect": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")

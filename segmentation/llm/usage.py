"""What asking a language model took."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Usage:
    """Sums; two of them add up with ``+``.

    calls:      requests made of the model, repeated ones included; a text read by a local model is one
    tokens_in:  tokens read; estimated where an endpoint does not say
    tokens_out: tokens written
    cost:       money at the prices that the model was given, in their currency
    seconds:    spent waiting for answers, summed over requests that may have run side by side
    cached:     answers that were known from before
    repaired:   answers that became valid by what `repair` allows
    repeated:   texts asked about a second time, because the first answer was not valid
    refused:    texts whose answers stayed invalid
    failed:     texts without an answer: no endpoint, a time-out, too long
    masked:     pieces of personal data that were replaced before anything was sent
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    cached: int = 0
    repaired: int = 0
    repeated: int = 0
    refused: int = 0
    failed: int = 0
    masked: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

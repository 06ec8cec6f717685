"""Where an endpoint is, what it allows and what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from segmentation.errors import LanguageModelError

_MILLION = 1e6


@dataclass(frozen=True)
class EndpointSettings:
    """Where to ask, and how much.

    base_url:            up to the version, for example "https://api.example.com/v1"; "/chat/completions" is added
    model:               as the endpoint calls it
    api_key_env:         name of the environment variable that holds the key; None = the endpoint wants none
    price_in, price_out: money per million tokens read and written
    concurrency:         requests under way at once
    requests_per_minute, tokens_per_minute: what the endpoint allows; None = no limit
    timeout_s:           of one attempt, the reading of its answer included
    max_attempts:        per text; longest_pause_s: an endpoint that asks for a longer pause than this is not waited for
    parameters:          further fields of a request's body, instead of ours where they have the same name; None takes one of ours away
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 60.0
    max_attempts: int = 6
    longest_pause_s: float = 120.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.query or url.fragment:
            raise ValueError("base_url must be http(s)://host/path without user, password, query or fragment: it is shown and logged")
        if self.concurrency < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ValueError(f"concurrency, max_attempts and timeout_s must be above 0, got {self}")

    @property
    def completions_url(self) -> str:
        """Where requests go."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    @property
    def model_id(self) -> str:
        """The endpoint and model with whatever changes its answers; without secrets."""
        parameters = f"?{json.dumps(dict(self.parameters), sort_keys=True)}" if self.parameters else ""
        return f"{self.base_url.rstrip('/')}#{self.model}{parameters}"

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Money for so many tokens."""
        return (tokens_in * self.price_in + tokens_out * self.price_out) / _MILLION

    def key(self, environment: Mapping[str, str]) -> str | None:
        """The API key. LanguageModelError: the variable is not set, or holds what no header can carry; never says the value."""
        if self.api_key_env is None:
            return None
        key = environment.get(self.api_key_env, "").strip()
        if not key:
            raise LanguageModelError(f"environment variable {self.api_key_env} is not set; it should hold the API key for {self.base_url}")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise LanguageModelError(f"environment variable {self.api_key_env} holds spaces or letters that no API key has")
        return key

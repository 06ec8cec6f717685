"""When the next request may go out: rate limits, pauses that the endpoint asks for, and waiting before an attempt is repeated."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import numpy as np

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
MINUTE_S = 60.0


@dataclass(frozen=True)
class Clock:
    """now: seconds that only go forward, as time.monotonic; sleep: waits that many seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


class Pacer:
    """Spaces out the requests of all threads, so that no minute holds more than is allowed; never lets them bunch up to catch up.

    Limits are per minute; None = no limit.
    """

    def __init__(self, clock: Clock, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._clock = clock
        self._request_s = MINUTE_S / requests_per_minute if requests_per_minute else 0.0
        self._token_s = MINUTE_S / tokens_per_minute if tokens_per_minute else 0.0
        self._free = self._held = clock.now()
        self._lock = threading.Lock()

    def wait(self, tokens: int) -> None:
        """Return when one more request of about this many tokens may go out."""
        with self._lock:
            start = max(self._free, self._clock.now())
            self._free = start + max(self._request_s, tokens * self._token_s)
        while (delay := max(start, self._held) - self._clock.now()) > 0:
            self._clock.sleep(delay)

    def settle(self, expected: int, actual: int) -> None:
        """Count what a request really took in place of what was expected of it."""
        with self._lock:
            self._free += (actual - expected) * self._token_s

    def hold(self, seconds: float) -> None:
        """No request of any thread for this long: the endpoint asked for it."""
        with self._lock:
            self._held = max(self._held, self._clock.now() + seconds)


class Backoff:
    """How long to wait before attempt 2, 3, ...: doubling from FIRST_WAIT_S up to LONGEST_WAIT_S, a random half to all of it.

    Source: Brooker (2015), "Exponential Backoff And Jitter", AWS Architecture Blog, equal jitter.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._lock = rng, threading.Lock()

    def seconds(self, n_failed: int) -> float:
        """After this many failed attempts, at least one."""
        full = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (n_failed - 1))
        with self._lock:
            return full * float(self._rng.uniform(0.5, 1.0))


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds the endpoint asks us to wait, in any of the forms of Retry-After; 0 = it does not ask, or not understandably.

    A date is read against the endpoint's own Date, so that its clock need not agree with ours.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    if (seconds := _number(asked)) is not None:
        return seconds
    until, now = _date(asked), _date(headers.get("date"))
    return max((until - now).total_seconds(), 0.0) if until and now else 0.0


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.strip().replace(".", "", 1).isdecimal() and text.isascii() else None


def _date(text: str | None) -> dt.datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)

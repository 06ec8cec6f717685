from __future__ import annotations

import numpy as np
import pytest

from segmentation.llm.pacing import Backoff, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
    ],
)
def test_what_an_endpoint_asks_for_is_understood_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers) == seconds


def test_waits_double_up_to_a_limit_and_differ_between_callers() -> None:
    waits = [Backoff(np.random.default_rng(seed)).seconds(n_failed) for seed in range(5) for n_failed in (1, 3, 20)]
    for n_failed, (low, high) in enumerate([(0.5, 1.0), (2.0, 4.0), (30.0, 60.0)]):
        found = waits[n_failed::3]
        assert all(low <= wait <= high for wait in found)
        assert len(set(found)) == 5

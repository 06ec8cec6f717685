"""The engine on the small shop."""

from __future__ import annotations

import pytest

from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot


@pytest.fixture
def engine(loaded_bundle: Bundle) -> Engine:
    return Engine(loaded_bundle)


@pytest.fixture
def plain(loaded_bundle: Bundle) -> Snapshot:
    """Nothing happened since the bundle was made."""
    return Snapshot.of(loaded_bundle)

"""Small logs of decisions, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_eval.off_policy.decisions import Decisions


def logged(
    propensities: Sequence[float],
    policy: Sequence[float],
    rewards: Sequence[float],
    *,
    units: Sequence[str] | None = None,
    slates: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    actions: Sequence[str] | None = None,
    unsupported: float = 0.0,
) -> Decisions:
    """A log; without more said each row is a unit and a list of its own, in place 1, and all show one action."""
    n = len(propensities)
    return Decisions(
        units=np.array([f"u{row}" for row in range(n)] if units is None else units),
        slates=np.arange(n) if slates is None else np.array(slates),
        positions=np.ones(n, np.int64) if positions is None else np.array(positions),
        actions=np.array(["x"] * n if actions is None else actions),
        propensities=np.array(propensities, np.float64),
        rewards=np.array(rewards, np.float64),
        policy=np.array(policy, np.float64),
        unsupported=np.full(n, unsupported),
    )

"""When a query is asked, and from where in the shop: the same for all its candidates, so it weighs only together with what differs."""

from __future__ import annotations

import numpy as np

from recsys.features.spec import FeatureSpec
from recsys.protocols import ResolvedQuery

THURSDAY = 3
"""The weekday of day 0, 1 January 1970."""


def of_moment(spec: FeatureSpec, resolved: ResolvedQuery) -> float:
    """One number for the query; see the table of `recsys.features.spec`."""
    if spec.statistic == "context":
        return len(resolved.context)
    day = resolved.time.astype("datetime64[D]")
    if spec.statistic == "weekday":
        return (int(day.astype(np.int64)) + THURSDAY) % 7
    return float((resolved.time - day) / np.timedelta64(1, "h"))

"""A fitted segmentation in shops where refunds weigh more than purchases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.purchases import Purchases

FIT = np.datetime64("2024-08-01", "us")


def fit(purchases: Purchases) -> SegmentationModel:
    return fit_segmentation(purchases, 120, FIT, n_segments=2, tier_quantiles=(0.5, 0.8), horizon_days=28.0, seed=4, n_threads=1)


def test_a_line_of_unknown_value_counts_as_a_usual_purchase_whatever_was_refunded(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    values = past.values.copy()
    values[::7] = -1e6
    values[past.customers == 3] = np.nan
    model = fit(replace(past, values=values))
    assert model.line_value == pytest.approx(values[values >= 0].mean())
    profile = model.assign(replace(past, values=values), 120, FIT).profile(3, "c3")
    assert profile is not None
    assert profile.expected_value >= 0


def test_who_only_sent_back_has_no_profile(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    values = np.where(past.customers == 3, -past.values, past.values)
    assert fit(past).assign(replace(past, values=values), 120, FIT).profile(3, "c3") is None


def test_refunds_alone_are_nothing_to_fit_on(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    with pytest.raises(SegmentationError, match="only refunds before"):
        fit(replace(past, values=-past.values))

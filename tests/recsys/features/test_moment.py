"""When and where a query is asked, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import asked, candidates, catalogue, interactions, store_of

from recsys.config import Config
from recsys.feature_config import FeatureConfig


def said(statistic: str, time: str, context: tuple[int, ...] = ()) -> list[float]:
    """The feature of items 0 and 1 for a query at a time."""
    store = store_of({"x": {"scope": "query", "statistic": statistic}}, catalogue(4), interactions((1, 0, 0)))
    query = replace(asked(context=context), time=np.datetime64(time, "us"))
    return [float(value) for value in store.rows(query, candidates([0, 1]), {})[:, 0]]


@pytest.mark.parametrize(("time", "hour"), [("2024-06-01T00:00:00", 0), ("2024-06-01T18:45:00", 18.75), ("1969-12-31T23:30:00", 23.5)])
def test_the_hour_is_that_of_the_day_with_its_fraction(time: str, hour: float) -> None:
    assert said("hour", time) == [hour, hour]


@pytest.mark.parametrize(("day", "weekday"), [("2024-06-03", 0), ("2024-06-08", 5), ("2024-06-09", 6), ("1969-12-31", 2)])
def test_weeks_begin_on_monday(day: str, weekday: int) -> None:
    assert said("weekday", f"{day}T23:59:59") == [weekday, weekday]


def test_what_is_looked_at_is_counted() -> None:
    assert said("context", "2024-06-01") == [0, 0]
    assert said("context", "2024-06-01", context=(2, 3)) == [2, 2]


@pytest.mark.parametrize("setting", [{"by": "brand"}, {"window_days": 7}, {"source": "als"}, {"half_life_days": 7}])
def test_what_says_nothing_of_a_query_is_refused(setting: dict[str, object]) -> None:
    feature = {"scope": "query", "statistic": "hour", **setting}
    with pytest.raises(ValueError, match=next(iter(setting))):
        Config(features={"x": FeatureConfig.model_validate(feature)})

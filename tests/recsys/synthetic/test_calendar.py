"""What changes with time for everybody."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from recsys.synthetic.calendar import NOT_LAUNCHED, Calendar
from recsys.synthetic.config import Behaviour, WorldConfig
from recsys.synthetic.world import World


def year(**behaviour: float) -> World:
    """A world of a whole year."""
    return World.build(WorldConfig(n_customers=20, n_items=120, n_days=365, behaviour=Behaviour(**behaviour)))


def busyness(calendar: Calendar, first: int, n: int) -> float:
    """Busy days in the n days from the first one on."""
    start, end = calendar.busy_days(np.array([first, first + n], float))
    return float(end - start)


def test_busy_days_and_days_are_each_others_inverse() -> None:
    calendar = year().model.calendar
    days = np.linspace(0, 365, 1001)
    np.testing.assert_allclose(calendar.days_at(calendar.busy_days(days)), days, atol=1e-9)
    assert calendar.busy_days(np.array([-5.0, 400.0])).tolist() == [0, calendar.elapsed[-1]]


def test_nights_are_quiet_and_december_is_busier_than_june_as_far_as_there_is_a_season() -> None:
    seasonal, flat = year(season=1.0).model.calendar, year(season=0.0).model.calendar
    night, evening = (flat.busy_days(np.array([3.0 + hour / 24, 3.0 + (hour + 2) / 24])) for hour in (2, 18))
    assert np.diff(evening)[0] > 5 * np.diff(night)[0]
    assert busyness(flat, 336, 28) == pytest.approx(busyness(flat, 154, 28))
    assert busyness(seasonal, 336, 28) / busyness(seasonal, 154, 28) == pytest.approx(np.exp(2 * 0.25), rel=0.03)


def test_times_count_from_the_first_day_and_back() -> None:
    calendar = World.build(WorldConfig(n_customers=20, n_items=60, n_days=30, start=dt.date(2023, 2, 27))).model.calendar
    assert calendar.times(np.array([1.5])).tolist() == [dt.datetime(2023, 2, 28, 12)]
    assert calendar.days(np.datetime64("2023-03-01T06:00", "us")) == 2.25
    assert calendar.n_weeks == 5
    assert calendar.weeks(np.array([0.0, 6.99, 7.0, 29.9, 35.0])).tolist() == [0, 0, 1, 4, 4]


def test_a_type_is_looked_for_most_in_its_month() -> None:
    world = year(season=0.7)
    season, peaks = world.model.calendar.season, world.model.items.types.season_peak
    assert np.isfinite(peaks).any()
    assert not season[:, np.isnan(peaks)].any()
    for kind in np.flatnonzero(np.isfinite(peaks)):
        middle = (season[:, kind].argmax() * 7 + 3.5) / 365 * 12 + 0.5  # in months, 1 = the middle of January
        assert abs(middle - peaks[kind]) < 0.2 or abs(abs(middle - peaks[kind]) - 12) < 0.2
        assert season[:, kind].max() == pytest.approx(0.7, abs=0.01)
        assert season[:, kind].min() == pytest.approx(-0.7, abs=0.01)


def test_novelty_fades_over_a_month_from_the_launch_and_nothing_sells_before() -> None:
    world = year(novelty=2.0, new_items=0.5)
    items, calendar = world.model.items, world.model.calendar
    item = int(np.flatnonzero((items.launch_day > 70) & (items.launch_day < 200))[0])
    week = int(items.launch_day[item] // 7)
    assert items.launch_day[item] == 7 * week  # the calendar knows weeks, so launches are on their first day
    assert (calendar.newness[:week, item] == NOT_LAUNCHED).all()
    np.testing.assert_allclose(calendar.newness[week:, item], 2 * np.exp(-(np.arange(53 - week) * 7 + 3.5) / 30), rtol=1e-5)


def test_promotions_come_in_the_share_asked_for() -> None:
    assert (year(promoted=0.2).model.calendar.depth > 0).mean() == pytest.approx(0.2, abs=0.02)
    assert not year(promoted=0.0).model.calendar.depth.any()
    depth = year(promoted=1.0).model.calendar.depth
    assert depth.min() > 0
    assert depth.max() < 1

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from handmade import NOW, candidates, days_ago, history, interactions, scored
from hypothesis import given
from hypothesis import strategies as st

from recsys.types import (
    CART,
    MAX_K,
    PURCHASE,
    Candidates,
    History,
    Interactions,
    Query,
    Recommendation,
    RecommendedItem,
    Scored,
    Trace,
    aware,
    utc64,
)

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


def test_a_time_of_any_zone_becomes_utc() -> None:
    east = dt.datetime(2024, 6, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert utc64(east) == utc64(NOON) == np.datetime64("2024-06-01T12:00:00", "us")
    assert aware(utc64(east)) == NOON


@given(st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1)))
def test_aware_is_the_inverse_of_utc64(moment: dt.datetime) -> None:
    moment = moment.replace(tzinfo=dt.UTC)
    assert aware(utc64(moment)) == moment


def test_a_time_without_a_zone_is_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match=r"use for example 2024-06-01T12:00:00\+00:00"):
        utc64(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="time zone"):
        Query(k=1, time=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("k", [0, -3, MAX_K + 1])
def test_k_out_of_range_is_named(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be between 1 and 500, got {k}"):
        Query(k=k, time=NOON)


def columns(**changes: Any) -> dict[str, Any]:
    lines = interactions((3, 0, 1), (2, 0, 1), (1, 0, 1))
    return {**vars(lines), **changes}


def test_interactions_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted by time, oldest first"):
        Interactions(**columns(times=np.array([days_ago(1), days_ago(2), days_ago(3)])))


@pytest.mark.parametrize("column", ["customers", "items", "events", "times", "baskets", "quantities", "values"])
def test_columns_of_different_length_are_refused(column: str) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Interactions(**columns(**{column: columns()[column][:2]}))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(None, None, [9, 5, 5, 1]), (5, None, [5, 5, 1]), (None, 5, [9]), (9, 5, [9]), (5, 5, []), (0, None, []), (1, 9, []), (4.9, 0, [1])],
)
def test_between_takes_the_start_and_leaves_the_end(start: float | None, end: float | None, expected: list[float]) -> None:
    lines = interactions((9, 0, 9), (5, 0, 5), (5, 0, 5), (1, 0, 1))
    part = lines.between(None if start is None else days_ago(start), None if end is None else days_ago(end))
    assert part.items.tolist() == expected


def test_a_history_ends_strictly_before_the_time() -> None:
    past = history((1, 11), (2, 12), (2, 22), (3, 13))
    assert past.before(days_ago(2)).items.tolist() == [13]
    assert past.before(days_ago(1)).items.tolist() == [22, 12, 13]
    assert past.before(NOW).items.tolist() == past.items.tolist() == [11, 22, 12, 13]
    assert len(past.before(days_ago(3))) == 0
    assert len(History.empty().before(NOW)) == 0


def test_events_of_a_history_are_picked_by_code() -> None:
    past = history((1, 11), (2, 12))
    mixed = History(past.items, np.array([CART, PURCHASE], np.int8), past.times, past.values)
    assert mixed.of_events(np.array([PURCHASE], np.int8)).items.tolist() == [12]
    assert mixed.of_events(np.array([PURCHASE, CART], np.int8)) is mixed
    assert len(mixed.of_events(np.array([], np.int8))) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: History(np.zeros(2, np.int32), np.zeros(2, np.int8), np.array([NOW]), np.zeros(2, np.float32)),
        lambda: Scored(np.zeros(2, np.int32), np.zeros(3, np.float32)),
        lambda: Candidates(
            np.zeros(2, np.int32), np.zeros(2, np.float32), np.zeros((2, 1), np.float32), np.zeros((2, 2), np.float32), ("a",)
        ),
        lambda: candidates([1, 2]).with_scores(np.zeros(3, np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"differ in length|2 items"):
        make()


def test_best_first_leaves_out_what_has_no_score_and_keeps_ties_in_order() -> None:
    found = candidates([5, 6, 7, 8], scores=[1.0, np.nan, 2.0, 1.0])
    assert found.items[found.best_first()].tolist() == [7, 5, 8]


@pytest.mark.parametrize("scores", [[3.0, -7.5], [np.nan, 2.0], []])
def test_what_follows_candidates_scores_below_them(scores: list[float]) -> None:
    longer = candidates(range(len(scores)), scores).followed_by(scored((8, 5.0), (9, 4.0)), "others")
    assert longer.items[longer.best_first()][-2:].tolist() == [8, 9]
    assert longer.sources == ("popular", "others")
    assert longer.source_ranks[:, 1].tolist() == pytest.approx([np.nan] * len(scores) + [1, 2], nan_ok=True)
    assert np.isnan(longer.source_ranks[len(scores) :, 0]).all()
    assert len(longer) == len(scores) + 2


def test_item_ids_are_those_of_the_lines() -> None:
    lines = tuple(RecommendedItem(id_, 0.5, rank, (), ()) for rank, id_ in enumerate("ab", start=1))
    assert Recommendation(Query(k=2, time=NOON), lines, Trace("s", "1", "2")).item_ids == ("a", "b")

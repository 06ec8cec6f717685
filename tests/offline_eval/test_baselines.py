from __future__ import annotations

import datetime as dt

import pytest

from offline_eval.baselines import personal_frequency, popularity
from offline_eval.evaluate import Recommend
from recsys.types import Query

LINES = [
    *[("ann", "milk", "purchase", 1)] * 3,
    ("ann", "bread", "purchase", 11),
    ("ann", "bread", "purchase", 11),
    ("ann", "fuel", "purchase", 11),
    ("ann", "eggs", "view", 11),
    ("bob", "eggs", "purchase", 5),
    ("bob", "milk", "purchase", 6),
    (None, "bread", "purchase", 10),
    ("bob", "milk", "purchase", 12),  # at the cut: the future
    ("bob", "milk", "purchase", 13),
]


def ask(recommend: Recommend, customer: str | None, k: int = 10) -> list[str]:
    time = dt.datetime(2020, 1, 12, tzinfo=dt.UTC)
    (ranked,) = recommend([Query(k=k, time=time, customer_id=customer)])
    return list(ranked)


@pytest.fixture
def known(make_shop, day, recommendable):
    return {"dataset": make_shop(LINES), "time": day(12), "positive_events": ["purchase"], "eligible": recommendable}


def test_popularity_counts_lines_of_the_window_before_the_cut(known) -> None:
    assert ask(popularity(**known), "bob") == ["bread", "milk", "eggs"]  # 3, 1 and 1 lines: ties by item number
    assert ask(popularity(**known, window_days=2), "bob") == ["bread"]
    assert ask(popularity(**known, window_days=30), "bob") == ["milk", "bread", "eggs"]


def test_popularity_answers_everybody_and_stops_at_k(known) -> None:
    assert ask(popularity(**known), None, k=1) == ["bread"]
    assert ask(popularity(**known), "stranger", k=2) == ["bread", "milk"]


def test_popularity_of_new_items_leaves_out_all_that_was_ever_bought(known) -> None:
    recommend = popularity(**known, new_only=True)
    assert ask(recommend, "ann") == ["eggs"]
    assert ask(recommend, "bob") == ["bread"]
    assert ask(recommend, "eve") == ["bread", "milk", "eggs"]


def test_personal_frequency_decays(known) -> None:
    # milk: 3 lines, 11 days old; bread: 2 lines, 1 day old
    assert ask(personal_frequency(**known), "ann") == ["milk", "bread"]  # 3 * 0.5 ** (11/90) = 2.76 against 2 * 0.5 ** (1/90) = 1.98
    assert ask(personal_frequency(**known, half_life_days=5), "ann") == ["bread", "milk"]  # 0.65 against 1.74
    assert ask(personal_frequency(**known, half_life_days=None), "ann") == ["milk", "bread"]


def test_equal_counts_go_to_the_item_bought_last(known) -> None:
    assert ask(personal_frequency(**known, half_life_days=None), "bob") == ["milk", "eggs"]


def test_personal_frequency_has_nothing_for_strangers(known) -> None:
    assert ask(personal_frequency(**known), "eve") == []
    assert ask(personal_frequency(**known), None) == []


def test_baselines_refuse_queries_from_their_past(known) -> None:
    early = Query(k=1, time=dt.datetime(2020, 1, 11, tzinfo=dt.UTC), customer_id="ann")
    with pytest.raises(ValueError, match="knows everything up to"):
        popularity(**known)([early])

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handmade import NOW, asked, history, interactions

from recsys.candidates.covisit import CovisitSource
from recsys.source_config import CovisitConfig
from recsys.training.covisit import fit_covisit
from recsys.types import History, Interactions

NAN = float("nan")
LINES = interactions(
    (10, 0, 0, NAN, 1),
    (10, 0, 1, NAN, 1),
    (10, 1, 0, NAN, 2),
    (10, 1, 1, NAN, 2),
    (10, 1, 2, NAN, 2),
    (20, 0, 2, NAN, 3),
    (20, 0, 3, NAN, 3),
)
"""Baskets {0, 1}, {0, 1, 2} and, older, {2, 3}; item 4 was never bought."""


def fit(lines: Interactions = LINES, n_items: int = 5, **settings: Any) -> CovisitSource:
    plain = {"half_life_days": None, "popularity_exponent": 0.0, "seed_half_life_days": 10}
    return fit_covisit(lines, n_items, NOW, CovisitConfig(kind="covisit", **{**plain, **settings}))


def found(source: CovisitSource, past: History | None = None, **query: Any) -> dict[int, float]:
    proposed = source.retrieve(asked(past, **query), 10, np.ones(len(source.offsets) - 1, np.bool_))
    return dict(zip(proposed.items.tolist(), proposed.scores.tolist(), strict=True))


def links(source: CovisitSource, item: int) -> dict[int, float]:
    rows = slice(source.offsets[item], source.offsets[item + 1])
    return dict(zip(source.neighbours[rows].tolist(), source.weights[rows].tolist(), strict=True))


def test_links_count_baskets() -> None:
    assert links(fit(), 0) == {1: 2, 2: 1}
    assert links(fit(), 2) == {0: 1, 1: 1, 3: 1}
    assert links(fit(), 4) == {}


def test_older_baskets_count_less() -> None:
    assert links(fit(half_life_days=10), 2) == pytest.approx({0: 0.5, 1: 0.5, 3: 0.25})


def test_popular_items_are_held_back() -> None:
    cosine = fit(popularity_exponent=0.5)
    assert links(cosine, 2) == pytest.approx({3: 1 / np.sqrt(2), 0: 0.5, 1: 0.5})
    assert list(links(cosine, 2)) == [3, 0, 1]


def test_an_item_twice_in_a_basket_counts_once() -> None:
    lines = interactions((1, 0, 0, NAN, 1), (1, 0, 0, NAN, 1), (1, 0, 1, NAN, 1))
    assert links(fit(lines), 0) == {1: 1}


def test_only_the_strongest_neighbours_are_kept() -> None:
    assert links(fit(n_neighbours=1), 0) == {1: 2}


def test_a_customer_may_be_the_unit_and_guests_are_then_left_out() -> None:
    lines = interactions((1, 0, 0), (9, 0, 1), (2, 1, 0), (3, 1, 1), (4, -1, 0), (5, -1, 2))
    assert links(fit(lines, unit="customer"), 0) == {1: 2}


def test_of_a_large_basket_only_the_last_lines_are_paired() -> None:
    lines = interactions((3, 0, 0, NAN, 1), (2, 0, 1, NAN, 1), (1, 0, 2, NAN, 1))
    assert links(fit(lines, max_unit=2), 2) == {1: 1}
    assert links(fit(lines, max_unit=2), 0) == {}


def test_items_beyond_the_first_block_are_linked() -> None:
    lines = interactions((1, 0, 4095, NAN, 1), (1, 0, 4096, NAN, 1), (1, 0, 8300, NAN, 1))
    source = fit(lines, n_items=8301)
    assert links(source, 4096) == {4095: 1, 8300: 1}
    assert links(source, 8300) == {4095: 1, 4096: 1}


def test_scores_add_seeds_by_age_and_what_is_looked_at_leads() -> None:
    assert found(fit(), history((10, 0))) == pytest.approx({1: 1.0, 2: 0.5})
    assert found(fit(), history((10, 0)), context=[3]) == pytest.approx({1: 1.0, 2: 0.5 + 1.0})
    assert found(fit(), history((10, 0), (20, 2)), context=[0]) == pytest.approx({1: 2 + 0.25, 2: 1, 0: 0.25, 3: 0.25})


def test_only_the_most_recent_seeds_are_asked() -> None:
    assert found(fit(n_seeds=1), history((10, 0), (20, 2))) == pytest.approx({1: 1.0, 2: 0.5})


def test_the_reason_is_the_seed_whose_link_weighs_most() -> None:
    past = asked(history((0, 0), (20, 2)), context=[3])
    assert fit().because(past, np.array([1, 2, 4], np.int32)).tolist() == [0, 3, -1]


def test_a_shop_without_lines_links_nothing() -> None:
    assert found(fit(interactions()), history((1, 2))) == {}


# in sequence

SEQUENCE = interactions((9, 0, 0), (6, 0, 1), (3, 0, 2), (3, 1, 3), (1, 1, 0), (1, 1, 1))
"""Customer 0 buys 0, then 1, then 2; customer 1 buys 3, then 0 and 1 together."""


def in_sequence(**settings: Any) -> CovisitSource:
    return fit(SEQUENCE, unit="sequence", **{"backward": 0.5, "window": 10, **settings})


def test_the_nearer_and_the_later_an_item_follows_the_stronger_its_link() -> None:
    source = in_sequence()
    # 0 -> 1: next to it for customer 0; for customer 1 of one time, (1 + .5) / 2 either way at distance (2 + 1) / 3
    assert links(source, 0) == pytest.approx({1: 1 + 0.75, 2: 1 / 2, 3: 0.5 / 1.5})
    assert links(source, 1) == pytest.approx({0: 0.5 + 0.75, 2: 1, 3: 0.5 / 1.5})
    assert links(source, 3) == pytest.approx({0: 1 / 1.5, 1: 1 / 1.5})  # the two that follow share places 1 and 2


def test_items_further_apart_than_the_window_are_no_pair() -> None:
    assert 2 not in links(in_sequence(window=1), 0)
    assert 2 in links(in_sequence(window=2), 0)


def test_the_order_of_lines_of_one_time_means_nothing() -> None:
    other = interactions((9, 0, 0), (6, 0, 1), (3, 0, 2), (3, 1, 3), (1, 1, 1), (1, 1, 0))
    mine, theirs = in_sequence(), fit(other, unit="sequence", backward=0.5, window=10)
    for item in range(4):
        assert links(mine, item) == pytest.approx(links(theirs, item))


@pytest.mark.parametrize("unit", ["customer", "sequence"])
def test_neither_does_it_where_only_some_lines_of_one_time_count(unit: str) -> None:
    first, second = [(3, 0, item) for item in (0, 1, 2, 3)], [(3, 0, item) for item in (3, 1, 0, 2)]
    mine, theirs = (fit(interactions((9, 0, 0), *lines), unit=unit, max_unit=3) for lines in (first, second))
    found = [links(mine, item) for item in range(4)]
    assert found == [links(theirs, item) for item in range(4)]
    assert any(found)


def test_seeds_further_back_count_less() -> None:
    source = in_sequence(seed_half_life_items=1, seed_half_life_days=1e9)
    past = history((1, 0), (2, 3))  # 0 is the newest, 3 one place back
    assert found(source, past)[1] == pytest.approx(links(source, 0)[1] + 0.5 * links(source, 3)[1], rel=1e-5)


def test_links_of_chosen_pairs_are_those_that_are_kept() -> None:
    source = in_sequence()
    table = source.links(np.array([3, 1, 4], np.int32), np.array([0, 3], np.int32))
    assert table == pytest.approx(np.array([[links(source, 0)[3], 0], [links(source, 0)[1], links(source, 3)[1]], [0, 0]]))
    assert source.links(np.empty(0, np.int32), np.array([0], np.int32)).shape == (0, 1)

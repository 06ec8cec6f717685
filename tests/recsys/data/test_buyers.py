"""Who bought each item, against sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import interactions
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.buyers import Buyers

LINES = st.lists(st.tuples(st.just(1), st.integers(-1, 5), st.integers(0, 4)), max_size=25)


@given(LINES)
def test_buyers_are_those_of_the_lines(lines: list[tuple[int, int, int]]) -> None:
    buyers = Buyers.of_interactions(interactions(*lines), 5)
    sets = [{customer for _, customer, item in lines if item == wanted and customer >= 0} for wanted in range(5)]
    assert [buyers.of(item).tolist() for item in range(5)] == [sorted(own) for own in sets]
    for item in range(5):
        for other in range(5):
            for customer in range(-1, 6):
                assert buyers.share_another(item, other, customer) == bool((sets[item] & sets[other]) - {customer})


@pytest.mark.parametrize("n_more", [0, 1])
def test_of_two_popular_items_the_last_customer_may_be_the_one_who_bought_both(n_more: int) -> None:
    """All others bought one of them."""
    n = 5_000
    lines = [(1, customer, customer % 2) for customer in range(n)] + [(1, n, 0), (1, n, 1)][: 1 + n_more]
    buyers = Buyers.of_interactions(interactions(*lines), 2)
    assert buyers.share_another(0, 1, -1) == bool(n_more)
    assert not buyers.share_another(0, 1, n)


def test_buyers_survive_saving(tmp_path: Path) -> None:
    Buyers.of_interactions(interactions((1, 2, 3), (1, 0, 3), (1, -1, 0)), 4).save(tmp_path)
    assert [Buyers.load(tmp_path).of(item).tolist() for item in range(4)] == [[], [], [], [0, 2]]


def test_a_shop_of_guests_has_no_buyers(tmp_path: Path) -> None:
    Buyers.of_interactions(interactions((1, -1, 0)), 2).save(tmp_path)
    assert not Buyers.load(tmp_path).share_another(0, 1, -1)

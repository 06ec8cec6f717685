from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from handmade import asked, catalogue, history

from recsys.config import StrategyConfig
from recsys.selection.eligibility import eligible_items, on_sale
from recsys.types import Filters, History

ITEMS = catalogue(
    6,
    brands=[0, 0, 1, 1, 2, -1],
    categories=[[0, 1], [0, 2], [3, 1], [3, -1], [0, 2], [-1, -1]],
    prices=np.array([1.0, 2.0, 3.0, np.nan, 5.0, 0.0], np.float32),
    available=np.array([True, True, True, True, True, False]),
    recommendable=np.array([True, True, True, True, False, True]),
)


def eligible(
    past: History | None = None, excluded: Sequence[int] = (), asks: Filters | None = None, leaves_out: Sequence[str] = ()
) -> list[int]:
    sells = np.ones(6, np.bool_)
    strategy = StrategyConfig.model_validate({"sources": {"als": 1}, "filters": leaves_out})
    flags = eligible_items(ITEMS, sells, strategy, asked(past, filters=asks or Filters()), np.array(excluded, np.int32)).flags
    assert sells.all(), "the snapshot's flags are not the engine's to change"
    return np.flatnonzero(flags).tolist()


def test_only_what_is_in_stock_and_recommendable_is_on_sale() -> None:
    assert np.flatnonzero(on_sale(ITEMS)).tolist() == [0, 1, 2, 3]


def test_excluded_items_are_out_and_bought_ones_only_where_the_strategy_says_so() -> None:
    past = history((1, 0), (400, 4))
    assert eligible(past, excluded=[2]) == [0, 1, 3, 4, 5]
    assert eligible(past, excluded=[2], leaves_out=["bought"]) == [1, 3, 5]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [0, 1, 2, 3, 4, 5]),
        (Filters(brands=("b0", "b2")), [0, 1, 4]),
        (Filters(categories=("k1",)), [0, 2]),
        (Filters(categories=("k0",)), [0, 1, 4]),
        (Filters(categories=("k3", "k2")), [1, 2, 3, 4]),
        (Filters(min_price=2), [1, 2, 4]),
        (Filters(max_price=2), [0, 1, 5]),
        (Filters(min_price=0, max_price=0), [5]),
        (Filters(brands=("b0",), max_price=1.5), [0]),
        (Filters(brands=("no such brand",)), []),
        (Filters(categories=("K1",)), []),
    ],
)
def test_filters_hold_together_and_an_unknown_price_matches_no_bound(filters: Filters, expected: list[int]) -> None:
    assert eligible(asks=filters) == expected

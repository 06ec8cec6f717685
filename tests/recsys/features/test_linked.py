"""What sources say of candidates: worked by hand from a table of links."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from handmade import asked, candidates, catalogue, history, interactions, store_of

from recsys.protocols import ResolvedQuery
from recsys.types import Flags, Floats, Ints, ReasonCode, Scored

N_ITEMS = 5
LINKS = np.arange(25, dtype=np.float32).reshape(5, 5)
"""The link of item i and seed j is 5 i + j."""


@dataclass(frozen=True)
class Linked:
    """A source with a table of links; what it would give item i is i, or nothing to a customer without a past."""

    reason: ReasonCode = ReasonCode.BOUGHT_TOGETHER

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        return Scored.empty()

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        return np.full(len(items), -1, np.int32)

    def scores(self, resolved: ResolvedQuery, items: Ints) -> Floats:
        return np.full(len(items), np.nan, np.float32) if not len(resolved.positives) else items.astype(np.float32)

    def links(self, items: Ints, seeds: Ints) -> Floats:
        return LINKS[np.ix_(items, seeds)]


def said(query: ResolvedQuery, **feature: object) -> list[float]:
    """The feature of items 4 and 0."""
    store = store_of({"x": {"source": "als", **feature}}, catalogue(N_ITEMS), interactions((1, 0, 0)))
    column = store.rows(query, candidates([4, 0]), {"als": Linked()})[:, store.names.index("x")]
    return [float(value) for value in column]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("max", [23, 3]), ("last", [21, 1]), ("sum", [21 + 23 + 22, 1 + 3 + 2]), ("mean", [22, 2])],
)
def test_links_to_the_items_of_a_customer_are_summed_up(statistic: str, expected: list[float]) -> None:
    past = history((1, 1), (2, 3), (5, 2), (9, 1))
    assert said(asked(past), scope="link", statistic=statistic) == pytest.approx(expected)


def test_an_item_further_back_counts_less_and_items_of_one_time_count_the_same() -> None:
    past = history((1, 1), (2, 3), (2, 2))  # places 0, 1.5 and 1.5
    weight = 0.5**1.5
    sums = said(asked(past), scope="link", statistic="sum", half_life_items=1)
    assert sums == pytest.approx([21 + weight * (23 + 22), 1 + weight * (3 + 2)])
    means = said(asked(past), scope="link", statistic="mean", half_life_items=1)
    assert means == pytest.approx([value / (1 + 2 * weight) for value in sums])


def test_the_latest_time_may_have_several_items() -> None:
    assert said(asked(history((1, 1), (1, 3), (4, 4))), scope="link", statistic="last") == [23, 3]


def test_what_the_customer_looks_at_is_the_latest() -> None:
    assert said(asked(history((1, 4)), context=[2]), scope="link", statistic="last") == [22, 2]


def test_a_customer_without_a_past_has_no_links_and_no_scores() -> None:
    for feature in ({"scope": "link", "statistic": "sum"}, {"scope": "source", "statistic": "score"}):
        assert np.isnan(said(asked(), **feature)).all()


def test_a_score_is_what_the_source_would_give_proposed_or_not() -> None:
    assert said(asked(history((1, 1))), scope="source", statistic="score") == [4, 0]


def test_a_source_that_failed_leaves_its_features_unknown() -> None:
    store = store_of({"x": {"scope": "link", "statistic": "max", "source": "als"}}, catalogue(N_ITEMS), interactions((1, 0, 0)))
    assert np.isnan(store.rows(asked(history((1, 1))), candidates([4, 0]), {})[:, 0]).all()

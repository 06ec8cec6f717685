"""Metrics beyond relevance on a shop of four items, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from offline_eval.answers import Answers, Judge
from offline_eval.facts import ItemFacts
from offline_eval.metrics import Metric
from recsys.data.vocabulary import Vocabulary

MILK, BREAD, EGGS, FUEL = range(4)
FACTS = ItemFacts(
    items=Vocabulary(("milk", "bread", "eggs", "fuel")),
    customers=Vocabulary(("ann", "bob", "eve")),
    offered=np.array([True, True, True, False]),
    categories=np.array([0, 1, 0, -1], np.int32),
    prices=np.array([2.0, 3.0, 5.0, np.nan]),
    margins=np.array([0.5, np.nan, -1.0, np.nan]),
    embeddings=np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], np.float32),
    pairs=np.array([0 * 4 + MILK, 0 * 4 + BREAD, 1 * 4 + MILK], np.int64),  # ann: milk, bread; bob: milk; eve: nothing
    lines=np.array([3, 1, 1], np.int64),
)
TRUTH = {"ann": {"milk": 1.0, "eggs": 1.0}, "bob": {"bread": 1.0}, "eve": {"fuel": 1.0}, "new": {"milk": 1.0}}


def answers(facts: ItemFacts = FACTS, **lists: Sequence[str]) -> Answers:
    return Judge(TRUTH, list(lists), 3, facts).judge(list(lists.values()))


def value(name: str, customer: str, ranked: Sequence[str], k: int = 3) -> float:
    return float(Metric(name, k).of(answers(**{customer: ranked}))[0])


def test_facts_know_how_many_bought_an_item() -> None:
    assert FACTS.buyers.tolist() == [2, 1, 0, 0]
    assert FACTS.n_buyers == 2
    assert FACTS.best_sellers.tolist() == [MILK, BREAD]


def test_novelty_is_the_mean_self_information_in_bits() -> None:
    # of two buyers two bought milk: 0 bits; one bread: 1 bit; eggs, which nobody bought, count as bought by one
    assert value("Novelty", "ann", ["milk", "bread"]) == pytest.approx(0.5)
    assert value("Novelty", "ann", ["eggs"]) == pytest.approx(1.0)
    assert value("Novelty", "ann", ["eggs", "milk"], k=1) == pytest.approx(1.0)
    assert math.isnan(value("Novelty", "ann", []))


def test_diversity_is_the_mean_distance_over_pairs() -> None:
    assert value("Diversity", "ann", ["milk", "bread", "eggs"]) == pytest.approx(1 - (0 + 1 + 0) / 3)
    assert value("Diversity", "ann", ["milk", "fuel"]) == pytest.approx(2)
    assert math.isnan(value("Diversity", "ann", ["milk"]))


def test_category_diversity_is_the_share_of_unlike_pairs() -> None:
    assert value("CategoryDiversity", "ann", ["milk", "bread", "eggs"]) == pytest.approx(2 / 3)
    assert value("CategoryDiversity", "ann", ["milk", "eggs"]) == 0
    assert value("CategoryDiversity", "ann", ["fuel", "eggs"]) == 1  # fuel has no category


def test_serendipity_counts_hits_that_nobody_would_have_guessed() -> None:
    assert value("Serendipity", "ann", ["milk", "eggs"]) == pytest.approx(1 / 3)  # milk is hers already, and a best seller
    assert value("Serendipity", "bob", ["eggs", "bread"]) == 0  # bread is among the three best sellers
    assert value("Serendipity", "bob", ["bread"], k=1) == 1  # but not the first of them
    assert value("Serendipity", "new", ["milk"]) == 0
    assert value("Serendipity", "eve", ["fuel"]) == pytest.approx(1 / 3)


def test_popularity_counts_buyers_and_lift_compares_with_the_catalogue() -> None:
    assert value("Popularity", "ann", ["milk", "bread"]) == pytest.approx(1.5)
    assert value("PopularityLift", "ann", ["milk", "bread"]) == pytest.approx(1.5)  # offered items have (2 + 1 + 0) / 3 buyers
    assert value("PopularityLift", "ann", ["eggs"]) == 0


def test_miscalibration_is_the_divergence_of_categories() -> None:
    # ann: 3 lines of category 0, 1 of category 1; the list: half and half
    p, q = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    expected = float((p * np.log(p / (0.99 * q + 0.01 * p))).sum())
    assert value("Miscalibration", "ann", ["milk", "bread", "fuel"]) == pytest.approx(expected)
    one_sided = 0.25 * math.log(1 / 0.01) + 0.75 * math.log(0.75 / (0.99 + 0.0075))
    assert value("Miscalibration", "ann", ["milk", "eggs"]) == pytest.approx(one_sided)
    assert value("Miscalibration", "bob", ["eggs"]) == pytest.approx(0, abs=1e-12)
    assert math.isnan(value("Miscalibration", "eve", ["eggs"]))  # no history
    assert math.isnan(value("Miscalibration", "new", ["eggs"]))
    assert math.isnan(value("Miscalibration", "ann", ["fuel"]))


def test_revenue_and_margin_add_up_what_hits_bring() -> None:
    assert value("Revenue", "ann", ["milk", "bread", "eggs"]) == pytest.approx(7)
    assert value("Revenue", "ann", ["milk", "bread", "eggs"], k=2) == pytest.approx(2)
    assert value("Margin", "ann", ["milk", "bread", "eggs"]) == pytest.approx(-0.5)
    assert value("Revenue", "eve", ["fuel"]) == 0  # no price is known


def test_many_lists_at_once_are_each_list_alone() -> None:
    lists = {"ann": ["milk", "eggs"], "bob": ["bread", "milk", "eggs"], "eve": ["fuel"], "new": []}
    together = answers(**lists)
    for name in ("Novelty", "Diversity", "CategoryDiversity", "Serendipity", "Popularity", "Miscalibration", "Revenue", "Margin", "NDCG"):
        alone = [value(name, customer, ranked) for customer, ranked in lists.items()]
        assert Metric(name, 3).of(together).tolist() == pytest.approx(alone, nan_ok=True), name


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("Diversity", {"embeddings": None}, "no embeddings"),
        ("Margin", {"margins": np.full(4, np.nan)}, "column `cost`"),
        ("Revenue", {"prices": np.full(4, np.nan)}, "no item has a price"),
        ("Miscalibration", {"categories": np.full(4, -1, np.int32)}, "no item has a category"),
        ("Novelty", {"pairs": np.empty(0, np.int64), "lines": np.empty(0, np.int64)}, "nobody had bought"),
    ],
)
def test_what_a_metric_lacks_is_said(name: str, change: dict[str, object], reason: str) -> None:
    Metric(name, 3).check(FACTS)
    with pytest.raises(ValueError, match=reason):
        Metric(name, 3).check(replace(FACTS, **change))
    with pytest.raises(ValueError, match="needs facts"):
        Metric(name, 3).check(None)


def test_an_item_that_the_facts_do_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is known of item 'caviar'"):
        answers(ann=["milk", "caviar"])

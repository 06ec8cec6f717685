from __future__ import annotations

import numpy as np

from offline_eval.facts import item_facts

LINES = [
    ("ann", "milk", "purchase", 2),
    ("ann", "milk", "purchase", 3),
    ("bob", "milk", "purchase", 4),
    ("bob", "eggs", "view", 5),
    (None, "eggs", "purchase", 6),
    ("ann", "bread", "purchase", 10),  # at the cut: the future
    ("eve", "bread", "purchase", 12),
]


def test_facts_know_nothing_of_the_cut_and_after(make_shop, day) -> None:
    facts = item_facts(make_shop(LINES), day(10), ["purchase"])
    assert facts.buyers.tolist() == [2, 0, 0, 0]
    assert facts.lines.tolist() == [2, 1]
    assert facts.n_buyers == 2
    assert facts.best_sellers.tolist() == [0]
    changed = item_facts(make_shop([*LINES[:5], ("eve", "eggs", "purchase", 11)]), day(10), ["purchase"])
    assert np.array_equal(facts.pairs, changed.pairs)
    assert np.array_equal(facts.prices, changed.prices, equal_nan=True)


def test_who_had_bought_what(make_shop, day) -> None:
    facts = item_facts(make_shop(LINES), day(10), ["purchase"])
    customers = np.array([0, 1, 2, -1], np.int32)
    items = np.array([[0, 1, -1]] * 4, np.int32)
    assert facts.had_bought(customers, items).tolist() == [[True, False, False]] * 2 + [[False] * 3] * 2


def test_what_is_unknown_stays_unknown(make_shop, day) -> None:
    facts = item_facts(make_shop(LINES), day(10), ["purchase"])
    assert facts.embeddings is None
    assert np.isnan(facts.margins).all()
    assert (facts.categories == -1).all()

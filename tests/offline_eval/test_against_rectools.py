"""The same lists through RecTools, recorded by `record_rectools.py`: equal to 1e-9, and how conventions differ elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_eval.answers import Judge
from offline_eval.facts import ItemFacts
from offline_eval.metrics import parse_metrics
from recsys.data.vocabulary import Vocabulary

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "rectools.json").read_text())
VALUES, K = RECORDED["values"], RECORDED["k"]
SAME = [name for name, values in VALUES.items() if isinstance(values, list) and "," not in name]


@pytest.fixture(scope="module")
def facts() -> ItemFacts:
    """What had been bought, and the categories; nothing that RecTools does not read."""
    items, customers = Vocabulary(tuple(RECORDED["categories"])), Vocabulary(tuple(RECORDED["history"]))
    n = len(items)
    pairs = [customers.number(c) * n + items.number(item) for c, bought in RECORDED["history"].items() for item in bought]
    unknown = np.full(n, np.nan)
    return ItemFacts(
        items=items,
        customers=customers,
        offered=np.ones(n, np.bool_),
        categories=np.array(list(RECORDED["categories"].values()), np.int32),
        prices=unknown,
        margins=unknown,
        embeddings=None,
        pairs=np.sort(np.array(pairs, np.int64)),
        lines=np.ones(len(pairs), np.int64),
    )


def ours(metric: str, facts: ItemFacts) -> np.ndarray:
    (wanted,) = parse_metrics(metric)
    truth = {customer: dict.fromkeys(items, 1.0) for customer, items in RECORDED["wanted"].items()}
    judged = Judge(truth, sorted(truth), K, facts).judge([RECORDED["lists"][customer] for customer in sorted(truth)])
    return wanted.of_set(judged.items, facts.offered) if wanted.is_of_sets else wanted.of(judged)


@pytest.mark.parametrize("name", SAME)
def test_every_metric_equals_that_of_rectools(name: str, facts: ItemFacts) -> None:
    assert np.abs(ours(name, facts) - VALUES[name]).max() < 1e-9


def test_coverage_equals_that_of_rectools(facts: ItemFacts) -> None:
    assert ours("Coverage@1", facts).mean() == pytest.approx(VALUES["Coverage@1"], abs=1e-9)


def test_conventions_that_differ_are_those_that_we_chose(facts: ItemFacts) -> None:
    n_wanted = np.array([len(RECORDED["wanted"][customer]) for customer in sorted(RECORDED["wanted"])])
    discounts = np.cumsum(1 / np.log2(np.arange(2, K + 2)))
    possible = discounts[np.minimum(n_wanted, K) - 1] / discounts[-1]
    # RecTools' default asks for k hits also of who wanted fewer; ours of as many as there could be
    np.testing.assert_allclose(ours(f"NDCG@{K}", facts) * possible, VALUES[f"NDCG@{K}, ideal of k places"], atol=1e-9)
    np.testing.assert_allclose(ours(f"MAP@{K}", facts) * n_wanted / K, VALUES[f"MAP@{K}, divided by k"], atol=1e-9)
    # RecTools weighs a hit by how little popular it is; ours counts it if a primitive recommender had not listed it
    assert np.abs(ours(f"Serendipity@{K}", facts) - VALUES[f"Serendipity@{K}, weighted by popularity"]).max() > 0.01

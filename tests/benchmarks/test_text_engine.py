"""What a ranking without texts is, and which purchases are of items that hardly anybody had bought."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lines import write_shop

from benchmarks.text_engine import HARDLY_SOLD, truths, without_texts
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset


def test_a_ranking_without_texts_has_all_but_what_texts_say() -> None:
    config = parse_config(
        {"sources": {"described": {"kind": "content"}}, "strategies": {"home": {"sources": {"described": 9, "als": 9}}}}, ""
    )
    left = without_texts(config)
    assert set(config.sources) - set(left.sources) == {"content", "described"}
    assert set(config.features) - set(left.features) == {"content_any", "content_max", "content_mean", "content_last"}
    assert left.strategies["home"].sources == {"als": 9}
    assert left.rankers == config.rankers


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four customers bought "rare", five "known"; after day 10 "a" and "new" buy both, "c0" what it had."""
    before = [(f"c{n}", "known") for n in range(HARDLY_SOLD)] + [(f"c{n}", "rare") for n in range(HARDLY_SOLD - 1)] + [("c0", "rare")]
    after = [("a", "known"), ("a", "rare"), ("new", "rare"), ("c0", "rare"), ("c4", "rare"), ("c4", "known")]
    lines = [{"customer_id": customer, "item_id": item, "day": 1.0} for customer, item in [*before, ("a", "other")]]
    lines += [{"customer_id": customer, "item_id": item, "day": 12.0} for customer, item in after]
    write_shop(tmp_path, lines, [{"item_id": item, "title": item} for item in ("known", "rare", "other")])
    return Dataset.load(tmp_path)


def test_items_that_hardly_sold_are_those_that_few_customers_had_bought(dataset: Dataset) -> None:
    first = dataset.interactions.times[0]
    everything, discovery, rare = truths(dataset, first + np.timedelta64(9, "D"), Config()).values()
    assert {customer: set(items) for customer, items in everything.items()} == {
        "a": {"known", "rare"},
        "new": {"rare"},
        "c0": {"rare"},
        "c4": {"rare", "known"},
    }
    assert {customer: set(items) for customer, items in discovery.items()} == {"a": {"known", "rare"}, "new": {"rare"}, "c4": {"rare"}}
    assert {customer: set(items) for customer, items in rare.items()} == {"a": {"rare"}, "new": {"rare"}, "c4": {"rare"}}

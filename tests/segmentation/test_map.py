from __future__ import annotations

import numpy as np
import pytest

from segmentation import map as module
from segmentation.map import draw_map
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.purchases import Purchases

AS_OF = np.datetime64("2025-01-01", "us")
TOPICS = ("tea", "soap", "bread")
N = 240


@pytest.fixture(scope="module")
def three_tastes() -> Purchases:
    """240 customers; number n mostly buys the topic n % 3."""
    rng = np.random.default_rng(5)
    customers = np.repeat(np.arange(N, dtype=np.int32), 12)
    topics = np.where(rng.random(len(customers)) < 0.9, customers % 3, rng.integers(0, 3, len(customers))).astype(np.int32)
    times = np.datetime64("2024-01-01", "us") + rng.integers(0, 300, len(customers)) * np.timedelta64(1, "D")
    baskets = np.arange(len(customers), dtype=np.int32)
    items = (topics * 5 + rng.integers(0, 5, len(customers))).astype(np.int32)
    names = [f"i{item}" for item in range(15)]
    return Purchases(customers, times, np.ones(len(customers), np.float32), baskets, topics, TOPICS, items, names)


@pytest.fixture(scope="module")
def fitted(three_tastes: Purchases) -> SegmentationModel:
    return fit_segmentation(three_tastes, N, AS_OF, 3, (0.5, 0.8), 28.0, seed=1, n_threads=1)


def drawn(model: SegmentationModel, purchases: Purchases) -> module.Map:
    found = draw_map(model.clusters, purchases, model.item_names, model.topic_names, {}, seed=2)
    assert found is not None
    return found


def test_customers_lie_nearest_to_the_middle_of_their_own_segment(three_tastes: Purchases, fitted: SegmentationModel) -> None:
    found = drawn(fitted, three_tastes)
    segments = fitted.assign(three_tastes, N, AS_OF).segment[found.customers]
    distances = np.linalg.norm(found.places[:, None] - found.centres[None], axis=2)
    assert np.mean(distances.argmin(axis=1) == segments) > 0.95
    assert len(found.customers) == N
    assert sum(axis.share for axis in found.axes) == pytest.approx(1)  # two axes hold all that parts three segments


def test_ends_of_axes_are_named_by_what_is_bought_there(three_tastes: Purchases, fitted: SegmentationModel) -> None:
    found = drawn(fitted, three_tastes)
    topic_of = {customer: customer % 3 for customer in found.customers.tolist()}
    for column, axis in enumerate(found.axes):
        most, least = (found.customers[np.argsort(sign * found.places[:, column])[:20]] for sign in (-1, 1))
        for customers, names in ((most, axis.high), (least, axis.low)):
            topics = [TOPICS[topic_of[customer]] for customer in customers.tolist()]
            assert names[0] == max(set(topics), key=topics.count)


def test_the_same_seed_draws_the_same_map_and_a_sample_is_part_of_it(
    three_tastes: Purchases, fitted: SegmentationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, again = drawn(fitted, three_tastes), drawn(fitted, three_tastes)
    np.testing.assert_array_equal(whole.places, again.places)
    monkeypatch.setattr(module, "MAX_POINTS", 60)
    part = drawn(fitted, three_tastes)
    assert len(part.customers) == 60
    assert set(part.customers) <= set(whole.customers)


def test_one_segment_has_no_map(three_tastes: Purchases) -> None:
    model = fit_segmentation(three_tastes, N, AS_OF, 1, (0.5, 0.8), 28.0, seed=1, n_threads=1)
    assert draw_map(model.clusters, three_tastes, model.item_names, model.topic_names, {}, seed=2) is None

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import NOW, asked, days_ago, history

from recsys.candidates.occasions import N_AGES, N_DISTANCES, Wanted, ages, distances, wanted
from recsys.candidates.sequence import SequenceSource
from recsys.candidates.transformer import Transformer
from recsys.source_config import IndexConfig, SequenceConfig
from recsys.text.index import VectorIndex
from recsys.training.sequence_network import ITEMS, Network, transformer_of
from recsys.types import Floats, History

N_ITEMS, UNKNOWN = 30, 29
CONFIG = SequenceConfig(kind="sequence", dim=8, n_blocks=3, n_heads=2, max_length=6, dropout=0)
ALL = np.ones(N_ITEMS, np.bool_)


def network(seed: int = 4) -> Network:
    """Random weights, all of them large enough to count."""
    rng = np.random.default_rng(seed)
    made = Network(rng.standard_normal((N_ITEMS, CONFIG.dim)).astype(np.float32), CONFIG, seed, "cpu")
    with torch.no_grad():
        for name, weight in made.weights.items():
            weight += 0.0 if name == ITEMS else 0.3 * torch.from_numpy(rng.standard_normal(weight.shape).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    return transformer_of(network().learnt())


@pytest.fixture(scope="module")
def source(transformer: Transformer) -> SequenceSource:
    items: Floats = network().learnt()[ITEMS]
    items[UNKNOWN] = 0.0
    return SequenceSource(items, VectorIndex.build(items, IndexConfig()), transformer, CONFIG)


def test_what_is_served_is_what_was_learnt_to_five_places() -> None:
    learning = network()
    rng = np.random.default_rng(1)
    items = rng.integers(0, N_ITEMS, 40)
    days = np.cumsum(10.0 ** rng.uniform(-2, 3, 40))
    past = Wanted(items.astype(np.int32), np.arange(40, dtype=np.int32), days)
    apart, age = distances(past.occasions), ages(past.days, past.occasions)
    with torch.no_grad():
        expected = learning.states(items[None], apart[None], age[None])[0].numpy()
    served = transformer_of(learning.learnt())
    vectors = learning.learnt()[ITEMS]
    for n in (1, 2, 7, 40):
        found = served.state(vectors[items[:n]], Wanted(past.items[:n], past.occasions[:n], past.days[:n]))
        np.testing.assert_allclose(found, expected[n - 1], rtol=1e-5, atol=1e-5)


def test_items_of_one_time_have_no_order(transformer: Transformer) -> None:
    vectors = np.random.default_rng(0).standard_normal((7, CONFIG.dim)).astype(np.float32)
    occasions, days = np.array([0, 0, 0, 1, 1, 2, 2], np.int32), np.array([1, 1, 1, 4, 4, 90, 90], np.float64)
    other = np.array([2, 0, 1, 4, 3, 6, 5])
    one, two = (transformer.state(vectors[rows], Wanted(rows.astype(np.int32), occasions, days)) for rows in (np.arange(7), other))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    later = Wanted(np.arange(7, dtype=np.int32), np.array([0, 0, 1, 2, 2, 3, 3], np.int32), days)
    assert np.abs(one - transformer.state(vectors, later)).max() > 1e-3


def test_the_order_in_which_a_shop_wrote_one_time_changes_no_answer(source: SequenceSource) -> None:
    past = history((1, 3), (1, 9), (1, 4), (5, 7), (5, 2), (5, 11), (5, 8), (9, 1))
    backward = History(*(np.concatenate([column[:3][::-1], column[3:7][::-1], column[7:]]) for column in vars(past).values()))
    one, two = (source.retrieve(asked(lines), N_ITEMS, ALL) for lines in (past, backward))
    np.testing.assert_array_equal(one.items, two.items)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_distances_are_counted_in_occasions_and_ages_in_doublings_of_a_day() -> None:
    occasions = np.array([0, 0, 1, 2, 3, 4, 90], np.int32)
    days = np.array([0, 0, 0.4, 1.9, 2.1, 5, 99_999])
    assert distances(occasions)[:, 0].tolist() == [0, 0, 1, 2, 3, 4, N_DISTANCES - 1]
    assert distances(occasions)[0].tolist() == [0] * 7
    assert ages(days, occasions)[:, 0].tolist() == [0, 0, 1, 2, 3, 4, N_AGES - 1]


def test_the_newest_known_items_are_read_oldest_first_once_an_occasion() -> None:
    is_known = np.arange(N_ITEMS) != 5
    past = wanted(asked(history((9, 1), (8, 2), (8, 2), (7, 5), (6, 3), (4, 3))), 3, is_known)
    assert past.items.tolist() == [2, 3, 3]
    assert past.occasions.tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.diff(past.days), [2, 2])


def test_what_is_looked_at_is_the_newest_occasion_even_when_it_is_bought_at_the_same_moment() -> None:
    here = asked(history((2, 1), (0, 4)), context=[8, 6, 8])
    past = wanted(here, 9, ALL)
    assert past.items.tolist() == [1, 4, 6, 8]
    assert past.occasions.tolist() == [0, 1, 2, 2]
    assert past.days[-1] - past.days[0] == 2
    assert wanted(here, 2, ALL).items.tolist() == [6, 8]
    assert wanted(asked(context=[7]), 9, ALL).occasions.tolist() == [0]


def test_only_the_newest_items_count(source: SequenceSource) -> None:
    newest = [(float(day), day) for day in range(1, CONFIG.max_length + 1)]
    one = source.retrieve(asked(history(*newest)), 9, ALL)
    other = source.retrieve(asked(history(*newest, (400, 20), (500, 21))), 9, ALL)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_nothing_is_said_of_strangers_and_unknown_items(source: SequenceSource) -> None:
    items = np.array([3, UNKNOWN, 5], np.int32)
    for nobody in (asked(), asked(history((1, UNKNOWN))), asked(context=[UNKNOWN])):
        assert len(source.retrieve(nobody, 5, ALL)) == 0
        assert np.isnan(source.scores(nobody, items)).all()
        assert source.because(nobody, items).tolist() == [-1, -1, -1]
    somebody = asked(history((1, 3), (1, UNKNOWN)))
    assert UNKNOWN not in source.retrieve(somebody, N_ITEMS, ALL).items
    assert np.isnan(source.scores(somebody, items)).tolist() == [False, True, False]
    np.testing.assert_array_equal(source.scores(somebody, items)[[0, 2]], source.scores(asked(history((1, 3))), items)[[0, 2]])


def test_scores_are_those_of_the_proposals(source: SequenceSource) -> None:
    here = asked(history((1, 3), (4, 8)), context=[2])
    found = source.retrieve(here, 10, ALL)
    np.testing.assert_allclose(source.scores(here, found.items), found.scores, rtol=1e-5, atol=1e-5)


def test_a_reason_is_the_item_of_the_newest_occasion_that_is_most_like_it(source: SequenceSource) -> None:
    items = source.items.copy()
    items[[1, 2, 3, 10, 11]] = np.eye(CONFIG.dim, dtype=np.float32)[[0, 1, 2, 0, 1]]
    twins = replace(source, items=items, index=VectorIndex.build(items, IndexConfig()))
    here = asked(history((1, 1), (1, 2), (30, 3)))
    assert twins.because(here, np.array([10, 11, 1], np.int32)).tolist() == [1, 2, 2]
    assert twins.because(asked(history((1, 1))), np.array([1], np.int32)).tolist() == [-1]


def test_the_time_of_the_query_does_not_count_without_a_context(source: SequenceSource) -> None:
    past = history((1, 3), (4, 8))
    one, other = asked(past), replace(asked(past), time=NOW + np.timedelta64(99, "D"))
    np.testing.assert_array_equal(source.retrieve(one, 9, ALL).scores, source.retrieve(other, 9, ALL).scores)
    assert days_ago(1) == past.times[0]


def test_serving_needs_no_torch() -> None:
    command = "import sys, recsys.candidates.sequence, recsys.training.sequence; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

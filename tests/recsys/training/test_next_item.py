"""The validation of embeddings, on four items whose directions are known."""

from __future__ import annotations

import numpy as np

from recsys.training import next_item
from recsys.training.next_item import NextItem, draw_sample
from recsys.types import Ints

EMBEDDINGS = np.eye(4, dtype=np.float32)


def items(*numbers: int) -> Ints:
    return np.array(numbers, np.int32)


def test_what_was_seen_is_no_answer(monkeypatch: object) -> None:
    """Of 30 items 25 were seen: what came next is among the other five, so among the best 20 for certain."""
    embeddings = np.eye(30, dtype=np.float32)
    task = NextItem.of([(items(*range(25)), 29)], np.arange(30, dtype=np.int32), 5)
    assert task.recall(embeddings) == 1
    task = NextItem.of([(items(0), 29)], np.arange(30, dtype=np.int32), 5)
    assert task.recall(embeddings) == 1 - (25 < 15)  # all 29 unseen are equal: their mean rank is 15, within 20


def test_equal_scores_share_their_mean_rank() -> None:
    sample = np.arange(60, dtype=np.int32)
    embeddings = np.zeros((60, 2), np.float32)
    embeddings[:, 0] = 1
    assert NextItem.of([(items(0), 5)], sample, 5).recall(embeddings) == 0  # 59 equal ones: rank 30 is beyond 20


def test_what_a_customer_wrote_moves_the_query() -> None:
    sample = np.arange(60, dtype=np.int32)
    embeddings = np.tile(np.array([[1, 0]], np.float32), (60, 1))
    embeddings[30:] = [0, 1]
    task = NextItem.of([(items(0, 1), 2)], sample, 5)
    own = np.array([[0, 1]], np.float32)
    assert task.hits(embeddings).tolist() == [True]
    assert task.hits(embeddings, own, 0.9).tolist() == [False]


def test_a_sample_has_all_that_is_needed_and_no_more_than_allowed() -> None:
    held_out = [(items(5, 90), 70)]
    assert draw_sample(100, held_out, np.random.default_rng(0)).tolist() == list(range(100))
    drawn = draw_sample(next_item.MAX_SAMPLE + 100, held_out, np.random.default_rng(0))
    assert len(drawn) == next_item.MAX_SAMPLE
    assert {5, 70, 90} <= set(drawn.tolist())
    assert (np.diff(drawn) > 0).all()

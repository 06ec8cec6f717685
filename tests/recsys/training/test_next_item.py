"""The validation of embeddings, on items whose directions are known."""

from __future__ import annotations

import numpy as np

from recsys.training import next_item
from recsys.training.next_item import NextItem, draw_sample
from recsys.types import Ints


def items(*numbers: int) -> Ints:
    return np.array(numbers, np.int32)


def test_what_was_seen_is_no_answer() -> None:
    """Sixty items read alike. Unseen ones share their mean rank: 3 where five are left, 30 where 59 are."""
    alike = np.tile(np.array([[1, 0]], np.float32), (60, 1))
    sample = np.arange(60, dtype=np.int32)
    assert NextItem.of([(items(*range(55)), 59)], sample, 5).recall(alike) == 1
    assert NextItem.of([(items(0), 59)], sample, 5).recall(alike) == 0


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

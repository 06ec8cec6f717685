from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from handmade import asked, history

from recsys.candidates.content import ContentSource, ItemTexts, Written, build_content
from recsys.source_config import ContentConfig, IndexConfig
from recsys.text.index import VectorIndex
from recsys.text.live import LiveIndex
from recsys.text.whitening import Whitening
from recsys.types import Floats

TEXT_OF_ITEM = np.array([0, 0, 0, 1, 2, 3], np.int32)
EMBEDDINGS: Floats = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1], [-1, 0, 0]], np.float32)
ALL = np.ones(6, np.bool_)


@pytest.fixture
def source() -> ContentSource:
    """Items 0, 1 and 2 share one text, of which item 1 was bought most; the text of item 3 is near to it, that of item 5 opposite."""
    texts = ItemTexts(TEXT_OF_ITEM, EMBEDDINGS, VectorIndex.build(EMBEDDINGS, IndexConfig()))
    return build_content(texts, np.array([1, 5, 0, 2, 2, 9], np.float32), ContentConfig(kind="content"))


def test_items_of_one_text_come_together_the_most_bought_first(source: ContentSource) -> None:
    found = source.retrieve(asked(history((1, 0))), 6, ALL)
    assert found.items.tolist()[:4] == [1, 0, 2, 3]
    assert found.items.tolist()[-1] == 5
    assert len(set(found.scores[:3].tolist())) == 1


def test_scores_are_cosines_with_what_sets_the_customer_apart(source: ContentSource) -> None:
    apart = EMBEDDINGS[0] - EMBEDDINGS.mean(axis=0)
    expected = np.sort((EMBEDDINGS @ apart / np.linalg.norm(apart))[TEXT_OF_ITEM])[::-1]
    np.testing.assert_allclose(source.retrieve(asked(history((1, 0))), 6, ALL).scores, expected, rtol=1e-5)


def test_a_text_with_one_eligible_item_stands_for_it(source: ContentSource) -> None:
    eligible = np.array([False, False, True, False, True, True])
    assert source.retrieve(asked(context=[0]), 2, eligible).items.tolist() == [2, 4]


def test_the_reason_is_the_nearest_other_item_of_the_customer(source: ContentSource) -> None:
    past = asked(history((1, 3), (2, 4)))
    assert source.because(past, np.array([0, 4, 3], np.int32)).tolist() == [3, 3, 4]


def test_an_item_is_not_the_reason_for_itself(source: ContentSource) -> None:
    assert source.because(asked(history((1, 3))), np.array([3, 0], np.int32)).tolist() == [-1, 3]


def test_a_customer_whose_texts_cancel_out_gets_nothing() -> None:
    embeddings: Floats = np.array([[1, 0], [-1, 0]], np.float32)
    texts = ItemTexts(np.array([0, 1], np.int32), embeddings, VectorIndex.build(embeddings, IndexConfig()))
    source = build_content(texts, np.ones(2, np.float32), ContentConfig(kind="content"))
    assert len(source.retrieve(asked(history((1, 0), (1, 1))), 2, np.ones(2, np.bool_))) == 0


def test_two_unlike_items_looked_at_both_find_their_like() -> None:
    embeddings: Floats = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8], [-1, 0], [0, -1]], np.float32)
    texts = ItemTexts(np.arange(6, dtype=np.int32), embeddings, VectorIndex.build(embeddings, IndexConfig()))
    source = build_content(texts, np.ones(6, np.float32), ContentConfig(kind="content"))
    eligible = np.array([0, 0, 1, 1, 1, 1], np.bool_)
    found = source.retrieve(asked(history((1, 4)), context=[0, 1]), 2, eligible)
    assert sorted(found.items.tolist()) == [2, 3]  # neither is drowned by the other, nor by the history


@pytest.fixture
def writing(source: ContentSource, tmp_path: Path) -> ContentSource:
    """The source where customer 7 wrote of what item 4 is like, saved and loaded again."""
    texts = source.texts
    written = Written(np.array([7], np.int32), np.array([[0, 0, 1]], np.float32), 0.9)
    ItemTexts(texts.text_of_item, texts.embeddings, texts.index, written).save(tmp_path / "texts")
    source.save(tmp_path / "content")
    return ContentSource.load(tmp_path / "content", ItemTexts.load(tmp_path / "texts"), source.config)


def test_what_a_customer_wrote_is_searched_for_beside_what_they_bought(source: ContentSource, writing: ContentSource) -> None:
    past = history((1, 0))
    assert source.retrieve(asked(past, customer=7), 6, ALL).items[0] == 1
    assert writing.retrieve(asked(past, customer=7), 6, ALL).items[0] == 4


def test_what_others_wrote_changes_nothing_for_a_customer_or_a_guest(source: ContentSource, writing: ContentSource) -> None:
    for customer in (6, 8, -1):
        query = asked(history((1, 0)), customer=customer)
        np.testing.assert_array_equal(writing.retrieve(query, 6, ALL).scores, source.retrieve(query, 6, ALL).scores)


def test_beside_an_item_its_like_counts_and_not_what_the_customer_wrote(source: ContentSource, writing: ContentSource) -> None:
    query = asked(context=[0], customer=7)
    np.testing.assert_array_equal(writing.retrieve(query, 6, ALL).scores, source.retrieve(query, 6, ALL).scores)


def test_writing_that_points_away_from_all_that_was_bought_leaves_what_was_bought() -> None:
    written = Written(np.array([0], np.int32), np.array([[-1, 0]], np.float32), 0.5)
    np.testing.assert_array_equal(written.beside(np.array([1, 0], np.float32), 0), [1, 0])


def test_a_new_item_is_whitened_as_the_others_were_and_found_beside_its_like(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = 4 * np.eye(6)[0] + rng.normal(size=(80, 6)) * np.geomspace(1, 0.1, 6)
    known = np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)
    whitening = Whitening.fit(known)
    assert whitening is not None
    vectors = whitening.apply(known)
    items = np.arange(80, dtype=np.int32)
    ItemTexts(items, vectors, VectorIndex.build(vectors, IndexConfig()), None, whitening).save(tmp_path / "texts")
    texts = ItemTexts.load(tmp_path / "texts")

    class Twin:
        def encode(self, texts: Sequence[str]) -> Floats:
            return known[[int(text) for text in texts]]

    live = LiveIndex.of(texts.index).with_texts(np.array([80]), ["17"], texts.reading(Twin()))
    rows, scores = live.search(texts.of_items(items[17:18]), 2)
    assert set(rows[0].tolist()) == {17, 80}
    np.testing.assert_allclose(scores, 1, atol=1e-5)

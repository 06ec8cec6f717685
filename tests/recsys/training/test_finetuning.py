"""What a shop's data teach the trunk, on a shop whose every line and review is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop
from trunks import write_trunk

from recsys.config import Config, FinetuneConfig, parse_config
from recsys.data.dataset import Dataset
from recsys.data.reviews import review_text
from recsys.errors import DataError
from recsys.text.encoder import load_encoder
from recsys.text.lesson import Lesson
from recsys.training.finetuning import Histories, Matches, Material, fit_trunk, make_lesson, shop_material
from recsys.types import Ints

CUT = at(30)
ITEMS = [
    {"item_id": "a", "title": "red hat", "description": "keeps the sun off"},
    {"item_id": "b", "title": "blue hat", "description": "keeps the rain off"},
    {"item_id": "c", "title": "coat", "description": "warm"},
    {"item_id": "d", "title": "shoe", "description": "warm"},
    {"item_id": "e", "title": "coat", "description": "warm"},
    {"item_id": "f", "title": "scarf", "description": None},
]
LINES = [("one", "a", 1), ("one", "b", 2), ("one", "c", 3), ("one", "d", 40), ("two", "d", 1), ("two", "f", 29), ("guest", "a", 5)]
REVIEWS = [
    ("a", "Lovely", "bright red", 5.0, 3),
    ("a", None, "faded", 1.0, 29),
    ("b", None, "late praise", 4.0, 30),
    ("b", None, "no date", 4.0, None),
    ("a", None, "good", 5.0, 2),
    ("b", None, "good", 5.0, 2),
    ("c", None, "too thin", None, 4),
    ("gone", None, "of an item that is no more", 2.0, 4),
]


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    rows = [{"item_id": item, "day": day, **({} if name == "guest" else {"customer_id": name})} for name, item, day in LINES]
    dataset = load_shop(tmp_path, rows, ITEMS)
    write_reviews(dataset.folder, REVIEWS)
    return dataset


def write_reviews(folder: Path, reviews: Sequence[tuple[Any, ...]]) -> None:
    items, titles, texts, stars, days = zip(*reviews, strict=True)
    times = pa.array([None if day is None else at(day).item() for day in days], pa.timestamp("us", "UTC"))
    columns = {"customer_id": ["x"] * len(items), "item_id": items, "text": texts, "title": titles, "rating": pa.array(stars, pa.float64())}
    pq.write_table(pa.table({**columns, "event_time": times}), folder / "reviews.parquet")


def material(shop: Dataset, labels: dict[str, list[tuple[str, str]]] | None = None, **settings: Any) -> Material:
    config = Config(finetune=FinetuneConfig(**{"n_validation": 1, "window_days": 10, **settings}))
    return shop_material(shop.before(CUT), config, labels or {}, np.random.default_rng(0))


def texts_of(found: Material, documents: Ints) -> list[str]:
    return [found.documents[document] for document in documents]


def test_documents_are_the_distinct_item_texts(shop: Dataset) -> None:
    assert material(shop).documents == (
        "blue hat; keeps the rain off",
        "coat; warm",
        "red hat; keeps the sun off",
        "scarf",
        "shoe; warm",
    )


def test_the_last_item_is_held_out_and_nothing_after_the_cut_is_known(shop: Dataset) -> None:
    found = material(shop)
    ((past, wanted),) = found.held_out
    assert texts_of(found, past) == ["red hat; keeps the sun off", "blue hat; keeps the rain off"]
    assert found.documents[wanted] == "coat; warm"
    assert [texts_of(found, history) for history in found.histories] == [texts_of(found, past)]


def test_a_long_break_ends_a_history(shop: Dataset) -> None:
    assert [len(history) for history in material(shop, window_days=30).histories] == [2, 2]
    assert [len(history) for history in material(shop, window_days=10).histories] == [2]


def test_reviews_count_by_their_own_time(shop: Dataset) -> None:
    found = material(shop)
    assert {text for text, _ in found.reviews} == {"Lovely. bright red", "faded", "good", "too thin"}
    assert {found.documents[document] for text, document in found.reviews if text == "faded"} == {"red hat; keeps the sun off"}


def test_a_shop_without_reviews_has_none(shop: Dataset) -> None:
    (shop.folder / "reviews.parquet").unlink()
    assert material(shop).reviews == []


def test_damaged_reviews_are_refused(shop: Dataset) -> None:
    (shop.folder / "reviews.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(DataError, match=r"reviews\.parquet cannot be read"):
        material(shop)


def test_stars_make_a_sentiment_head_where_there_are_enough(shop: Dataset) -> None:
    assert material(shop).labels == {}
    reviews = [("a", None, f"review {n}", float(1 + n % 5), 2) for n in range(200)]
    write_reviews(shop.folder, reviews)
    labels = dict(material(shop).labels["sentiment"])
    assert [labels[f"review {n}"] for n in range(5)] == ["negative", "negative", "neutral", "positive", "positive"]


def test_heads_of_the_caller_are_learnt_beside_and_add_to_what_stars_say(shop: Dataset) -> None:
    labels = {
        "sentiment": [("good", "positive"), ("review 0", "positive"), ("bad", "negative")],
        "intent": [("please send two", "buy"), ("goodbye", "leave")],
        "of one class": [("good", "good")],
    }
    assert material(shop, labels).labels == {name: labels[name] for name in ("sentiment", "intent")}
    write_reviews(shop.folder, [("a", None, f"review {n}", float(1 + n % 5), 2) for n in range(200)])
    found = material(shop, labels).labels
    assert found["intent"] == labels["intent"]
    assert [name for text, name in found["sentiment"] if text == "review 0"] == ["negative"]  # its star counts
    assert ("good", "positive") in found["sentiment"]


def test_labels_of_one_class_make_no_head(shop: Dataset) -> None:
    found = material(shop, {"intent": [("please send two", "buy")], "mood": [("good", "glad"), ("bad", "sad")]})
    assert list(make_lesson(found, FinetuneConfig(), np.random.default_rng(0)).heads) == ["mood"]


def lesson_of(found: Material, **settings: Any) -> Lesson:
    return make_lesson(found, FinetuneConfig(**settings), np.random.default_rng(0))


def pairs_of(lesson: Lesson, name: str) -> set[tuple[str, str]]:
    source, _ = lesson.pairs[name]
    assert isinstance(source, Matches)
    return {(lesson.texts[query], lesson.texts[wanted]) for query, wanted in zip(source.queries, source.wanted, strict=True)}


def test_a_text_about_two_items_tells_neither_apart(shop: Dataset) -> None:
    lesson = lesson_of(material(shop))
    assert pairs_of(lesson, "review") == {
        ("Lovely. bright red", "red hat; keeps the sun off"),
        ("faded", "red hat; keeps the sun off"),
        ("too thin", "coat; warm"),
    }
    assert pairs_of(lesson, "title") == {("red hat", "keeps the sun off"), ("blue hat", "keeps the rain off")}


def test_a_kind_without_a_share_is_left_out(shop: Dataset) -> None:
    assert set(lesson_of(material(shop)).pairs) == {"history", "review", "title"}
    assert set(lesson_of(material(shop), review_share=0).pairs) == {"history", "title"}
    assert set(lesson_of(Material(("a", "b"))).pairs) == set()


def test_links_join_what_was_wanted_close_in_time() -> None:
    history = np.array([0, 1, 2, 3], np.int32)
    links = lesson_of(Material(tuple("abcdef"), [history]), window=2).links.toarray()
    assert links.tolist() == [[float(abs(i - j) in (1, 2) and max(i, j) < 4) for j in range(6)] for i in range(6)]


def test_documents_may_not_repeat() -> None:
    with pytest.raises(ValueError, match="1 documents repeat another"):
        lesson_of(Material(("a", "b", "a")))


def test_a_query_is_made_of_items_of_one_customer_close_in_time() -> None:
    histories = [np.arange(20 * n, 20 * n + 20, dtype=np.int32) for n in range(5)]
    drawn = Histories(histories, window=3).draw(np.random.default_rng(0), 50)
    assert len({row for query in drawn.queries for row in query}) >= 40
    for query, wanted in zip(drawn.queries, drawn.wanted, strict=True):
        assert 1 <= len(query) <= 3
        assert len(set(query)) == len(query)
        assert all(0 < abs(row - wanted) <= 3 and row // 20 == wanted // 20 for row in query)


def test_no_document_is_drawn_twice_in_a_batch_of_reviews() -> None:
    rows = np.arange(100, dtype=np.int32)
    drawn = Matches(rows + 10, rows % 10, rows % 10).draw(np.random.default_rng(0), 60)
    assert 0 < len(drawn.wanted) == len(set(drawn.wanted)) <= 10
    assert [query[0] % 10 for query in drawn.queries] == list(drawn.wanted)


def test_validation_counts_what_comes_next_among_what_is_new() -> None:
    """Each of 50 items points one way of a circle; the next item is the neighbour, or the opposite."""
    angles = 2 * np.pi * np.arange(50) / 50
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    past = np.array([7, 8, 9], np.int32)
    documents = tuple(f"item {n}" for n in range(50))
    for wanted, expected in ((10, 1.0), (34, 0.0)):
        validate = lesson_of(Material(documents, held_out=[(past, wanted)])).validate
        assert validate is not None
        assert validate(embeddings) == expected


def test_what_was_seen_takes_no_place_and_equals_share_their_mean_rank() -> None:
    documents = tuple(f"item {n}" for n in range(45))
    past = np.arange(4, dtype=np.int32)
    for n_equal, expected in ((37, 1.0), (41, 0.0)):  # their mean ranks are 19 and 21
        embeddings = np.tile(np.array([[0.0, 1.0]], np.float32), (45, 1))
        embeddings[4 : 4 + n_equal] = [1, 0]
        embeddings[:4] = [0.99, 0.01]
        validate = lesson_of(Material(documents, held_out=[(past, 5)])).validate
        assert validate is not None
        assert validate(embeddings) == expected


def test_a_review_is_its_headline_and_its_text() -> None:
    assert [review_text(*parts) for parts in (("a", "b"), (None, "b"), ("a", None), (None, None))] == ["a. b", "b", "a", ""]


def test_a_shop_tunes_its_own_trunk(tmp_path: Path) -> None:
    """Customers buy every fourth item only, and every word is new to the model."""
    rng = np.random.default_rng(0)
    rows = [
        {"item_id": f"i{4 * number + customer % 4}", "day": day, "customer_id": f"c{customer}"}
        for customer in range(160)
        for day, number in enumerate(rng.permutation(20)[:6])
    ]
    words = [f"w{n}" for n in range(80)]
    shop = load_shop(tmp_path / "shop", rows, [{"item_id": f"i{n}", "title": word} for n, word in enumerate(words)])
    trunk = write_trunk(tmp_path / "trunk", words)
    learning = {"n_steps": 60, "batch_texts": 40, "learning_rate": 0.03, "clip_norm": 5, "temperature": 0.3, "validate_every": 20}
    text = {"trunk": str(trunk), "max_tokens": 8, "precision": "float32"}
    config = parse_config({"text": text, "finetune": {**learning, "n_validation": 50}, "training": {"n_threads": 1}}, "test")
    report = fit_trunk(shop.before(CUT), config, tmp_path / "work", tmp_path / "out", seed=1)
    assert max(report["Recall@20"]) > report["Recall@20"][0] + 0.3
    tuned = config.text.model_copy(update={"trunk": str(tmp_path / "out")})
    embeddings = load_encoder(tuned, 1).encode(words)
    cosines = embeddings @ embeddings.T
    assert cosines[::4, ::4].mean() > cosines[::4, 1::4].mean() + 0.3

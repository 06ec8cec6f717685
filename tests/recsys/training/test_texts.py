"""What reviews add to embeddings, where a few words mean a few directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.config import Config, ReviewsConfig, parse_config
from recsys.data.dataset import Dataset
from recsys.source_config import IndexConfig
from recsys.text.index import VectorIndex
from recsys.training.texts import N_ENOUGH, ReviewWeights, build_texts, choose_weights, encode_shop
from recsys.types import Floats

WORDS = ("box", "red", "blue", "dull")
END = at(90)


def encode(texts: Sequence[str]) -> Floats:
    """Each known word is an axis."""
    counts = np.array([[word in text for word in WORDS] for text in texts], np.float32).reshape(-1, len(WORDS))
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)


def write_reviews(folder: Path, reviews: Sequence[tuple[str, str, str, float]]) -> None:
    customers, items, texts, days = zip(*reviews, strict=True)
    times = pa.array([at(day).item() for day in days], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"customer_id": customers, "item_id": items, "text": texts, "event_time": times}), folder / "reviews.parquet")


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    """Sixty boxes that the shop tells nothing of; reviews tell which are red. Each customer buys boxes of one colour."""
    rng = np.random.default_rng(0)
    lines, reviews = [], []
    for customer in range(2 * N_ENOUGH):
        items = 2 * rng.permutation(30)[:6] + customer % 2
        lines += [{"customer_id": f"c{customer}", "item_id": f"i{item}", "day": 8 + 14 * number} for number, item in enumerate(items)]
    for item in range(60):
        reviews += [(f"c{item}", f"i{item}", WORDS[1 + item % 2], 1 + day) for day in range(3)]
    dataset = load_shop(tmp_path, lines, [{"item_id": f"i{item}", "title": "box"} for item in range(60)])
    write_reviews(tmp_path, reviews)
    return dataset


def config(**reviews: Any) -> Config:
    return parse_config({"training": {"ranking_period_days": 28}, "reviews": reviews}, "test")


def chosen(shop: Dataset, **reviews: Any) -> ReviewWeights:
    return choose_weights(shop.before(END), config(**reviews), encode, np.random.default_rng(0))


def test_reviews_weigh_where_they_tell_what_is_wanted_next(shop: Dataset) -> None:
    weights = chosen(shop)
    assert weights.item > 0
    assert weights.recalls[f"item_weight = {weights.item:g}"] > weights.recalls["item_weight = 0"] + 0.1


def test_reviews_that_say_nothing_are_left_out(shop: Dataset) -> None:
    write_reviews(shop.folder, [(f"c{item}", f"i{item}", "dull", 1.0) for item in range(60)])
    assert (chosen(shop).item, chosen(shop).customer) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_words_that_help_by_luck_alone_are_left_out(shop: Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = pq.read_table(shop.folder / "items.parquet")
    titles = pa.array([str(rng.choice(WORDS)) for _ in range(60)])
    pq.write_table(items.set_column(items.column_names.index("title"), "title", titles), shop.folder / "items.parquet")
    write_reviews(shop.folder, [(f"c{item}", f"i{item}", str(rng.choice(WORDS)), 1.0) for item in range(60)])
    assert chosen(Dataset.load(shop.folder), customer_weight=0).item == 0


def test_what_the_configuration_sets_stays(shop: Dataset) -> None:
    assert chosen(shop, item_weight=0.2, customer_weight=0.1) == ReviewWeights(0.2, 0.1, {})
    assert chosen(shop, item_weight=0.2).item == 0.2
    assert chosen(shop, customer_weight=0.0).customer == 0


def test_few_customers_choose_nothing(shop: Dataset) -> None:
    few = parse_config({"training": {"ranking_period_days": 28}, "finetune": {"n_validation": N_ENOUGH - 1}}, "test")
    assert choose_weights(shop.before(END), few, encode, np.random.default_rng(0)) == ReviewWeights(0, 0, {})


@pytest.mark.parametrize("when", [END, END - np.timedelta64(27, "D")], ids=["after the view", "while it is tried"])
def test_the_choice_knows_nothing_of_what_is_written_later(shop: Dataset, when: np.datetime64) -> None:
    before = chosen(shop)
    table = pq.read_table(shop.folder / "reviews.parquet")
    later = table.set_column(3, "event_time", pa.array([when.item()] * len(table), pa.timestamp("us", "UTC")))
    later = later.set_column(2, "text", pa.array(["dull"] * len(table)))
    pq.write_table(pa.concat_tables([later, table]), shop.folder / "reviews.parquet")
    assert chosen(shop) == before


def test_embeddings_mix_shop_and_customers_and_leave_the_rest_alone(shop: Dataset) -> None:
    write_reviews(shop.folder, [("c0", "i3", "red", 1.0), ("c0", "i3", "", 2.0), ("c1", "i5", "blue", 95.0)])
    texts = built(shop, item=0.5, customer=0.0)
    found = texts.of_items(np.arange(60, dtype=np.int32))
    assert found[3, 1] > 0
    assert found[5].tolist() == [1, 0, 0, 0]  # written after the end
    assert len(texts.embeddings) == 2
    assert texts.written is None


def test_customers_who_wrote_point_where_the_others_do_not(shop: Dataset) -> None:
    write_reviews(shop.folder, [("c0", "i3", "red box", 1.0), ("c1", "i5", "blue box", 2.0), ("stranger", "i5", "dull box", 2.0)])
    written = built(shop, item=0.0, customer=0.3).written
    assert written is not None
    assert written.customers.tolist() == [0, 1]
    np.testing.assert_allclose(written.vectors @ written.vectors.T, [[1, -1], [-1, 1]], atol=1e-5)


def test_embeddings_are_whitened_where_the_shop_has_texts_enough(tmp_path: Path) -> None:
    titles = [" ".join([*(word for at, word in enumerate(WORDS) if number >> at & 1), str(number)]) for number in range(64)]
    shop = load_shop(
        tmp_path,
        [{"item_id": "i1", "customer_id": customer, "day": 1} for customer in ("c0", "c1")],
        [{"item_id": f"i{number}", "title": title} for number, title in enumerate(titles)],
    )
    write_reviews(tmp_path, [("c0", "i1", "red box", 1.0), ("c1", "i1", "blue box", 2.0)])
    plain, found = (built(shop, whiten=whiten, item=0.5, customer=0.3) for whiten in (False, True))
    assert plain.whitening is None
    assert found.whitening is not None
    items = np.arange(64, dtype=np.int32)
    np.testing.assert_allclose(found.of_items(items), found.whitening.apply(plain.of_items(items)), atol=1e-6)
    np.testing.assert_allclose(found.written.vectors, found.whitening.facing(plain.written.vectors), atol=1e-6)


def built(shop: Dataset, *, whiten: bool = False, **weights: float) -> Any:
    chosen = ReviewWeights(**weights, recalls={})
    encoded = encode_shop(shop.before(END), ReviewsConfig(half_life_days=1), encode, chosen)
    return build_texts(encoded, chosen, lambda vectors: VectorIndex.build(vectors, IndexConfig()), whiten=whiten)


def read_of(shop: Dataset, item: float, customer: float, **limits: int) -> list[str]:
    """What is encoded beside the items' texts."""
    read: list[str] = []

    def watch(texts: Sequence[str]) -> Floats:
        read.extend(texts)
        return encode(texts)

    encode_shop(shop.before(END), ReviewsConfig(**limits), watch, ReviewWeights(item, customer, {}))
    return sorted(set(read) - {"box"})


def test_of_many_reviews_those_that_count_most_are_read(shop: Dataset) -> None:
    write_reviews(shop.folder, [(f"c{day % 2}", "i1", str(day), float(day)) for day in range(10, 40)])
    assert read_of(shop, 0.5, 0, max_per_item=3) == ["37", "38", "39"]
    assert read_of(shop, 0, 0.5, max_per_customer=1) == ["38", "39"]
    assert read_of(shop, 0, 0) == []


def test_each_side_is_made_of_its_own_reviews(shop: Dataset) -> None:
    write_reviews(shop.folder, [("c0", "i1", "red", 1.0), ("c0", "i2", "blue", 2.0), ("c1", "i1", "blue", 3.0)])
    limits = ReviewsConfig(max_per_item=1, max_per_customer=1)
    encoded = encode_shop(shop.before(END), limits, encode, ReviewWeights(0.5, 0.5, {}))
    colours = encoded.item_embeddings(np.arange(60), 0.5)[:, 1:3]
    number = {id_: row for row, id_ in enumerate(shop.item_ids.ids)}
    assert (colours[number["i1"]] > 0).tolist() == [False, True]  # the newest of item 1
    assert (encoded.customer_embeddings()[1] == 0).all()  # the newest of both customers is blue: nothing sets them apart


def test_a_repeated_purchase_is_nothing_new(shop: Dataset) -> None:
    lines = pq.read_table(shop.folder / "interactions.parquet")
    late = lines.filter(pa.array(lines["event_time"].to_numpy() >= at(62)))
    first = lines.filter(pa.array(lines["event_time"].to_numpy() < at(62)))
    again = late.set_column(late.column_names.index("item_id"), "item_id", first["item_id"].slice(0, len(late)))
    again = again.set_column(late.column_names.index("customer_id"), "customer_id", first["customer_id"].slice(0, len(late)))
    pq.write_table(pa.concat_tables([first, again]), shop.folder / "interactions.parquet")
    assert choose_weights(Dataset.load(shop.folder).before(END), config(), encode, np.random.default_rng(0)).recalls == {}

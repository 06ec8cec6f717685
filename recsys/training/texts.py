"""What the shop says and its customers write, as embeddings as of a time; and how much reviews weigh in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.candidates.content import ItemTexts, Written
from recsys.config import Config, ReviewsConfig
from recsys.data.dataset import Dataset
from recsys.data.reviews import Reviews, read_reviews
from recsys.text.index import VectorIndex
from recsys.text.pooling import distinct_rows, pool_reviews, review_weights, unit, weighted_means
from recsys.text.whitening import Whitening
from recsys.training.next_item import RECENT, NextItem, draw_sample
from recsys.training.split import positive_lines
from recsys.types import Flags, Floats, Ints

Encode: TypeAlias = Callable[[Sequence[str]], Floats]
"""Texts -> embeddings of unit norm, (n, dim)."""

ITEM_WEIGHTS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
CUSTOMER_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.45)
"""What is tried on validation."""
CLEAR = 2.33
"""Standard errors that the gain of the best weight must be above 0: with five tried, a chance of 5 % that one is taken for nothing."""
N_ENOUGH = 200
"""Fewer customers than this choose nothing: reviews are then left out."""
_DAY = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True)
class ReviewWeights:
    """See `ReviewsConfig`. recalls: Recall@20 on validation of what was tried, by its name; empty when nothing was chosen."""

    item: float
    customer: float
    recalls: dict[str, float]


@dataclass(frozen=True)
class Read:
    """Reviews that are read, as parallel arrays of length n.

    weights: what each counts, float32; of_item, of_customer: whether it is among those that count most of its item, of its customer
    """

    reviews: Reviews
    weights: Floats
    of_item: Flags
    of_customer: Flags

    def take(self, rows: NDArray[Any]) -> Read:
        """Those at the given positions, or where a mask is true."""
        return Read(self.reviews.take(rows), self.weights[rows], self.of_item[rows], self.of_customer[rows])


@dataclass(frozen=True)
class ShopTexts:
    """All texts of a shop before a time.

    text_of_item: row of each item's text; int32 (n_items,)
    documents:    embeddings of the distinct item texts, (n_texts, dim)
    read:         reviews; written: their embeddings, (n, dim)
    """

    text_of_item: Ints
    documents: Floats
    read: Read
    written: Floats

    def item_embeddings(self, items: NDArray[np.integer], weight: float) -> Floats:
        """Embeddings of some items with reviews of at most this weight, unit norm; float32 (n, dim)."""
        place = np.full(len(self.text_of_item), -1, np.int32)
        place[items] = np.arange(len(items))
        about = place[self.read.reviews.items]
        asked = np.flatnonzero((about >= 0) & self.read.of_item)
        documents = self.documents[self.text_of_item[items]]
        return pool_reviews(documents, self.written[asked], about[asked], self.read.weights[asked], weight)

    def customer_embeddings(self) -> tuple[Ints, Floats]:
        """Customers who wrote, rising, and the direction of what they wrote apart from what all write; unit norm or zero, (n, dim)."""
        rows = np.flatnonzero(self.read.of_customer)
        customers, groups = np.unique(self.read.reviews.customers[rows], return_inverse=True)
        nothing = np.zeros((len(customers), self.documents.shape[1]), np.float32)
        if not len(customers):
            return np.empty(0, np.int32), nothing
        means, _ = weighted_means(self.written[rows], groups.astype(np.int32), self.read.weights[rows], len(customers))
        has_direction = np.linalg.norm(means, axis=1, keepdims=True) > 0  # of words that cancel out nothing points away from the others
        apart = unit(means - means.mean(axis=0), nothing)
        return customers.astype(np.int32), np.where(has_direction, apart, nothing)


def encode_shop(known: Dataset, settings: ReviewsConfig, encode: Encode, weights: ReviewWeights) -> ShopTexts:
    """Encode what was known by the end of a view; reviews only as far as they weigh anything."""
    read = _read(known, settings)
    return _encoded(known, read.take((read.of_item & (weights.item > 0)) | (read.of_customer & (weights.customer > 0))), encode)


def _encoded(known: Dataset, read: Read, encode: Encode) -> ShopTexts:
    texts, text_of_item = np.unique(np.array(known.item_texts(), np.object_), return_inverse=True)
    documents = encode(texts.tolist())
    months = read.reviews.times.astype("datetime64[M]")
    parts = [encode(read.reviews.texts[months == month].tolist()) for month in np.unique(months)]  # what is written later changes no bit
    return ShopTexts(text_of_item.astype(np.int32), documents, read, np.concatenate([documents[:0], *parts]))


def build_texts(shop: ShopTexts, weights: ReviewWeights, build: Callable[[Floats], VectorIndex], *, whiten: bool) -> ItemTexts:
    """Embeddings of items and customers, indexed. build: makes an index of vectors; whiten: see `TextConfig`"""
    is_reviewed = np.zeros(len(shop.text_of_item), np.bool_)
    if weights.item > 0:
        is_reviewed[shop.read.reviews.items[shop.read.of_item]] = True
    items, row_of_item = distinct_rows(shop.text_of_item, is_reviewed)
    embeddings = shop.item_embeddings(items, weights.item)
    whitening = Whitening.fit(shop.documents) if whiten else None
    if whitening is not None:
        embeddings = whitening.apply(embeddings)
    written = None
    if weights.customer:
        customers, directions = shop.customer_embeddings()
        written = Written(customers, directions if whitening is None else whitening.facing(directions), weights.customer)
    return ItemTexts(row_of_item, embeddings, build(embeddings), written, whitening)


def choose_weights(known: Dataset, config: Config, encode: Encode, rng: np.random.Generator) -> ReviewWeights:
    """The weights that find best what customers wanted anew in the last ranking period of the view, all else known before it.

    A weight is 0 unless another is better beyond chance, for reviews do not tell taste in every shop. Weights that the configuration
    sets stay; with fewer than N_ENOUGH such customers, or no reviews, the others are 0.
    """
    settings = config.reviews
    given = ReviewWeights(settings.item_weight or 0.0, settings.customer_weight or 0.0, {})
    past = known.before(known.end - np.timedelta64(round(config.training.ranking_period_days * 86_400), "s"))
    if settings.item_weight is not None and settings.customer_weight is not None:
        return given
    read = _read(past, settings)
    if not len(read.weights):
        return given
    customers, held_out = _new_items(known, past, config, rng)
    if len(held_out) < N_ENOUGH:
        return given
    shop = _encoded(past, read, encode)
    sample = draw_sample(len(known.items), held_out, rng)
    whitening = Whitening.fit(shop.documents) if config.text.whiten else None
    return _best(shop, whitening, NextItem.of(held_out, sample, RECENT), sample, customers, settings)


def _best(
    shop: ShopTexts, whitening: Whitening | None, task: NextItem, sample: Ints, customers: Ints, settings: ReviewsConfig
) -> ReviewWeights:
    """First the weight in items, then that in customers."""
    items = {weight: shop.item_embeddings(sample, weight) for weight in _tried(settings.item_weight, ITEM_WEIGHTS)}
    writers, directions = shop.customer_embeddings()
    if whitening is not None:
        items, directions = {weight: whitening.apply(embeddings) for weight, embeddings in items.items()}, whitening.facing(directions)
    by_item = {weight: task.hits(embeddings) for weight, embeddings in items.items()}
    item = _clearly_best(by_item)
    written = np.zeros((len(customers), directions.shape[1]), np.float32)
    wrote = np.isin(customers, writers)
    written[wrote] = directions[np.searchsorted(writers, customers[wrote])]
    by_customer = {share: task.hits(items[item], written, share) for share in _tried(settings.customer_weight, CUSTOMER_WEIGHTS)}
    tried = {"item_weight": by_item, "customer_weight": by_customer}
    recalls = {f"{name} = {weight:g}": round(float(hits.mean()), 4) for name, trials in tried.items() for weight, hits in trials.items()}
    return ReviewWeights(item, _clearly_best(by_customer), recalls)


def _clearly_best(trials: Mapping[float, Flags]) -> float:
    """The weight with most hits, of equals the smallest; the first one, 0, unless the gain over it is beyond chance."""
    first = next(iter(trials))
    best = max(trials, key=lambda weight: trials[weight].mean())
    gain = trials[best].astype(np.float64) - trials[first]
    return best if gain.mean() > CLEAR * gain.std() / np.sqrt(len(gain)) else first


def _tried(given: float | None, grid: Sequence[float]) -> Sequence[float]:
    return grid if given is None else (given,)


def _new_items(known: Dataset, past: Dataset, config: Config, rng: np.random.Generator) -> tuple[Ints, list[tuple[Ints, int]]]:
    """Customers, the items that each had wanted by the end of `past`, and the first that each wanted anew after it."""
    lines = positive_lines(known, config)
    lines = lines.take(lines.customers >= 0)
    order = np.argsort(lines.customers, kind="stable")
    bounds = np.flatnonzero(np.diff(lines.customers[order])) + 1
    customers, held_out = [], []
    for rows in np.split(order, bounds):
        is_past = lines.times[rows] < past.end
        before, after = lines.items[rows[is_past]], lines.items[rows[~is_past]]
        new = after[~np.isin(after, before)]
        if len(before) and len(new):
            customers.append(int(lines.customers[rows[0]]))
            held_out.append((before, int(new[0])))
    drawn = np.sort(rng.permutation(len(held_out))[: config.finetune.n_validation])
    return np.array(customers, np.int32)[drawn], [held_out[at] for at in drawn]


def _read(known: Dataset, settings: ReviewsConfig) -> Read:
    """The reviews that count most of each item and of each customer."""
    reviews = read_reviews(known)
    reviews = reviews.take(reviews.texts != "")
    end = reviews.times[-1:] if np.isnat(known.end) else known.end
    weights = review_weights(reviews.helpful, ((end - reviews.times) / _DAY).astype(np.float32), settings.half_life_days)
    of_item = _leading(reviews.items, weights, settings.max_per_item)
    of_customer = _leading(reviews.customers, weights, settings.max_per_customer) & (reviews.customers >= 0)
    return Read(reviews, weights, of_item, of_customer).take(of_item | of_customer)


def _leading(groups: Ints, weights: Floats, n: int) -> NDArray[np.bool_]:
    """The n of each group that weigh most."""
    order = np.lexsort((-weights, groups))
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0)) if len(groups) else np.empty(0, np.intp)
    place = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
    leads = np.zeros(len(groups), np.bool_)
    leads[order] = place < n
    return leads

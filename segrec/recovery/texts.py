"""What embeddings tell of reviews: sentiment and aspects as planted, and how the purchase pleased that a review speaks of.

Read by linear probes on the encoder, one for each language. What the product's own reading makes of customers is in `voices`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from recsys.errors import DataError
from recsys.synthetic.reviews import ASPECTS
from recsys.synthetic.tables import customer_id, item_id
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import load_encoder
from recsys.threads import limit_threads
from recsys.training.stages import Progress
from recsys.types import Floats, Ints
from segrec.recovery.measures import rank_correlation
from segrec.recovery.score import Rows, Score, by_halves
from segrec.recovery.subject import Subject

MAX_REVIEWS = 4000
"""Reviews read, of all languages together."""

MIN_REVIEWS = 30
"""The fewest of one language that a probe is trained on, and the fewest that it is scored on."""

LANGUAGES = {False: "English", True: "Chinese"}
_C = 0.03
"""Inverse strength of the L2 penalty on the weights of standardised embeddings."""

_PROBE = "by a linear probe on the encoder"
_READ = "it is read from the text itself, so in a null world too"


@dataclass(frozen=True)
class Read:
    """Reviews that were read, as parallel arrays of length n.

    embeddings: of the texts, (n, dim); is_chinese: bool; items: what they are about, int32
    stars:      sentiment as the stars have it: -1, 0 or 1
    sentiment, aspects: as planted, the latter (n, n_aspects), 0 = not mentioned
    satisfaction: how the purchase really pleased
    """

    embeddings: Floats
    is_chinese: NDArray[np.bool_]
    items: Ints
    stars: NDArray[np.int8]
    sentiment: NDArray[np.int8]
    aspects: NDArray[np.int8]
    satisfaction: Floats

    def __len__(self) -> int:
        return len(self.stars)

    def take(self, rows: NDArray[np.generic]) -> Read:
        """The given reviews."""
        return Read(*(column[rows] for column in vars(self).values()))


def score_texts(subject: Subject, shop: Path, cache: Path, rng: np.random.Generator, progress: Progress) -> Iterator[Score]:
    """Rows for each language with enough reviews before the cut; none where the shop has no reviews. cache: of embeddings."""
    if not (shop / "reviews.parquet").is_file():
        return
    read = _read(subject, shop, cache, rng, progress)
    for is_chinese, language in LANGUAGES.items():
        learn, test = _by_item(read.take(read.is_chinese == is_chinese), rng)
        if min(len(learn), len(test)) >= MIN_REVIEWS:
            yield from _sentiment(learn, test, language, rng)
            yield _aspects(learn, test, language, rng)


def mentions_f1(true: NDArray[np.integer], found: NDArray[np.integer]) -> float:
    """F1 of finding one aspect's mentions with the right polarity; NaN where it is never mentioned. Both -1, 0 or 1; (n,)."""
    n_right = int(((true == found) & (true != 0)).sum())
    n_told = int((true != 0).sum())
    return 2 * n_right / (n_told + int((found != 0).sum())) if n_told else float("nan")


def _by_item(reviews: Read, rng: np.random.Generator) -> tuple[Read, Read]:
    """The reviews of half of the items, and those of the others: what a probe learns of an item must not help it with that item."""
    _, of = np.unique(reviews.items, return_inverse=True)
    is_learnt = rng.permutation(int(of.max(initial=0)) + 1)[of] % 2 == 0
    return reviews.take(is_learnt), reviews.take(~is_learnt)


def _sentiment(learn: Read, test: Read, language: str, rng: np.random.Generator) -> Iterator[Score]:
    """Sentiment as written, and how the purchase really pleased, by a probe that learnt from stars."""
    found, expected = _probe(learn.embeddings, learn.stars, test.embeddings)
    always = np.full(len(test), np.bincount(learn.stars + 1, minlength=3).argmax() - 1)

    def right(rows: Rows, told: NDArray[np.integer] = found) -> float:
        return float(f1_score(test.sentiment[rows], told[rows], average="macro", zero_division=0.0))

    def pleased(rows: Rows) -> float:
        return rank_correlation(test.satisfaction[rows], expected[rows])

    yield Score.of(
        f"sentiment, {language}",
        "macro F1",
        by_halves(right, len(test), rng, test.items),
        chance=right(np.arange(len(test)), always),
        best=1.0,
        note=f"{_PROBE}, taught by stars; chance: the commonest; best: as written; {_READ}",
    )
    yield Score.of(
        f"satisfaction, {language}",
        "Spearman",
        by_halves(pleased, len(test), rng, test.items),
        chance=0.0,
        best=max(rank_correlation(test.satisfaction, test.sentiment), 0.0),
        note="of the sentiment found with how the purchase really pleased; best: the sentiment as written",
    )


def _aspects(learn: Read, test: Read, language: str, rng: np.random.Generator) -> Score:
    """Aspects as written, each by a probe that learnt from the truth of other reviews."""
    probes = [_probe(learn.embeddings, learn.aspects[:, at], test.embeddings)[0] for at in range(len(ASPECTS))]

    def right(rows: Rows, told: Sequence[NDArray[np.integer]] = probes) -> float:
        return float(np.nanmean([mentions_f1(test.aspects[rows, at], told[at][rows]) for at in range(len(ASPECTS))]))

    return Score.of(
        f"aspects, {language}",
        "mean F1",
        by_halves(right, len(test), rng, test.items),
        chance=right(np.arange(len(test)), [np.full(len(test), polarity) for polarity in _commonest(learn.aspects)]),
        best=1.0,
        note=f"{_PROBE}, taught by the truth of other reviews; chance: the commonest polarity, always; best: as written; {_READ}",
    )


def _read(subject: Subject, shop: Path, cache: Path, rng: np.random.Generator, progress: Progress) -> Read:
    """A sample of the reviews that stand in the shop, were written before the cut and have a text, beside what is true of them."""
    table = pq.read_table(shop / "reviews.parquet", columns=["customer_id", "item_id", "event_time", "rating", "text"])
    has_text = pc.greater(pc.utf8_length(pc.fill_null(table["text"], "")), 0)
    both = table.filter(has_text).join(_written_before(subject), keys=["customer_id", "item_id", "event_time"], join_type="inner")
    if table.num_rows and not both.num_rows:
        raise DataError(f"no review in {shop} is one of its world's; the world was made by another state of the generator: make it again")
    lines, first = np.unique(both["review"].to_numpy(), return_index=True)  # two reviews of one moment count once
    drawn = np.sort(rng.permutation(len(lines))[:MAX_REVIEWS])
    lines, both = lines[drawn], both.take(first[drawn])
    config, reviews, block = subject.bundle.config, subject.block.reviews, subject.block
    encoder = load_encoder(config.text, config.training.n_threads)
    rating = both["rating"].to_numpy()
    return Read(
        embeddings=encode_texts(encoder, both["text"].to_pylist(), cache, progress),
        is_chinese=block.scene.customers.is_chinese[block.scene.visits.owners[block.purchases.visits[reviews.lines[lines]]]],
        items=block.purchases.items[reviews.lines[lines]],
        stars=((rating > 3).astype(np.int8) - (rating < 3)).astype(np.int8),
        sentiment=reviews.sentiment[lines],
        aspects=reviews.aspects[lines],
        satisfaction=block.lines.satisfaction[reviews.lines[lines]],
    )


def _written_before(subject: Subject) -> pa.Table:
    """What identifies each review that the block's customers wrote before the cut, and its row of the block's reviews."""
    block, reviews = subject.block, subject.block.reviews
    past = np.flatnonzero(reviews.days < subject.oracle.day)
    lines = reviews.lines[past]
    owners = block.scene.visits.owners[block.purchases.visits[lines]]
    return pa.table(
        {
            "customer_id": customer_id(block.scene.customers.first + owners),
            "item_id": item_id(block.purchases.items[lines]),
            "event_time": pa.array(subject.world.model.calendar.times(reviews.days[past]), pa.timestamp("us", "UTC")),
            "review": pa.array(past),
        }
    )


def _probe(embeddings: Floats, labels: NDArray[np.int8], others: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Labels of other texts by logistic regression, and their expectation, which says how sure it is."""
    if len(np.unique(labels)) < 2:
        return np.full(len(others), labels[0]), np.full(len(others), labels[0], np.float32)
    with limit_threads(1):
        scale = StandardScaler().fit(embeddings)
        model = LogisticRegression(C=_C, class_weight="balanced", max_iter=500).fit(scale.transform(embeddings), labels)
        likely = model.predict_proba(scale.transform(others))  # (n, n_labels)
    return model.classes_[likely.argmax(axis=1)], np.asarray(likely @ model.classes_, np.float32)


def _commonest(aspects: NDArray[np.int8]) -> NDArray[np.int8]:
    """The commoner polarity of each aspect."""
    return np.where((aspects > 0).sum(axis=0) >= (aspects < 0).sum(axis=0), 1, -1).astype(np.int8)

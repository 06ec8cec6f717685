"""What the reviewers of an item mention that tells it apart, and a clause to quote for each such thing.

Read are reviews by known customers with at least LEAST_STARS, or without stars: a reason to buy is not taken from a complaint. Terms are
nouns of one word or two (`segmentation.terms`). A term is kept of an item where several of its reviewers mention it, more than those of
other items do; where it is not just what the shop itself calls the item; and where a clause can be quoted (`recsys.training.quoting`).
Nothing of the reviewers themselves is kept.

Source: log-odds ratio with an informative Dirichlet prior, as a z-score: Monroe, Colaresi & Quinn (2008), Political Analysis 16(4).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import groupby
from math import log, sqrt
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.reviews import Reviews, read_reviews
from recsys.ranking.mentions import Mentions
from recsys.text.plain_text import plain_text
from recsys.training.quoting import Quotable
from recsys.training.runner import Runner
from segmentation.clauses import clauses
from segmentation.entities import Gazetteer, Phrases
from segmentation.terms import Term, find_terms
from segmentation.words import UNSPACED, public_pieces, tokens

LEAST_STARS = 4
MAX_REVIEWS = 200_000
"""The latest so many of a shop are read."""
MAX_CHARACTERS = 5_000
"""Of one review."""
VOCABULARY_REVIEWS = 10_000
"""Terms are looked for in at most so many reviews, spread evenly over all."""
MIN_REVIEWERS, MIN_SHARE = 2, 0.05
"""Who mention a term, of an item's reviewers."""
MIN_ITEMS = 2
"""That a term is kept of: a reason names another one beside the item."""
MIN_Z = 2.33
"""A term tells an item apart by more than chance: one in a hundred, one-sided."""
PRIOR = 10.0
"""So many reviewers of an average item stand beside an item's own."""
MAX_TERMS = 10
"""Of one item."""

_SAYING_NOTHING = """
    addition advice alternative amount answer anyone attention bit bottom box boxes brainer buck called calls cart case cheapest choice
    choices company comparison competition complaint complaints concern concerns condition cons contents customer customers day deal
    details device difference downside easiest end exception expectation expectations experience fact family fault feature features
    feeling friend friends front further future gift greatest guy guys habit half hand hands help hour hours husband idea included info
    information internet investment issue issues item items job keeps kind kinds longer lot luck matter matters means mind mine minute
    minutes model moment money name needs note number option options order others outside owner package packages part parts past people
    person photo photos pic pics picture pictures place point preference problem problems product products pros purchase purpose question
    questions rating reason reasons recommendation record regret regrets rest result results review reviewer reviewers reviews sign start
    store stuff suits suprise surprise theirs thing things tip top trick trouble twice type unit units use user users website wife word
    words work
"""
SAYING_NOTHING = frozenset(_SAYING_NOTHING.split())
"""What stands like a noun in reviews of anything; a term with such a word is left out."""
_SAYING_NOTHING_UNSPACED = re.compile(
    "[一二三四五六七八九十周月年天次谁叫]|已经|虽然|尽管|特别|最近|结果|另外|一般|朋友|隔壁|全家|种草|东西|商品|产品|宝贝|卖家|客服|快递"
)
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")

Telling: TypeAlias = Mapping[tuple[int, int], tuple[float, int]]
"""Of an item and a term: how far it tells the item apart, as a z-score, and how many reviewers mention it."""


class Said(NamedTuple):
    """A clause of a review that has a term."""

    review: int
    term: int
    clause: str


class Row(NamedTuple):
    """A term that is kept of an item, with the review that is quoted."""

    item: int
    z: float
    term: int
    n: int
    review: int
    quote: str


class Shelf(NamedTuple):
    """What the shop itself calls the items that were reviewed."""

    titles: Mapping[int, str]
    brands: Sequence[str]

    @staticmethod
    def of(catalogue: Catalogue, items: Sequence[int]) -> Shelf:
        """Titles of items, with their brand and categories."""
        brand_of, paths = catalogue.brands.tolist(), catalogue.categories.tolist()
        brands = {item: catalogue.brand_names[brand_of[item]] for item in items if brand_of[item] >= 0}
        names = {item: [catalogue.category_names[code] for code in paths[item] if code >= 0] for item in items}
        titles = {item: " ".join([catalogue.titles[item], brands.get(item, ""), *names[item]]) for item in items}
        return Shelf(titles, sorted(set(brands.values())))


def mentions_part(runner: Runner, known: Dataset) -> Path | None:
    """The folder of what reviewers mention as of the end of a view; None where nothing was reviewed by then."""
    reviews = read_reviews(known)
    if not len(reviews):
        return None
    inputs = {"data": known.fingerprint, "reviews": reviews.fingerprint}
    return runner.run("mentions", inputs, lambda folder: fit_mentions(known, reviews).save(folder))


def fit_mentions(known: Dataset, reviews: Reviews) -> Mentions:
    """What reviewers mention of each item. reviews: those before the end of the view, as `read_reviews` gives them"""
    reviews = reviews.take(np.flatnonzero((reviews.customers >= 0) & ~(reviews.stars < LEAST_STARS))[-MAX_REVIEWS:])
    texts = [plain_text(text, MAX_CHARACTERS) for text in reviews.texts]
    read = [clauses(text) for text in texts]
    shelf = Shelf.of(known.catalogue(), np.unique(reviews.items).tolist())
    terms = _terms(read, shelf)
    said = _said(read, terms)
    telling = _telling(reviews, said, [term.run for term in terms], shelf)
    quotable = Quotable((clause for own in read for clause in own), [*shelf.titles.values(), *shelf.brands])
    writers = [known.customers.ids[customer] for customer in reviews.customers.tolist()]

    @cache
    def is_public(review: int) -> bool:
        return public_pieces(texts[review]) == [texts[review]]

    def quote(line: Said) -> str | None:
        found = quotable.quote(line.clause, terms[line.term].run, writers[line.review])
        return found if found is not None and is_public(line.review) else None

    rows = _quoted(telling, said, reviews, quote)
    return _mentions([term.wording for term in terms], _kept(rows), reviews, len(known.items))


def _terms(read: Sequence[Sequence[str]], shelf: Shelf) -> list[Term]:
    """Nouns that could be told, from an even sample of the reviews."""
    sample = np.unique(np.linspace(0, len(read) - 1, min(len(read), VOCABULARY_REVIEWS)).round().astype(np.int64))
    texts = [read[row] for row in sample.tolist()]
    found = find_terms(texts, MIN_REVIEWERS * MIN_ITEMS, Gazetteer(shelf.brands, shelf.titles.values())) if texts else []
    return [term for term in found if not SAYING_NOTHING.intersection(term.run) and not _SAYING_NOTHING_UNSPACED.search("".join(term.run))]


def _said(read: Sequence[Sequence[str]], terms: Sequence[Term]) -> list[Said]:
    phrases = Phrases({term.run: str(code) for code, term in enumerate(terms)})
    return [Said(review, int(code), clause) for review, own in enumerate(read) for clause in own for _, code, _ in phrases.find(clause)]


def _telling(reviews: Reviews, said: Sequence[Said], runs: Sequence[tuple[str, ...]], shelf: Shelf) -> Telling:
    """What enough reviewers of an item mention, and more of them than of other items' reviewers."""
    items, customers = reviews.items.tolist(), reviews.customers.tolist()
    who = {(items[line.review], line.term, customers[line.review]) for line in said}
    counts, in_all = Counter((item, term) for item, term, _ in who), Counter(term for _, term, _ in who)
    reviewers = Counter(item for item, _ in set(zip(items, customers, strict=True)))
    n_all, found = sum(reviewers.values()), {}
    own_words = {item: _folded(tokens(title)) for item, title in shelf.titles.items()}
    for (item, term), n in sorted(counts.items()):
        if n < max(MIN_REVIEWERS, MIN_SHARE * reviewers[item]) or _is_own_name(runs[term], shelf.titles[item], own_words[item]):
            continue
        z = _log_odds_z(n, reviewers[item], in_all[term], n_all)
        if z >= MIN_Z:
            found[item, term] = z, n
    return found


def _log_odds_z(n: int, n_item: int, n_term: int, n_all: int) -> float:
    """z-score of the log-odds ratio between an item's reviewers and all others. n of n_item, n_term of n_all: who mention the term"""
    prior = PRIOR * (n_term + 0.5) / (n_all + 1)  # the half keeps what all or none mention from odds without end
    own, others = n + prior, n_term - n + prior
    odds = own / (n_item + PRIOR - own), others / (n_all - n_item + PRIOR - others)
    return log(odds[0] / odds[1]) / sqrt(1 / own + 1 / others)


def _is_own_name(run: tuple[str, ...], title: str, words: set[str]) -> bool:
    """Whether the shop itself says it of the item: one of the words; the whole, where words are not spaced."""
    if _IS_UNSPACED.match(run[0]):
        return "".join(run) in title
    return not words.isdisjoint(_folded(run))


def _folded(words: Sequence[str]) -> set[str]:
    """Words without the s of a plural."""
    return {word.removesuffix("s") for word in words}


def _quoted(telling: Telling, said: Sequence[Said], reviews: Reviews, quote: Callable[[Said], str | None]) -> list[Row]:
    """Of each item and term the clause of the review with most stars, then votes, then the latest; those without any fall out."""
    stars = np.nan_to_num(reviews.stars, nan=LEAST_STARS).tolist()
    helpful, items = reviews.helpful.tolist(), reviews.items.tolist()
    by_pair: defaultdict[tuple[int, int], list[Said]] = defaultdict(list)
    for line in said:
        if (items[line.review], line.term) in telling:
            by_pair[items[line.review], line.term].append(line)
    rows = []
    for (item, term), lines in sorted(by_pair.items()):
        lines.sort(key=lambda line: (stars[line.review], helpful[line.review], line.review), reverse=True)
        first = next(((line.review, found) for line in lines if (found := quote(line)) is not None), None)
        if first is not None:
            z, n = telling[item, term]
            rows.append(Row(item, z, term, n, *first))
    return rows


def _kept(rows: Sequence[Row]) -> list[Row]:
    """By item, the most telling first: at most MAX_TERMS, and only terms that MIN_ITEMS items are left with."""
    ordered = sorted(rows, key=lambda row: (row.item, -row.z, row.term))
    leading = [row for _, own in groupby(ordered, attrgetter("item")) for row in list(own)[:MAX_TERMS]]
    n_items = Counter(row.term for row in leading)
    return [row for row in leading if n_items[row.term] >= MIN_ITEMS]


def _mentions(wordings: Sequence[str], rows: Sequence[Row], reviews: Reviews, n_items: int) -> Mentions:
    used, codes = np.unique(np.array([row.term for row in rows], np.int32), return_inverse=True)
    quotes = [row.quote.encode("utf-8") for row in rows]
    return Mentions(
        terms=tuple(wordings[term] for term in used.tolist()),
        offsets=np.searchsorted(np.array([row.item for row in rows], np.int64), np.arange(n_items + 1)).astype(np.int64),
        codes=codes.astype(np.int32),
        counts=np.array([row.n for row in rows], np.int32),
        times=reviews.times[np.array([row.review for row in rows], np.int64)],
        ends=np.cumsum([len(quote) for quote in quotes], dtype=np.int64),
        quotes=np.frombuffer(b"".join(quotes), np.uint8),
    )

"""Metrics beyond relevance, of each list: how novel, varied, surprising, popular, true to the customer's taste and lucrative it is.

They read `ItemFacts` as of the query time. All functions share one contract: the first k places of each list, n lists, float64 (n,);
NaN = the list, or what is known, says nothing: leave the query out of the mean. Unlike relevance they may be measured for a customer
who bought nothing afterwards; `serendipity`, `revenue` and `margin`, which count hits, are NaN there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from offline_eval.answers import Answers, Doubles
from offline_eval.exposure import equal_pairs
from offline_eval.facts import ItemFacts
from recsys.types import Flags, Ints

SMOOTHING = 0.01
"""Share of the customer's own taste mixed into the list's, without which one missing category would make the divergence infinite."""

_CELLS_PER_CHUNK = 4_000_000


def novelty(answers: Answers, k: int) -> Doubles:
    """Mean self-information of the items, in bits: log2(customers who bought anything / those who bought the item), at least 0.

    An item that nobody had bought counts as bought by one: of what was never sold, the rarest is all that is known.

    Source:
        Zhou et al. (2010), PNAS 107(10), "surprisal"; Castells, Hurley & Vargas (2015), Recommender Systems Handbook, chapter 26.
    """
    facts = _facts(answers)
    information = np.log2(facts.n_buyers / np.maximum(facts.buyers, 1))
    return _mean(information, answers.items[:, :k])


def diversity(answers: Answers, k: int) -> Doubles:
    """Intra-list diversity: mean over pairs of 1 - cosine of the items' embeddings, in [0, 2]; NaN for fewer than two items.

    Source:
        Smyth & McClave (2001), ICCBR; Ziegler et al. (2005), WWW, as a mean over pairs instead of a sum.
    """
    embeddings = _facts(answers).embeddings
    assert embeddings is not None
    items = answers.items[:, :k]
    values = np.empty(len(items))
    step = max(1, _CELLS_PER_CHUNK // max(items.shape[1] * embeddings.shape[1], 1))
    for first in range(0, len(items), step):
        rows = slice(first, first + step)
        held = np.where((items[rows] >= 0)[:, :, None], embeddings[items[rows]], 0).astype(np.float64)  # (rows, k, dim)
        total, own = (held.sum(axis=1) ** 2).sum(axis=1), (held**2).sum(axis=(1, 2))
        values[rows] = (total - own) / 2  # sum of cosines over pairs
    return 1 - _per_pair(values, items)


def category_diversity(answers: Answers, k: int) -> Doubles:
    """Share of the pairs of a list that are of different categories; an item without one shares it with nobody. NaN below two items.

    Source:
        Ziegler et al. (2005), WWW, with the distance 1 for different categories and 0 for one.
    """
    items = answers.items[:, :k]
    codes = np.where(items >= 0, _facts(answers).categories[items], -1)
    return 1 - _per_pair(equal_pairs(codes), items)


def serendipity(answers: Answers, k: int) -> Doubles:
    """Share of the k places with a relevant item that was not to be expected: neither among the k best sellers nor ever bought before.

    Source:
        Murakami, Mori & Orihara (2008), JSAI, and Ge, Delgado-Battenfeld & Jannach (2010), RecSys: hits outside the list of a primitive
        recommender. Here that recommender knows best sellers and, for shops live from repeats, the customer's own purchases.
    """
    facts, items = _facts(answers), answers.items[:, :k]
    expected = np.isin(items, facts.best_sellers[:k]) | facts.had_bought(answers.customers, items)
    return _of_hits(answers, ((answers.gains[:, :k] > 0) & ~expected).sum(axis=1) / k)


def popularity(answers: Answers, k: int) -> Doubles:
    """Average recommendation popularity: mean number of customers who had bought each item of the list. Lower is less biased.

    Source:
        Yin et al. (2012), PVLDB 5(9); named ARP by Abdollahpouri, Burke & Mobasher (2019), FLAIRS.
    """
    return _mean(_facts(answers).buyers.astype(np.float64), answers.items[:, :k])


def popularity_lift(answers: Answers, k: int) -> Doubles:
    """`popularity` as a multiple of the mean over all offered items: 1 = as an item drawn at random. Lower is less biased.

    Source:
        Abdollahpouri et al. (2020), RecSys, "popularity lift", with the catalogue in place of the customer's profile.
    """
    facts = _facts(answers)
    usual = facts.buyers[facts.offered].mean()
    return np.asarray(popularity(answers, k) / usual)


def miscalibration(answers: Answers, k: int) -> Doubles:
    """Kullback-Leibler divergence of the list's categories from the customer's, in nats: 0 = the same shares. Lower is better.

    p: shares of the categories in the customer's purchase lines; q: in the list; the divergence is the sum over p > 0 of
    p * ln(p / ((1 - a) q + a p)), a = 0.01. NaN for a customer without a history and for a list without a category.

    Source:
        Steck (2018), RecSys, "C_KL", with equal weights of purchases and of places.
    """
    facts, items = _facts(answers), answers.items[:, :k]
    offsets, codes, shares = facts.tastes
    values = np.full(len(items), np.nan)
    known = np.flatnonzero((answers.customers >= 0) & (items >= 0).any(axis=1))
    step = max(1, _CELLS_PER_CHUNK // (int(codes.max(initial=0)) + 1))
    for first in range(0, len(known), step):
        rows = known[first : first + step]
        values[rows] = _divergence(_category_shares(facts, items[rows]), offsets, codes, shares, answers.customers[rows])
    return values


def revenue(answers: Answers, k: int) -> Doubles:
    """Money of the hits: sum over relevant items among the first k of their price at the query time, one piece each.

    A hit whose price is not known earns nothing here, so the figure is then a lower bound.

    Source:
        Jannach & Jugovac (2019), ACM TMIS 10(4): value of what was recommended and then bought.
    """
    return _earned(answers, k, _facts(answers).prices)


def margin(answers: Answers, k: int) -> Doubles:
    """As `revenue`, with price less cost in place of the price; it can be negative. A hit whose margin is not known earns nothing here.

    Source:
        Jannach & Jugovac (2019), ACM TMIS 10(4).
    """
    return _earned(answers, k, _facts(answers).margins)


KERNELS: dict[str, Callable[[Answers, int], Doubles]] = {
    "Novelty": novelty,
    "Diversity": diversity,
    "CategoryDiversity": category_diversity,
    "Serendipity": serendipity,
    "Popularity": popularity,
    "PopularityLift": popularity_lift,
    "Miscalibration": miscalibration,
    "Revenue": revenue,
    "Margin": margin,
}


def lacking(name: str, facts: ItemFacts) -> str | None:
    """Why a metric cannot be measured with these facts; None when it can."""
    if name == "Diversity" and facts.embeddings is None:
        return "there are no embeddings of the items; CategoryDiversity needs none"
    if name in ("CategoryDiversity", "Miscalibration") and (facts.categories < 0).all():
        return "no item has a category"
    if name == "Revenue" and np.isnan(facts.prices).all():
        return "no item has a price"
    if name == "Margin" and np.isnan(facts.margins).all():
        return "no item has both a price and a cost; costs come from the column `cost` of the items"
    if name in ("Novelty", "Popularity", "PopularityLift") and not facts.buyers[facts.offered].any():
        return "nobody had bought an offered item before the queries"
    return None


def _facts(answers: Answers) -> ItemFacts:
    assert answers.facts is not None
    return answers.facts


def _mean(values: Doubles, items: Ints) -> Doubles:
    """Mean of a value per item over the items of each list."""
    held = items >= 0
    return _divided(np.where(held, values[items], 0.0).sum(axis=1), held.sum(axis=1))


def _per_pair(sums: NDArray[np.generic], items: Ints) -> Doubles:
    sizes = (items >= 0).sum(axis=1)
    return _divided(sums, sizes * (sizes - 1) / 2)


def _category_shares(facts: ItemFacts, items: Ints) -> Doubles:
    """Share of each category among the categorised items of each list, float64 (n, n_categories); NaN for a list without any."""
    n_categories = int(facts.categories.max(initial=0)) + 1
    codes = np.where(items >= 0, facts.categories[items], -1)
    rows, places = np.nonzero(codes >= 0)
    cells = np.bincount(rows * n_categories + codes[rows, places], minlength=len(items) * n_categories)
    counts = cells.reshape(len(items), n_categories)
    sizes = counts.sum(axis=1, keepdims=True)
    shares: Doubles = np.divide(counts, sizes, out=np.full(counts.shape, np.nan), where=sizes > 0)
    return shares


def _divergence(listed: Doubles, offsets: NDArray[np.int64], codes: Ints, shares: Doubles, customers: Ints) -> Doubles:
    starts, sizes = offsets[customers], np.diff(offsets)[customers]
    rows = np.repeat(np.arange(len(customers)), sizes)
    cells = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    own = shares[cells]
    mixed = (1 - SMOOTHING) * listed[rows, codes[cells]] + SMOOTHING * own
    sums = np.bincount(rows, own * np.log(own / mixed), minlength=len(customers))
    return np.where(sizes > 0, np.maximum(sums, 0.0), np.nan)  # rounding may end just below 0; NaN stays NaN


def _earned(answers: Answers, k: int, money: Doubles) -> Doubles:
    hits: Flags = answers.gains[:, :k] > 0
    return _of_hits(answers, np.where(hits, np.nan_to_num(money)[answers.items[:, :k]], 0.0).sum(axis=1))


def _of_hits(answers: Answers, values: Doubles) -> Doubles:
    return np.where(answers.n_relevant > 0, values, np.nan)


def _divided(sums: NDArray[np.generic], counts: NDArray[np.generic]) -> Doubles:
    means: Doubles = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts != 0)
    return means

"""Metrics of one ranked list against what was relevant, and the names of all metrics as printed: NDCG@10, MRR, Novelty@10, Coverage@10.

A metric is taken per query first and averaged later; of what it tells beyond relevance see `offline_eval.beyond`, of whole sets of
lists `offline_eval.exposure`. All functions here share one contract:

    ranked: item ids, best first, without repeats; may be shorter than k
    gains:  gain > 0 of each relevant item id; any other item gains 0
    k:      cut-off, at least 1

They return a number in [0, 1], or NaN when `gains` is empty: leave the query out of the mean, do not count a 0.
They raise ``ValueError`` when k < 1, when `ranked` repeats an item, or when a gain is not positive and finite.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_eval import beyond, exposure
from offline_eval.answers import Answers, Doubles, Gains, Judge
from offline_eval.facts import ItemFacts
from recsys.types import MAX_K, Flags, Ints

Kernel: TypeAlias = Callable[[Answers, int], Doubles]
"""A metric of many lists at once, at a cut-off; one number per list."""


def ndcg_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Normalised discounted cumulative gain of one ranking.

    DCG is the sum over ranks r = 1..k of gain(r) / log2(r + 1). The ideal is the best ranking that was possible: the k
    largest gains, so a customer with one relevant item can still reach 1.

    Source:
        Järvelin & Kekäläinen (2002), ACM TOIS 20(4), linear gain; discount of Burges et al. (2005).
    """
    return _of_one(_ndcg, ranked, gains, k)


def recall_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Share of all relevant items that are among the first k; below 1 by necessity when more than k are relevant.

    Source:
        Manning, Raghavan & Schütze (2008), Introduction to Information Retrieval, 8.3; divided by all relevant items, not by min(k, them).
    """
    return _of_one(_recall, ranked, gains, k)


def precision_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Share of the k places that hold a relevant item; places left empty by a shorter list count as misses.

    Source:
        Manning, Raghavan & Schütze (2008), Introduction to Information Retrieval, 8.4; divided by k as trec_eval does.
    """
    return _of_one(_precision, ranked, gains, k)


def hit_rate_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """1 when at least one of the first k is relevant, else 0.

    Source:
        Deshpande & Karypis (2004), ACM TOIS 22(1), there for one relevant item per customer; trec_eval calls it success.
    """
    return _of_one(_hit_rate, ranked, gains, k)


def average_precision_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Precision at the rank of each relevant item among the first k, summed and divided by the number of all relevant items.

    Source:
        Buckley & Voorhees (2000), SIGIR, cut off at k as in trec_eval; dividing by min(k, relevant) is another variant.
    """
    return _of_one(_average_precision, ranked, gains, k)


def reciprocal_rank_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """1 / rank of the first relevant item, 0 when none is among the first k.

    Source:
        Voorhees (1999), TREC-8 question answering track.
    """
    return _of_one(_reciprocal_rank, ranked, gains, k)


def _ndcg(answers: Answers, k: int) -> Doubles:
    discounts = 1 / np.log2(np.arange(2, answers.gains[:, :k].shape[1] + 2))
    return _ratio(answers.gains[:, :k] @ discounts, answers.ideal[:, :k] @ discounts)


def _recall(answers: Answers, k: int) -> Doubles:
    return _ratio(_hits(answers, k).sum(axis=1), answers.n_relevant)


def _precision(answers: Answers, k: int) -> Doubles:
    return _where_relevant(answers, _hits(answers, k).sum(axis=1) / k)


def _hit_rate(answers: Answers, k: int) -> Doubles:
    return _where_relevant(answers, np.asarray(_hits(answers, k).any(axis=1)))


def _average_precision(answers: Answers, k: int) -> Doubles:
    hits = _hits(answers, k)
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _ratio((precisions * hits).sum(axis=1), answers.n_relevant)


def _reciprocal_rank(answers: Answers, k: int) -> Doubles:
    hits = _hits(answers, k)
    return _where_relevant(answers, np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0))


def _hits(answers: Answers, k: int) -> Flags:
    return answers.gains[:, :k] > 0


def _where_relevant(answers: Answers, values: NDArray[np.generic]) -> Doubles:
    return np.where(answers.n_relevant > 0, values, np.nan).astype(np.float64)


def _ratio(numerator: NDArray[np.generic], denominator: NDArray[np.generic]) -> Doubles:
    shares: Doubles = np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator != 0)
    return shares


def _of_one(kernel: Kernel, ranked: Sequence[str], gains: Gains, k: int) -> float:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return float(kernel(Judge({"": gains}, [""], k).judge([ranked]), k)[0])


_RELEVANCE: dict[str, Kernel] = {
    "NDCG": _ndcg,
    "Recall": _recall,
    "Precision": _precision,
    "HitRate": _hit_rate,
    "MAP": _average_precision,
    "MRR": _reciprocal_rank,
}
_PER_LIST = {**_RELEVANCE, **beyond.KERNELS}
_NAMES = (*_PER_LIST, *exposure.KERNELS)
_LOWER_IS_BETTER = ("Miscalibration", "Popularity", "PopularityLift", "Gini")


@dataclass(frozen=True)
class Metric:
    """A metric and its cut-off; MRR may be printed without one and then reads lists of the greatest length, `MAX_K`."""

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ValueError(f"there is no metric {self.name!r};{_nearest(self.name)} there are: {', '.join(_NAMES)}")
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"{self.name} needs a cut-off between 1 and {MAX_K}, got {self.k}")

    @property
    def is_of_sets(self) -> bool:
        """Whether it is a metric of all lists together (`of_set`), not of each (`of`)."""
        return self.name in exposure.KERNELS

    @property
    def needs_facts(self) -> bool:
        """Whether it tells of more than relevance and so needs `ItemFacts`."""
        return self.name not in _RELEVANCE

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower figure is the better one: of concentration, of popularity, and of distance from the customer's taste."""
        return self.name in _LOWER_IS_BETTER

    def check(self, facts: ItemFacts | None) -> None:
        """Raise ``ValueError`` unless the facts hold what the metric is made of, at least of one item."""
        if not self.needs_facts:
            return
        if facts is None:
            raise ValueError(f"{self} needs facts about the items (`evaluate(..., facts=...)`)")
        lack = beyond.lacking(self.name, facts)
        if lack is not None:
            raise ValueError(f"{self} cannot be measured: {lack}")

    def of(self, answers: Answers) -> Doubles:
        """The metric of each list; float64 (n,). The facts must hold what `check` asks for."""
        return _PER_LIST[self.name](answers, self.k)

    def of_set(self, shown: Ints, offered: Flags) -> Doubles:
        """One value per list whose mean is the metric of them all and whose spread its uncertainty, see `offline_eval.exposure`."""
        return exposure.KERNELS[self.name](shown[:, : self.k], offered)

    def __call__(self, ranked: Sequence[str], gains: Gains) -> float:
        """A metric of relevance for one list; the others need facts and come from `evaluate`."""
        self.check(None)
        return _of_one(_PER_LIST[self.name], ranked, gains, self.k)

    def __str__(self) -> str:
        return self.name if self.name == "MRR" and self.k == MAX_K else f"{self.name}@{self.k}"


def parse_metrics(text: str) -> list[Metric]:
    """Metrics from their names as printed, for example "NDCG@10,Recall@100,Coverage@10"; repeats are dropped.

    Raises:
        ValueError: a name is unknown (the nearest known one is named), or its cut-off is missing or out of range.
    """
    return list(dict.fromkeys(_parse(part.strip()) for part in text.split(",")))


def _parse(text: str) -> Metric:
    match = re.fullmatch(r"(?P<name>[^@]*)(@(?P<k>[0-9]+))?", text)
    if match is None:
        raise ValueError(f"cannot read metric {text!r}; write it like NDCG@10")
    name, k = match["name"], match["k"]
    if k is None and name in _NAMES and name != "MRR":
        raise ValueError(f"metric {name!r} needs a cut-off, for example {name}@10")
    return Metric(name, MAX_K if k is None else int(k))


def _nearest(name: str) -> str:
    known = {known.lower(): known for known in _NAMES}
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" did you mean {known[near[0]]!r}?" if near else ""

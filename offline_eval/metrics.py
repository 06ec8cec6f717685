"""Metrics of one ranked list, and their names as printed: NDCG@10, Recall@100, Precision@5, HitRate@10, MAP@10, MRR.

A metric is taken per query first and averaged later. All functions share one contract:

    ranked: item ids, best first, without repeats; may be shorter than k
    gains:  gain > 0 of each relevant item id; any other item gains 0
    k:      cut-off, at least 1

They return a number in [0, 1], or NaN when `gains` is empty: leave the query out of the mean, do not count a 0.
They raise ``ValueError`` when k < 1, when `ranked` repeats an item, or when a gain is not positive and finite.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from recsys.types import MAX_K

Gains: TypeAlias = Mapping[str, float]


def ndcg_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Normalised discounted cumulative gain of one ranking.

    DCG is the sum over ranks r = 1..k of gain(r) / log2(r + 1). The ideal is the best ranking that was possible: the k
    largest gains, so a customer with one relevant item can still reach 1.

    Source:
        Järvelin & Kekäläinen (2002), ACM TOIS 20(4), linear gain; discount of Burges et al. (2005).
    """
    top = _top(ranked, gains, k)
    if not gains:
        return math.nan
    ideal = sorted(gains.values(), reverse=True)
    return _dcg([gains.get(item, 0.0) for item in top]) / _dcg(ideal[:k])


def recall_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Share of all relevant items that are among the first k; below 1 by necessity when more than k are relevant.

    Source:
        Manning, Raghavan & Schütze (2008), Introduction to Information Retrieval, 8.3; divided by all relevant items, not by min(k, them).
    """
    hits = _hits(ranked, gains, k)
    return sum(hits) / len(gains) if gains else math.nan


def precision_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Share of the k places that hold a relevant item; places left empty by a shorter list count as misses.

    Source:
        Manning, Raghavan & Schütze (2008), Introduction to Information Retrieval, 8.4; divided by k as trec_eval does.
    """
    hits = _hits(ranked, gains, k)
    return sum(hits) / k if gains else math.nan


def hit_rate_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """1 when at least one of the first k is relevant, else 0.

    Source:
        Deshpande & Karypis (2004), ACM TOIS 22(1), there for one relevant item per customer; trec_eval calls it success.
    """
    hits = _hits(ranked, gains, k)
    return float(any(hits)) if gains else math.nan


def average_precision_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Precision at the rank of each relevant item among the first k, summed and divided by the number of all relevant items.

    Source:
        Buckley & Voorhees (2000), SIGIR, cut off at k as in trec_eval; dividing by min(k, relevant) is another variant.
    """
    hits = _hits(ranked, gains, k)
    if not gains:
        return math.nan
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, start=1) if hit]
    return math.fsum(precisions) / len(gains)


def reciprocal_rank_at_k(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """1 / rank of the first relevant item, 0 when none is among the first k.

    Source:
        Voorhees (1999), TREC-8 question answering track.
    """
    hits = _hits(ranked, gains, k)
    if not gains:
        return math.nan
    return 1 / (hits.index(True) + 1) if any(hits) else 0.0


_FUNCTIONS: dict[str, Callable[[Sequence[str], Gains, int], float]] = {
    "NDCG": ndcg_at_k,
    "Recall": recall_at_k,
    "Precision": precision_at_k,
    "HitRate": hit_rate_at_k,
    "MAP": average_precision_at_k,
    "MRR": reciprocal_rank_at_k,
}


@dataclass(frozen=True)
class Metric:
    """A metric and its cut-off; MRR may be printed without one and then reads lists of the greatest length, `MAX_K`."""

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.name not in _FUNCTIONS:
            raise ValueError(f"there is no metric {self.name!r};{_nearest(self.name)} there are: {', '.join(_FUNCTIONS)}")
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"{self.name} needs a cut-off between 1 and {MAX_K}, got {self.k}")

    def __call__(self, ranked: Sequence[str], gains: Gains) -> float:
        return _FUNCTIONS[self.name](ranked, gains, self.k)

    def __str__(self) -> str:
        return self.name if self.name == "MRR" and self.k == MAX_K else f"{self.name}@{self.k}"


def parse_metrics(text: str) -> list[Metric]:
    """Metrics from their names as printed, for example "NDCG@10,Recall@100"; repeats are dropped.

    Raises:
        ValueError: a name is unknown (the nearest known one is named), or its cut-off is missing or out of range.
    """
    return list(dict.fromkeys(_parse(part.strip()) for part in text.split(",")))


def _parse(text: str) -> Metric:
    match = re.fullmatch(r"(?P<name>[^@]*)(@(?P<k>[0-9]+))?", text)
    if match is None:
        raise ValueError(f"cannot read metric {text!r}; write it like NDCG@10")
    name, k = match["name"], match["k"]
    if k is None and name in _FUNCTIONS and name != "MRR":
        raise ValueError(f"metric {name!r} needs a cut-off, for example {name}@10")
    return Metric(name, MAX_K if k is None else int(k))


def _nearest(name: str) -> str:
    known = {known.lower(): known for known in _FUNCTIONS}
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" did you mean {known[near[0]]!r}?" if near else ""


def _top(ranked: Sequence[str], gains: Gains, k: int) -> Sequence[str]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if len(set(ranked)) < len(ranked):
        raise ValueError("ranked repeats an item; remove duplicates before measuring")
    for item, gain in gains.items():
        if not 0 < gain < math.inf:
            raise ValueError(f"the gain of item {item!r} is {gain}; leave items without a gain out of gains")
    return ranked[:k]


def _hits(ranked: Sequence[str], gains: Gains, k: int) -> list[bool]:
    return [item in gains for item in _top(ranked, gains, k)]


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))

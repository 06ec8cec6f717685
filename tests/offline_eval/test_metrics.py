from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from offline_eval.metrics import (
    Metric,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    parse_metrics,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)
from recsys.types import MAX_K

ALL = [ndcg_at_k, recall_at_k, precision_at_k, hit_rate_at_k, average_precision_at_k, reciprocal_rank_at_k]


@pytest.mark.parametrize(("ranked", "expected"), [(["a", "b"], 1.0), (["x", "a"], 1 / math.log2(3)), (["x", "y", "a"], 0.0), ([], 0.0)])
def test_ndcg_of_one_relevant_item_is_its_discount(ranked: list[str], expected: float) -> None:
    assert ndcg_at_k(ranked, {"a": 1.0}, k=2) == pytest.approx(expected)


def test_ndcg_with_graded_gains_worked_by_hand() -> None:
    dcg = 1 / 1 + 0 / math.log2(3) + 3 / 2
    ideal = 3 / 1 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at_k(["c", "x", "a"], {"a": 3.0, "b": 2.0, "c": 1.0}, k=3) == pytest.approx(dcg / ideal)


def test_ideal_of_ndcg_holds_no_more_than_k_items() -> None:
    assert ndcg_at_k(["a", "b"], {"a": 1.0, "b": 1.0, "c": 1.0}, k=2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (recall_at_k, 2 / 3),
        (precision_at_k, 2 / 4),
        (hit_rate_at_k, 1.0),
        (average_precision_at_k, (1 / 2 + 2 / 4) / 3),
        (reciprocal_rank_at_k, 1 / 2),
    ],
)
def test_two_of_three_relevant_items_at_ranks_two_and_four(function: Callable[..., float], expected: float) -> None:
    assert function(["x", "a", "y", "b", "c"], {"a": 1.0, "b": 1.0, "c": 1.0}, 4) == pytest.approx(expected)


def test_precision_counts_places_left_empty_as_misses() -> None:
    assert precision_at_k(["a"], {"a": 1.0}, 5) == pytest.approx(1 / 5)


@pytest.mark.parametrize("function", ALL)
def test_nothing_relevant_gives_nan_and_nothing_found_gives_zero(function: Callable[..., float]) -> None:
    assert math.isnan(function(["a"], {}, 3))
    assert function(["x", "y"], {"a": 1.0}, 2) == 0.0
    assert function([], {"a": 1.0}, 2) == 0.0


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("ranked", "gains", "k", "problem"),
    [
        (["a"], {"a": 1.0}, 0, "k must be at least 1"),
        (["a", "a"], {"a": 1.0}, 1, "repeats"),
        (["a", "a"], {}, 1, "repeats"),
        (["a"], {"b": 0.0}, 1, "gain of item 'b'"),
        (["a"], {"b": math.nan}, 1, "gain of item 'b'"),
    ],
)
def test_bad_arguments_are_refused(
    function: Callable[..., float], ranked: Sequence[str], gains: dict[str, float], k: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        function(ranked, gains, k)


def test_ndcg_and_average_precision_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        n, k = int(rng.integers(2, 30)), int(rng.integers(1, 35))
        scores, gains = rng.permutation(n).astype(float), rng.integers(0, 4, n).astype(float)
        gains[rng.integers(n)] = 1.0
        ranked = [str(item) for item in np.argsort(-scores)]
        positive = {str(item): gain for item, gain in enumerate(gains) if gain > 0}
        assert ndcg_at_k(ranked, positive, k) == pytest.approx(ndcg_score([gains], [scores], k=k), abs=1e-12)
        assert average_precision_at_k(ranked, positive, n) == pytest.approx(average_precision_score(gains > 0, scores), abs=1e-12)


def test_metrics_are_read_as_printed() -> None:
    metrics = parse_metrics("NDCG@10, Recall@100,MAP@5,MRR,MRR@10,NDCG@10")
    assert metrics == [Metric("NDCG", 10), Metric("Recall", 100), Metric("MAP", 5), Metric("MRR", MAX_K), Metric("MRR", 10)]
    assert [str(metric) for metric in metrics] == ["NDCG@10", "Recall@100", "MAP@5", "MRR", "MRR@10"]
    assert metrics[0](["x", "a"], {"a": 1.0}) == pytest.approx(1 / math.log2(3))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ndcg@10", "did you mean 'NDCG'"),
        ("Recal@10", "did you mean 'Recall'"),
        ("zzz@10", "there are: NDCG, Recall"),
        ("NDCG", "for example NDCG@10"),
        ("NDCG@0", "between 1 and 500, got 0"),
        ("NDCG@501", "between 1 and 500, got 501"),
        ("NDCG@ten", "write it like NDCG@10"),
        ("", "no metric ''"),
    ],
)
def test_unreadable_metric_names_say_what_would_be_right(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_metrics(text)

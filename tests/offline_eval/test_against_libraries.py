"""The same lists through `ranx` and `ir_measures`: equal to 1e-9 wherever the conventions are the same, and how they differ elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from offline_eval.answers import Judge
from offline_eval.metrics import Metric, average_precision_at_k, ndcg_at_k, parse_metrics

ranx = pytest.importorskip("ranx", reason="ranx is not installed: pip install ranx ir_measures")
ir_measures = pytest.importorskip("ir_measures", reason="ir_measures is not installed: pip install ranx ir_measures")

pytestmark = pytest.mark.filterwarnings("ignore:unsafe cast")  # numba's, of the counters in ranx

N_CASES = 4000
NAMES = {
    "NDCG": ("ndcg", "nDCG"),
    "Recall": ("recall", "R"),
    "Precision": ("precision", "P"),
    "HitRate": ("hit_rate", "Success"),
    "MAP": ("map", "AP"),
    "MRR": ("mrr", "RR"),
}
CUTS = (1, 3, 10, 25)

Truth = Mapping[str, Mapping[str, int]]
Lists = Mapping[str, Sequence[str]]


def cases(seed: int = 1) -> tuple[Truth, Lists]:
    """Random lists of 1 to 20 of 30 items, and 1 to 12 relevant ones with gains 1 to 4; some lists hit nothing, some have all."""
    rng = np.random.default_rng(seed)
    items = np.array([f"i{number:02}" for number in range(30)])
    truth, lists = {}, {}
    for case in range(N_CASES):
        wanted = rng.permutation(items)[: rng.integers(1, 13)]
        truth[f"q{case:04}"] = {str(item): int(rng.integers(1, 5)) for item in wanted}
        lists[f"q{case:04}"] = rng.permutation(items)[: rng.integers(1, 21)].tolist()
    return truth, lists


def as_scores(ranked: Sequence[str]) -> dict[str, float]:
    return {item: float(len(ranked) - place) for place, item in enumerate(ranked)}


def ours(truth: Truth, lists: Lists, metric: str) -> np.ndarray:
    (wanted,) = parse_metrics(metric)
    return wanted.of(Judge(truth, list(truth), wanted.k).judge([lists[query] for query in truth]))


@pytest.fixture(scope="module")
def world() -> tuple[Truth, Lists]:
    return cases()


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_metric_equals_that_of_ranx(world: tuple[Truth, Lists], name: str, k: int) -> None:
    truth, lists = world
    qrels, run = ranx.Qrels(truth), ranx.Run({query: as_scores(ranked) for query, ranked in lists.items()})
    theirs = ranx.evaluate(qrels, run, f"{NAMES[name][0]}@{k}", return_mean=False)
    assert np.abs(ours(truth, lists, f"{name}@{k}") - theirs).max() < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_equals_that_of_ir_measures(world: tuple[Truth, Lists], name: str) -> None:
    truth, lists = world
    run = {query: as_scores(ranked) for query, ranked in lists.items()}
    wanted = {ir_measures.parse_measure(f"{NAMES[name][1]}@{k}"): k for k in CUTS}
    found = {k: np.full(len(truth), np.nan) for k in CUTS}
    row_of = {query: row for row, query in enumerate(truth)}
    for value in ir_measures.iter_calc(list(wanted), truth, run):
        found[wanted[value.measure]][row_of[value.query_id]] = value.value
    for k in CUTS:
        assert np.abs(ours(truth, lists, f"{name}@{k}") - found[k]).max() < 1e-9


def test_conventions_that_differ_are_those_that_we_chose() -> None:
    truth = {"a": 3.0, "b": 1.0, "c": 1.0}
    linear = (1 + 3 / 2) / (3 + 1 / np.log2(3) + 1 / 2)  # not 2 ** gain - 1, as "ndcg_burges" of ranx
    assert ndcg_at_k(["b", "x", "a"], truth, 3) == pytest.approx(linear)
    assert Metric("Recall", 3)([], truth) == 0  # an empty list is a 0
    assert np.isnan(Metric("Recall", 3)(["a"], {}))  # with nothing relevant there is no figure
    many = {f"i{number}": 1.0 for number in range(20)}
    assert average_precision_at_k([f"i{number}" for number in range(10)], many, 10) == pytest.approx(10 / 20)  # not divided by min(k, 20)

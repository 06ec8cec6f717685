from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
import pytest

from offline_eval.evaluate import Measurements, evaluate, pool
from offline_eval.facts import ItemFacts
from offline_eval.metrics import parse_metrics
from recsys.data.vocabulary import Vocabulary
from recsys.types import Query

TIME = dt.datetime(2020, 1, 10, tzinfo=dt.UTC)
TRUTH = {"bob": {"eggs": 1.0}, "ann": {"milk": 1.0, "bread": 1.0}}
METRICS = parse_metrics("NDCG@2,Recall@3")
LISTS = {"ann": ["milk", "bread", "eggs"], "bob": ["milk", "eggs", "bread"]}


def recommend(queries: Sequence[Query]) -> list[list[str]]:
    return [LISTS[query.customer_id or ""][: query.k] for query in queries]


def nothing(queries: Sequence[Query]) -> list[list[str]]:
    return [[] for _ in queries]


def measured(time: dt.datetime = TIME, **more) -> Measurements:
    return evaluate({"lists": recommend, "nothing": nothing}, TRUTH, time, METRICS, **more)


def test_values_are_those_worked_by_hand() -> None:
    found = measured(slices={"tier": {"ann": "high"}})
    assert found.customers == ("ann", "bob")
    assert found.slices == {"tier": ("high", "none")}
    assert found.metrics == ("NDCG@2", "Recall@3")
    assert found.values == pytest.approx(np.array([[[1, 1 / math.log2(3)], [1, 1]], [[0, 0], [0, 0]]]))


def test_every_system_gets_one_query_per_customer_at_the_cut_and_long_enough() -> None:
    asked: list[Query] = []
    evaluate({"spy": lambda queries: asked.extend(queries) or nothing(queries)}, TRUTH, TIME, METRICS, batch=1)
    assert [(query.customer_id, query.time, query.k) for query in asked] == [("ann", TIME, 3), ("bob", TIME, 3)]
    assert len({query.request_id for query in asked}) == 2
    again: list[Query] = []
    evaluate({"spy": lambda queries: again.extend(queries) or nothing(queries)}, TRUTH, TIME, METRICS)
    assert again == asked


def test_order_of_customers_and_size_of_batches_change_nothing() -> None:
    turned = evaluate({"lists": recommend, "nothing": nothing}, dict(reversed(TRUTH.items())), TIME, METRICS, batch=1)
    assert turned.customers == measured().customers
    assert np.array_equal(turned.values, measured().values)


def test_progress_is_told_after_each_batch() -> None:
    told: list[tuple[int, int, str]] = []
    measured(batch=1, progress=lambda done, total, what: told.append((done, total, what)))
    assert told == [(1, 2, "asking lists"), (2, 2, "asking lists"), (1, 2, "asking nothing"), (2, 2, "asking nothing")]


def test_a_system_that_loses_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="lazy was asked 2 queries and gave 1 lists"):
        evaluate({"lazy": lambda queries: [[]]}, TRUTH, TIME, METRICS)


def test_a_list_with_repeats_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the list of stutter for customer 'ann' cannot be measured: ranked repeats"):
        evaluate({"stutter": lambda queries: [["milk", "milk"]] * len(queries)}, TRUTH, TIME, METRICS)


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(ValueError, match="0 customers, 1 systems, 2 metrics"):
        evaluate({"lists": recommend}, {}, TIME, METRICS)


def test_pooled_cuts_keep_their_queries_apart() -> None:
    later = TIME + dt.timedelta(days=28)
    pooled = pool([measured(), measured(later)])
    assert pooled.customers == ("ann", "bob", "ann", "bob")
    assert len(set(pooled.queries)) == 4
    assert pooled.values.shape == (2, 2, 4)


def test_the_same_cut_is_not_pooled_twice() -> None:
    with pytest.raises(ValueError, match="measured twice"):
        pool([measured(), measured()])


def test_tables_of_different_truths_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="cannot pool 'discovery'"):
        pool([measured(), measured(TIME + dt.timedelta(days=1), title="discovery")])


def facts(n_items: int = 3) -> ItemFacts:
    return ItemFacts(
        items=Vocabulary(("milk", "bread", "eggs", "fuel")[:n_items]),
        customers=Vocabulary(("ann",)),
        offered=np.ones(n_items, np.bool_),
        categories=np.zeros(n_items, np.int32),
        prices=np.ones(n_items),
        margins=np.full(n_items, np.nan),
        embeddings=None,
        pairs=np.array([0], np.int64),
        lines=np.array([1], np.int64),
    )


def test_metrics_beyond_relevance_and_of_whole_sets_stand_beside_the_others() -> None:
    wanted = parse_metrics("Coverage@1,NDCG@2,Revenue@3,Gini@1")
    found = evaluate({"lists": recommend, "nothing": nothing}, TRUTH, TIME, wanted, facts=facts())
    assert found.metrics == ("NDCG@2", "Revenue@3")
    assert found.figures == ("NDCG@2", "Revenue@3", "Coverage@1", "Gini@1")
    assert found.values[0, 1].tolist() == [2, 1]
    columns = found.columns(np.arange(2))
    assert columns[0, 2].mean() == pytest.approx(1 / 3)  # both are shown milk first
    assert columns[0, 3].mean() == pytest.approx(1)
    assert columns[1, 2].mean() == 0
    assert np.array_equal(columns[:, :2], found.values)


def test_a_metric_that_lacks_its_facts_is_refused() -> None:
    with pytest.raises(ValueError, match="Novelty@2 needs facts"):
        evaluate({"lists": recommend}, TRUTH, TIME, parse_metrics("Novelty@2"))
    with pytest.raises(ValueError, match="the list of lists for customer 'ann' cannot be measured: nothing is known of item 'eggs'"):
        evaluate({"lists": recommend}, TRUTH, TIME, parse_metrics("Novelty@3"), facts=facts(n_items=2))


def test_whole_sets_of_several_cuts_are_not_pooled() -> None:
    part = evaluate({"lists": recommend}, TRUTH, TIME, parse_metrics("Coverage@1"), facts=facts())
    with pytest.raises(ValueError, match="cannot be pooled"):
        pool([part])

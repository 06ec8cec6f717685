from __future__ import annotations

import io

import numpy as np

from offline_eval.evaluate import Measurements
from offline_eval.report import comparison_table, figure_tables, show
from offline_eval.result import EvaluationResult, compare, summarise


def result(title: str, systems: tuple[str, ...]) -> EvaluationResult:
    values = np.random.default_rng(1).random((len(systems), 2, 6))
    slices = {"tier": ("low",) * 5 + ("high",)}
    customers = tuple("abcdef")
    measured = Measurements(title, systems, ("NDCG@10", "Recall@10"), customers, ("2020-01-10T00:00:00+00:00",) * 6, slices, values)
    return summarise(measured, np.random.default_rng(0), n_resamples=100)


def printed(tables) -> str:
    file = io.StringIO()
    show(tables, file)
    return file.getvalue()


def test_tables_hold_every_slice_and_system_within_120_columns() -> None:
    results = [result("all purchases", ("engine", "popularity of 7 days")), result("discovery", ("engine", "[als]"))]
    text = printed(figure_tables(results, ["NDCG@10", "Recall@10"]))
    assert max(map(len, text.splitlines())) <= 120
    for part in (
        "overall (customers: all purchases 6, discovery 6)",
        "tier=low",
        "tier=high",
        "popularity of 7 days",
        "[als]",
        "[nan, nan]",
    ):
        assert part in text
    mean = results[0].figure("engine", "NDCG@10")
    assert f"{mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]".replace("0.", ".") in text


def test_comparisons_are_printed_as_percentages() -> None:
    measured = result("all purchases", ("engine", "base")).measurements
    comparisons = compare(measured, "engine", "base", np.random.default_rng(0), n_resamples=100)
    text = printed([comparison_table("all purchases", comparisons)])
    relative = comparisons[0].relative
    assert "all purchases: engine against base" in text
    assert f"{relative.estimate:+.1%} [{relative.low:+.1%}, {relative.high:+.1%}]" in text
    assert "nan" not in text  # one customer determines no interval
    assert f"{comparisons[-1].relative.estimate:+.1%}" in text

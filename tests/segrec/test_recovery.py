"""What the scores are made of: measures with known answers, intervals, and the table that is printed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rich.console import Console

from offline_eval.significance import Interval
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.world import World
from segrec.recovery import Score, score_notes, score_table, scores_to_json, scores_to_markdown
from segrec.recovery.customers import likely_personas
from segrec.recovery.measures import auc, captured, graded, rand_index, rank_correlation, weighted_kappa
from segrec.recovery.score import by_halves, by_halves_of_both
from segrec.recovery.texts import mentions_f1


def row(found: float = 0.5, chance: float = 0.2, best: float = 0.8, half: float = 0.1) -> Score:
    interval = Interval(found, found - half, found + half, 1200)
    return Score.of("segments", "adjusted Rand index", interval, chance=chance, best=best, note="chance: none; best: all")


def test_recovered_is_the_share_of_the_way_from_chance_to_best() -> None:
    assert row().recovered == pytest.approx(0.5)
    assert row(found=0.1).recovered == pytest.approx(-1 / 6)


@pytest.mark.parametrize("best", [0.2, 0.1, 0.29, math.nan])
def test_nothing_is_recovered_where_best_cannot_be_told_from_chance(best: float) -> None:
    assert math.isnan(row(best=best).recovered)


def test_random_halves_vary_as_a_mean_should() -> None:
    values = np.random.default_rng(0).standard_normal(2000)
    found = by_halves(lambda rows: float(values[rows].mean()), len(values), np.random.default_rng(1))
    assert (found.estimate, found.n) == (values.mean(), 2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.12)


def test_rows_of_a_group_are_drawn_together_and_widen_the_interval() -> None:
    values, groups = np.repeat(np.random.default_rng(0).standard_normal(100), 20), np.repeat(np.arange(100), 20)
    found = by_halves(lambda rows: float(values[rows].mean()), len(values), np.random.default_rng(1), groups)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(100), rel=0.15)


def test_where_items_decide_for_all_customers_few_items_make_a_wide_interval() -> None:
    of_item = np.random.default_rng(0).standard_normal(100)
    found = by_halves_of_both(lambda _, items: float(of_item[items].mean()), 5000, 100, np.random.default_rng(1))
    assert (found.estimate, found.n) == (of_item.mean(), 5000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * of_item.std() / math.sqrt(100), rel=0.15)


def test_a_figure_that_cannot_be_computed_has_no_interval() -> None:
    found = by_halves(lambda _: math.nan, 10, np.random.default_rng(0))
    assert math.isnan(found.estimate)
    assert math.isnan(found.low)


def test_captured_is_one_for_the_true_order_minus_one_for_its_opposite_and_nothing_for_ties() -> None:
    spent = np.array([0.0, 1.0, 5.0, 30.0])
    assert captured(spent, spent**2) == pytest.approx(1)
    assert captured(spent, -spent) == pytest.approx(-1)
    assert captured(spent, np.ones(4)) == pytest.approx(0)
    assert math.isnan(captured(np.ones(4), spent))


def test_captured_weighs_those_who_spend_much() -> None:
    spent = np.array([0.0, 1.0, 2.0, 100.0])
    assert captured(spent, np.array([1.0, 0, 2, 3])) > 0.95 > captured(spent, np.array([0.0, 1, 3, 2]))


def test_auc_counts_pairs_and_half_of_ties() -> None:
    assert auc(np.array([True, True, False, False]), np.array([3.0, 1.0, 2.0, 1.0])) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert math.isnan(auc(np.array([True, True]), np.array([1.0, 2.0])))


def test_agreement_of_groups_and_grades() -> None:
    grades = np.array([0, 0, 1, 1, 2, 2])
    assert rand_index(grades, 7 - grades) == weighted_kappa(grades, grades) == 1
    assert weighted_kappa(grades, 2 - grades) == pytest.approx(-1)
    assert math.isnan(weighted_kappa(grades * 0, grades * 0))


def test_rank_correlation_of_a_constant_is_unknown() -> None:
    assert rank_correlation(np.array([1.0, 2, 9]), np.array([0.1, 5, 6])) == pytest.approx(1)
    assert math.isnan(rank_correlation(np.array([1.0, 2, 9]), np.ones(3)))


def test_grades_are_cut_at_quantiles_and_ties_fall_below() -> None:
    assert graded(np.array([0.0, 0, 0, 1, 9]), np.array([0.5, 0.8])).tolist() == [0, 0, 0, 1, 2]


def test_the_best_guess_of_a_persona_uses_what_reviews_told_up_to_a_day() -> None:
    world = World.build(WorldConfig.model_validate({"n_customers": 1000, "n_items": 200, "n_days": 200, "signals": {"segment": 0.1}}))
    block = world.block(0)
    true, everybody = block.scene.customers.personas, np.arange(1000, dtype=np.int32)
    early, late = (likely_personas(world, block, everybody, day) == true for day in (0.0, 200.0))
    tellers = block.scene.visits.owners[block.purchases.visits[block.reviews.lines[block.reviews.tells_need]]]
    has_told = np.isin(everybody, tellers)
    assert 3 / 12 < early.mean() < 0.6  # of a dozen, by taste, price sensitivity and rates
    assert late[has_told].all()
    assert (late == early)[~has_told].all()
    assert likely_personas(world, block, everybody[::-1], 200.0).tolist() == likely_personas(world, block, everybody, 200.0)[::-1].tolist()


@pytest.mark.parametrize("signals", [{"segment": 1.0}, {"segment": 1.0, "value": 0.0}, {"segment": 1.0, "price": 0.0}])
def test_where_the_persona_is_all_the_best_guess_is_right(signals: dict[str, float]) -> None:
    world = World.build(WorldConfig.model_validate({"n_customers": 200, "n_items": 60, "n_days": 40, "signals": signals}))
    block = world.block(0)
    assert likely_personas(world, block, np.arange(200, dtype=np.int32), 0.0).tolist() == block.scene.customers.personas.tolist()


def test_a_mention_is_found_only_with_its_polarity() -> None:
    true, found = np.array([1, 1, -1, 0, 0]), np.array([1, -1, 0, 1, 0])
    assert mentions_f1(true, found) == pytest.approx(2 * 1 / (3 + 3))
    assert math.isnan(mentions_f1(true * 0, found))


def test_the_table_holds_every_figure_and_fits_a_file() -> None:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as printed:
        console.print(score_table([row()]))
    for cell in ("segments", "adjusted Rand index", "0.500", "0.400 to 0.600", "0.200", "0.800", "50%", "1,200"):
        assert cell in printed.get()
    assert "best: all" in score_notes([row()])[0]


def test_what_is_unknown_is_a_dash_for_people_and_null_for_machines() -> None:
    unknown = Score("price", "Spearman", math.nan, math.nan, math.nan, 0.0, math.nan, 0, "nothing to measure")
    assert "| price | Spearman | - | - | 0.000 | - | - | 0 |" in scores_to_markdown([unknown])
    (told,) = json.loads(scores_to_json([unknown]))
    assert told["found"] is told["recovered"] is told["best"] is None
    assert told["chance"] == 0

"""The oracle: probabilities that come true, nobody ranks better, and nothing of the future in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.oracle import Oracle
from recsys.synthetic.world import Block, World
from recsys.types import Flags, Floats, Ints

DAY, HORIZON = 168.0, 28.0


@dataclass(frozen=True)
class Scenario:
    """A world at DAY: what the oracle says of the customers known then, and what they bought before and after.

    known: rows of the block; probabilities: (m, n_items); before: fading counts of purchases, (m, n_items)
    bought: within the horizon, bool (m, n_items); spent: within the horizon; since: days since the last purchase; (m,)
    """

    world: World
    block: Block
    known: Ints
    probabilities: Floats
    before: NDArray[np.float64]
    bought: Flags
    spent: NDArray[np.float64]
    since: NDArray[np.float64]

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.world, self.block, DAY, HORIZON)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """1,500 customers, 300 items, 224 days; many leave, so that it shows, and none buys as much as all the others."""
    signals = Signals(value=0.4)
    behaviour = Behaviour(visits_per_month=2, missions_per_visit=6, needs=6, loyalty=0.7, churn_per_year=1)
    config = WorldConfig(n_customers=1500, n_items=300, n_days=224, texts=False, signals=signals, behaviour=behaviour)
    world = World.build(config)
    block = world.block(0)
    lines, days = block.purchases, block.scene.visits.days[block.purchases.visits]
    owners = block.scene.visits.owners[lines.visits]
    past, ahead = days < DAY, (days >= DAY) & (days < DAY + HORIZON)
    known = np.unique(owners[past]).astype(np.int32)
    before, bought = np.zeros((1500, 300)), np.zeros((1500, 300), np.bool_)
    np.add.at(before, (owners[past], lines.items[past]), np.exp2(-(DAY - days[past]) / 90))
    bought[owners[ahead], lines.items[ahead]] = True
    money = np.bincount(owners[ahead], (block.lines.prices * block.lines.quantities)[ahead], 1500)
    last = np.zeros(1500)
    np.maximum.at(last, owners[past], days[past])
    likely = Oracle(world, block, DAY, HORIZON).purchase_probabilities(known)
    return Scenario(world, block, known, likely, before[known], bought[known], money[known], DAY - last[known])


def ndcg(scores: NDArray[np.floating], relevant: Flags, k: int = 10) -> float:
    """Mean NDCG@k of the rows with something relevant."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    gained = (np.take_along_axis(relevant, top, axis=1) * discounts).sum(axis=1)
    n = np.minimum(relevant.sum(axis=1), k)
    best = np.cumsum(discounts)[np.maximum(n, 1) - 1]
    return float((gained / best)[n > 0].mean())


def test_probabilities_come_true(scenario: Scenario) -> None:
    likely, bought = scenario.probabilities, scenario.bought
    assert likely.min() >= 0
    assert likely.max() <= 1
    assert likely.sum(dtype=np.float64) == pytest.approx(bought.sum(), rel=0.08)
    edges = np.quantile(likely, [0, 0.5, 0.8, 0.9, 0.95, 0.98, 1])
    for low, high in pairwise(edges[1:]):
        here = (likely > low) & (likely <= high)
        noise = 4 * np.sqrt(likely[here].sum(dtype=np.float64))  # purchases of a customer come together
        assert abs(likely[here].sum(dtype=np.float64) - bought[here].sum()) < noise + 0.08 * bought[here].sum()


def test_what_lasts_and_is_owned_is_not_bought_again(scenario: Scenario) -> None:
    owned = (scenario.before > 0) & scenario.world.model.items.is_durable
    assert owned.sum() > 1000
    assert not scenario.probabilities[owned].any()


def test_what_is_not_launched_within_the_horizon_is_not_bought(scenario: Scenario) -> None:
    later = scenario.world.model.items.launch_day >= DAY + HORIZON
    assert later.any()
    assert scenario.probabilities[:, later].max() < 1e-5


def test_nobody_ranks_better_than_the_oracle(scenario: Scenario) -> None:
    popularity = np.broadcast_to(scenario.before.sum(axis=0), scenario.before.shape)
    best = ndcg(scenario.probabilities, scenario.bought)
    assert best > ndcg(scenario.before, scenario.bought) + 0.05
    assert best > ndcg(popularity, scenario.bought) + 0.2


def test_nobody_finds_new_items_better_than_the_oracle(scenario: Scenario) -> None:
    new = scenario.before == 0
    popularity = np.broadcast_to(scenario.before.sum(axis=0), scenario.before.shape)
    best = ndcg(np.where(new, scenario.probabilities, -1), scenario.bought & new)
    assert best > ndcg(np.where(new, popularity, -1), scenario.bought & new) + 0.05


def test_no_purchase_comes_true_and_is_foreseen_better_than_by_recency(scenario: Scenario) -> None:
    silent, foreseen = ~scenario.bought.any(axis=1), scenario.oracle.no_purchase(scenario.known)
    assert foreseen.min() >= 0
    assert foreseen.max() <= 1
    assert foreseen.mean() == pytest.approx(silent.mean(), abs=0.025)
    for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1)):
        here = (foreseen >= low) & (foreseen <= high)
        assert here.sum() > 50
        assert foreseen[here].mean() == pytest.approx(silent[here].mean(), abs=0.08)
    assert roc_auc_score(silent, foreseen) > roc_auc_score(silent, scenario.since)


def test_expected_spend_comes_true(scenario: Scenario) -> None:
    expected = scenario.oracle.expected_spend(scenario.known)
    assert expected.min() >= 0
    assert expected.sum() == pytest.approx(scenario.spent.sum(), rel=0.15)
    assert spearmanr(expected, scenario.spent).statistic > 0.5


def test_an_answer_does_not_depend_on_who_else_is_asked_about(scenario: Scenario) -> None:
    few = scenario.known[[40, 7, 300]]
    rows = [40, 7, 300]
    np.testing.assert_allclose(scenario.oracle.purchase_probabilities(few), scenario.probabilities[rows], rtol=1e-4, atol=1e-7)
    all_spend, all_silent = scenario.oracle.expected_spend(scenario.known), scenario.oracle.no_purchase(scenario.known)
    np.testing.assert_allclose(scenario.oracle.expected_spend(few), all_spend[rows], rtol=1e-4)
    np.testing.assert_allclose(scenario.oracle.no_purchase(few), all_silent[rows], rtol=1e-6)


def test_causes_are_the_chief_part_of_the_likelihood(scenario: Scenario) -> None:
    some = scenario.known[:100]
    causes, expected = scenario.oracle.causes(some), scenario.oracle.expected(some)
    by_need = -np.log1p(-np.minimum(expected.needed, 0.999)) > expected.total / 2
    assert ((causes == "bought_before") == by_need).all()
    assert {"bought_before", "persona", "taste", "popular"} <= set(np.unique(causes))


def test_nothing_is_put_down_to_a_persona_where_personas_do_not_matter(scenario: Scenario) -> None:
    null = World.build(scenario.world.config.model_copy(update={"n_customers": 60}).null())
    causes = Oracle(null, null.block(0), DAY, HORIZON).causes(np.arange(60, dtype=np.int32))
    assert {"taste", "popular"} <= set(np.unique(causes)) <= {"bought_before", "bought_together", "taste", "popular"}


def until(block: Block, day: float) -> Block:
    """The block as if nothing had happened from a day on, and as if nobody knew when customers leave."""
    visits, missions = block.scene.visits, block.missions
    stays = visits.days < day
    number = np.cumsum(stays) - 1
    kept, lines = stays[missions.visits], stays[block.purchases.visits]
    shown, written = stays[block.shown.visits], block.messages.days < day
    past = block.dues.days < day

    def take(value: object, rows: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
        return {name: column[rows] for name, column in vars(value).items()}

    customers = replace(block.scene.customers, churn=np.full(len(block.scene.customers), np.inf))
    scene = replace(block.scene, customers=customers, visits=replace(visits, **take(visits, stays)))
    fewer = replace(missions, **take(missions, kept))
    bought = replace(block.purchases, **take(block.purchases, lines))
    mission = np.append(np.cumsum(kept) - 1, -1)  # -1 stays: from a list
    logged = replace(block.shown, **take(block.shown, shown))
    return replace(
        block,
        scene=scene,
        dues=replace(block.dues, **take(block.dues, past)),
        missions=replace(fewer, visits=number[fewer.visits]),
        picks=replace(block.picks, **take(block.picks, kept)),
        last_met=block.last_met[kept],
        shown=replace(logged, visits=number[logged.visits]),
        purchases=replace(bought, visits=number[bought.visits], missions=mission[bought.missions]),
        lines=replace(block.lines, **take(block.lines, lines)),
        reviews=replace(block.reviews, **take(block.reviews, np.zeros(len(block.reviews), np.bool_))),
        messages=replace(block.messages, **take(block.messages, written)),
        is_guest=block.is_guest[stays],
    )


def test_nothing_that_happens_later_changes_what_the_oracle_says(scenario: Scenario) -> None:
    blind = Oracle(scenario.world, until(scenario.block, DAY), DAY, HORIZON)
    assert len(blind.block.scene.visits) < 0.95 * len(scenario.block.scene.visits)
    np.testing.assert_array_equal(blind.purchase_probabilities(scenario.known), scenario.probabilities)
    np.testing.assert_array_equal(blind.expected_spend(scenario.known), scenario.oracle.expected_spend(scenario.known))
    np.testing.assert_array_equal(blind.no_purchase(scenario.known), scenario.oracle.no_purchase(scenario.known))
    np.testing.assert_array_equal(blind.causes(scenario.known[:50]), scenario.oracle.causes(scenario.known[:50]))

"""Planted customers who answer lists: the truth in closed form, common luck, and memory."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from recsys.synthetic.choice import ABANDONED, DUE
from recsys.synthetic.oracle import PIECES
from recsys.synthetic.shopper import Answers, Shoppers, Visit, simulate, simulate_best
from recsys.synthetic.visits import NEED
from recsys.synthetic.world import Block, World
from recsys.types import aware

K = 6


def period(world: World, first: float, last: float) -> tuple[np.datetime64, np.datetime64]:
    times = world.model.calendar.times(np.array([first, last]))
    return times[0], times[1]


@pytest.fixture(scope="module")
def shoppers(world: World) -> Shoppers:
    """The last five weeks of everybody who comes in them."""
    return Shoppers.of(world, *period(world, 85, 120), 400)


@pytest.fixture(scope="module")
def popular(world: World, block: Block) -> tuple[str, ...]:
    past = block.scene.visits.days[block.purchases.visits] < 85
    counts = np.bincount(block.purchases.items[past], minlength=len(world.model.items))
    return tuple(f"i{item}" for item in np.argsort(-counts, kind="stable")[:K])


def every(shoppers: Shoppers) -> NDArray[np.intp]:
    return np.arange(len(shoppers.visits))


def random_lists(shoppers: Shoppers, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[f"i{item}" for item in rng.choice(len(shoppers.item_ids), K, replace=False)] for _ in shoppers.visits]


def bought(visit: NDArray[np.intp], item: int, shoppers: Shoppers) -> Answers:
    """Answers that buy one item at each of some visits."""
    yes = np.ones(len(visit), np.bool_)
    return Answers(np.full(len(visit), item, np.int32), yes, yes, yes.astype(float), yes.astype(float))


def test_visits_are_those_of_the_world_in_time_and_guests_hide_who_they_are(shoppers: Shoppers, world: World, block: Block) -> None:
    start, end = (aware(time) for time in period(world, 85, 120))
    days = block.scene.visits.days
    assert len(shoppers.visits) == ((days >= 85) & (days < 120)).sum()
    times = [visit.time for visit in shoppers.visits]
    assert times == sorted(times)
    assert start <= times[0] < times[-1] < end
    numbers = world.visit_numbers(0, shoppers.coming.rows)
    for visit, row, number, customer in zip(shoppers.visits, shoppers.coming.rows, numbers, shoppers.customer_ids, strict=True):
        assert customer == f"c{block.scene.visits.owners[row]}"
        assert (visit.customer_id, visit.visitor_id) == ((None, f"v0-{number}") if block.is_guest[row] else (customer, None))


def test_logged_lists_are_answered_as_the_world_itself_did(shoppers: Shoppers, block: Block) -> None:
    row_of = {int(visit): row for row, visit in enumerate(block.shown.visits)}
    numbers = np.array([number for number, visit in enumerate(shoppers.coming.rows) if int(visit) in row_of])
    rows = [row_of[int(visit)] for visit in shoppers.coming.rows[numbers]]
    expected = shoppers.expected(numbers, [[f"i{item}" for item in block.shown.items[row]] for row in rows])
    np.testing.assert_allclose(expected.views, block.shown.probabilities[rows].sum(axis=1), atol=1e-6)
    would_sell = (block.shown.probabilities * block.shown.buying)[rows].sum(axis=1)
    same = np.isclose(expected.purchases, would_sell, atol=1e-6)
    assert same.mean() > 0.98
    assert (expected.purchases >= would_sell - 1e-6).all()  # what the world's own lists of the period sold was not sold here


def test_what_is_expected_is_the_mean_over_luck(shoppers: Shoppers) -> None:
    lists, n = random_lists(shoppers, 0), 150
    expected = shoppers.expected(every(shoppers), lists)
    seen = [shoppers.redrawn(seed).answer(every(shoppers), lists) for seed in range(n)]
    realised = {
        "views": np.mean([answers.viewed >= 0 for answers in seen], axis=0),
        "carts": np.mean([answers.carted for answers in seen], axis=0),
        "purchases": np.mean([answers.bought for answers in seen], axis=0),
    }
    for name, frequency in realised.items():
        truth = getattr(expected, name)
        error = (frequency - truth) / np.sqrt(truth * (1 - truth) / n + 1e-9)
        assert abs(error.mean()) < 4 / math.sqrt(len(error))  # no bias
        assert 0.85 < error.std() < 1.15  # visit by visit, not only on average
    revenue = np.array([answers.revenue for answers in seen])
    spread = revenue.sum(axis=1).std() / math.sqrt(n)
    assert abs(revenue.sum(axis=1).mean() - expected.revenue.sum()) < 4 * spread


def test_a_list_of_one_item_by_hand(shoppers: Shoppers, world: World) -> None:
    items, number = world.model.items, np.array([3])
    item = int(np.argmax(items.appeal * ~items.is_durable * (items.launch_day < 0)))
    expected = shoppers.expected(number, [[f"i{item}"]])
    bought = float(expected.purchases[0] / expected.views[0])
    depth = world.model.calendar.depth[world.model.calendar.weeks(shoppers.coming.scene.visits.days[number])[0], item]
    price = round(float(items.prices[item]) * (1 - float(depth)), 2)
    assert 0 < bought < 1
    assert expected.carts[0] == pytest.approx(expected.views[0] * (bought + (1 - bought) * ABANDONED))
    assert expected.revenue[0] == pytest.approx(expected.purchases[0] * price * PIECES, rel=1e-6)


def test_whatever_a_list_holds_a_visit_has_the_same_luck(shoppers: Shoppers, popular: Sequence[str]) -> None:
    lists = random_lists(shoppers, 1)
    longer = [[*ids, f"i{next(i for i in range(K + 1) if f'i{i}' not in ids)}"] for ids in lists]
    short, long = (shoppers.answer(every(shoppers), which) for which in (lists, longer))
    assert ((short.viewed >= 0) <= (long.viewed >= 0)).all()  # one item more never makes a customer look at nothing
    one = shoppers.answer(every(shoppers)[::-1], lists[::-1])
    assert np.array_equal(one.viewed[::-1], short.viewed)  # nor does it matter with whom a visit is asked about


def test_luck_does_not_depend_on_the_period_or_on_who_else_comes(shoppers: Shoppers, world: World) -> None:
    fewer = Shoppers.of(world, *period(world, 100, 110), 50)
    at = {visit.request_id: row for row, visit in enumerate(shoppers.visits)}
    rows = [at[visit.request_id] for visit in fewer.visits]
    assert len(set(fewer.customer_ids)) == 50
    assert np.array_equal(fewer.luck, shoppers.luck[rows])
    assert [shoppers.visits[row] for row in rows] == list(fewer.visits)
    assert [shoppers.personas[row] for row in rows] == list(fewer.personas)


def test_equal_seeds_give_equal_outcomes_and_others_do_not(shoppers: Shoppers, world: World, popular: Sequence[str]) -> None:
    again = Shoppers.of(world, *period(world, 85, 120), 400)
    one, two, other = (simulate(who, lambda _: popular, K) for who in (shoppers, again, shoppers.redrawn(1)))
    assert np.array_equal(one.answers.viewed, two.answers.viewed)
    assert np.array_equal(one.answers.revenue, two.answers.revenue)
    assert not np.array_equal(one.answers.viewed, other.answers.viewed)


def test_the_best_lists_beat_popularity_which_beats_chance(shoppers: Shoppers, popular: Sequence[str]) -> None:
    drawn = dict(zip((visit.request_id for visit in shoppers.visits), random_lists(shoppers, 2), strict=True))
    best = simulate_best(shoppers, K)
    popular_one, random_one = simulate(shoppers, lambda _: popular, K), simulate(shoppers, lambda visit: drawn[visit.request_id], K)
    means = [outcome.expected.purchases.mean() for outcome in (best, popular_one, random_one)]
    assert means[0] > 1.1 * means[1] > 1.2 * means[2]
    assert max(len(ids) for ids in best.lists) == K


def test_no_other_list_of_its_length_sells_more_than_the_best_by_much(shoppers: Shoppers) -> None:
    numbers = every(shoppers)[:40]
    best = shoppers.expected(numbers, shoppers.best_lists(numbers, 1)).purchases
    alone = [shoppers.expected(numbers, [[id_]] * len(numbers)).purchases for id_ in shoppers.item_ids]
    np.testing.assert_allclose(best, np.max(alone, axis=0), rtol=1e-4)  # of one place greedy is exact
    assert (shoppers.expected(numbers, shoppers.best_lists(numbers, 4)).purchases >= best - 1e-6).all()


def test_a_durable_item_bought_from_a_list_or_a_page_is_not_bought_again(shoppers: Shoppers, world: World, block: Block) -> None:
    item = int(np.flatnonzero(world.model.items.is_durable & (world.model.items.launch_day < 0))[0])
    owners = shoppers.coming.scene.visits.owners
    has = np.isin(shoppers.coming.numbers[owners], block.scene.visits.owners[block.purchases.visits[block.purchases.items == item]])
    visit = every(shoppers)[~has][:1]
    mine = every(shoppers)[owners == owners[visit]]
    memory = shoppers.remember(visit, bought(visit, item, shoppers), shoppers.nothing_bought)
    lists = [[f"i{item}"]] * len(mine)
    assert (shoppers.expected(mine, lists).purchases > 0).all()
    after = shoppers.expected(mine, lists, memory)
    assert (after.purchases == 0).all()
    assert (after.views > 0).all()
    assert not shoppers.answer(mine, lists, memory).bought.any()

    owned = shoppers.coming.owned
    page = int(np.flatnonzero(owned.days < 85)[0])
    theirs = every(shoppers)[owners == owned.owners[page]]
    assert (shoppers.expected(theirs, [[f"i{owned.items[page]}"]] * len(theirs)).purchases == 0).all()


def test_what_met_a_need_from_a_list_is_looked_for_when_it_is_due_again(shoppers: Shoppers, world: World) -> None:
    missions, types = shoppers.coming.missions, world.model.items.true.types
    due = np.flatnonzero((missions.causes == NEED) & (shoppers.coming.last_met >= 0))
    needs, counts = np.unique(missions.needs[due], return_counts=True)
    first, second = due[missions.needs[due] == needs[counts.argmax()]][:2]
    usual = shoppers.coming.last_met[second]
    other = int(next(i for i in np.flatnonzero(types == missions.types[first]) if i != usual and world.model.items.launch_day[i] < 0))
    visit, later = missions.visits[[first]], missions.visits[[second]]
    memory = shoppers.remember(visit, bought(visit, other, shoppers), shoppers.nothing_bought)
    before, after = (shoppers.expected(later, [[f"i{other}"]], which).views[0] for which in (None, memory))
    assert after / (1 - after) == pytest.approx(math.exp(DUE) * before / (1 - before), rel=1e-3)  # DUE goes to the new item
    assert shoppers.expected(later, [[f"i{usual}"]], memory).views < shoppers.expected(later, [[f"i{usual}"]]).views


def test_events_are_fed_before_the_same_customer_comes_again(shoppers: Shoppers, popular: Sequence[str]) -> None:
    fed: list[pa.Table] = []
    asked: list[tuple[Visit, int]] = []

    def recommend(visit: Visit) -> Sequence[str]:
        asked.append((visit, sum(len(table) for table in fed)))
        return popular

    outcomes = simulate(shoppers, recommend, K, feed=fed.append)
    events = pa.concat_tables(fed)
    counts = {name: events["event"].to_pylist().count(name) for name in ("view", "cart", "purchase")}
    answers = outcomes.answers
    assert counts == {"view": (answers.viewed >= 0).sum(), "cart": answers.carted.sum(), "purchase": answers.bought.sum()}
    assert sum(filter(None, events["value"].to_pylist())) == pytest.approx(answers.revenue.sum())
    assert len(set(events["event_id"].to_pylist())) == len(events)
    assert [visit for visit, _ in asked] == list(shoppers.visits)
    told_at = {id_: at for at, id_ in reversed(list(enumerate(events["session_id"].to_pylist())))}
    last: dict[str, str] = {}
    for (visit, n_fed), customer in zip(asked, shoppers.customer_ids, strict=True):
        assert told_at.get(last.get(customer, ""), -1) < n_fed
        last[customer] = visit.request_id
    times = dict(zip(events["session_id"].to_pylist(), events["event_time"].to_pylist(), strict=True))
    assert all(dt.timedelta(0) < times[v.request_id] - v.time < dt.timedelta(minutes=1) for v in shoppers.visits if v.request_id in times)


def test_empty_and_shorter_lists_are_answered(shoppers: Shoppers) -> None:
    expected = shoppers.expected(np.array([0, 1]), [[], ["i0"]])
    assert expected.views[0] == expected.revenue[0] == 0
    assert expected.views[1] > 0
    outcomes = simulate(shoppers, lambda _: (), K)
    assert not (outcomes.answers.viewed >= 0).any()
    assert outcomes.expected.purchases.sum() == 0


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["i0", "i9999"], "'i9999', which this world lacks"),
        (["i1", "i2", "i1"], "repeats an item"),
        ([f"i{i}" for i in range(K + 1)], "only 6"),
    ],
)
def test_wrong_lists_are_refused_by_visit_and_item(shoppers: Shoppers, ids: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=f"{shoppers.visits[0].request_id} .*{problem}"):
        simulate(shoppers, lambda _: ids, K)


@pytest.mark.parametrize(("first", "last", "n", "problem"), [(100, 130, 9, "120 days"), (50, 50, 9, "within"), (50, 60, 0, "n_customers")])
def test_impossible_periods_are_refused(world: World, first: float, last: float, n: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Shoppers.of(world, *period(world, first, last), n)


def test_customers_of_several_blocks_come_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4,096 would be slow here: the same block twice, under two numbers, has to come twice as often."""
    whole = World.block

    def twice(self: World, number: int) -> Block:
        block = whole(self, 0)
        customers = replace(block.scene.customers, first=400 * number)
        return replace(block, number=number, scene=replace(block.scene, customers=customers))

    monkeypatch.setattr(World, "block", twice)
    monkeypatch.setattr(World, "n_blocks", property(lambda _: 2))
    both = Shoppers.of(world, *period(world, 85, 120), 10_000)
    parts = [every(both)[both.coming.blocks == number] for number in (0, 1)]
    assert len(parts[0]) == len(parts[1]) > 0
    lists = random_lists(both, 3)
    lists_of = [[lists[at] for at in range(len(part))] for part in parts]
    first, second = (both.expected(part, ids) for part, ids in zip(parts, lists_of, strict=True))
    np.testing.assert_allclose(first.purchases, second.purchases, rtol=1e-5)
    assert {int(both.customer_ids[at][1:]) >= 400 for at in parts[1]} == {True}
    assert len(set(both.customer_ids)) == 2 * len({both.customer_ids[at] for at in parts[0]})

"""What follows a purchase, and what customers write."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.synthetic.aftermath import LEAVING_DAYS
from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.messages import INTENTS
from recsys.synthetic.oracle import PIECES
from recsys.synthetic.world import Block, World


def made(signals: Signals | None = None, n_customers: int = 600, **behaviour: float) -> Block:
    """The first block of a world of 120 items and 200 days."""
    config = WorldConfig(
        n_customers=n_customers,
        n_items=120,
        n_days=200,
        signals=signals or Signals(),
        behaviour=Behaviour(**{"visits_per_month": 3, "missions_per_visit": 5} | behaviour),
    )
    return World.build(config).block(0)


def test_a_line_costs_the_price_less_the_cut_of_its_week(world: World, block: Block) -> None:
    items, calendar, lines = world.model.items, world.model.calendar, block.purchases
    cut = calendar.depth[calendar.weeks(block.scene.visits.days[lines.visits]), lines.items]
    assert (cut > 0).any()
    np.testing.assert_allclose(block.lines.prices, items.prices[lines.items] * (1 - cut), atol=0.006)


def test_what_lasts_is_bought_singly_and_the_rest_in_pieces(world: World, block: Block) -> None:
    lasting = world.model.items.is_durable[block.purchases.items]
    assert (block.lines.quantities[lasting] == 1).all()
    assert block.lines.quantities[~lasting].mean() == pytest.approx(PIECES, abs=0.03)
    assert (block.lines.quantities % 1 == 0).all()


def test_displeasing_lines_come_back_after_days(block: Block) -> None:
    back = np.isfinite(block.lines.returned)
    waited = block.lines.returned[back] - block.scene.visits.days[block.purchases.visits[back]]
    assert waited.min() >= 2
    assert waited.max() <= 14
    sad = block.lines.satisfaction < -1
    assert back[sad].mean() > 10 * back[~sad].mean() > 0


def test_true_reviews_say_what_the_line_was_like() -> None:
    block = made(reviews=1)
    reviews, pleased = block.reviews, block.lines.satisfaction[block.reviews.lines]
    assert reviews.is_true.all()
    assert np.corrcoef(reviews.stars, pleased)[0, 1] > 0.9
    assert (reviews.sentiment[pleased > 0.35] == 1).all()
    assert (reviews.sentiment[pleased < -0.45] == -1).all()
    told = reviews.aspects != 0
    opinions = block.lines.opinions[reviews.lines]
    assert (np.sign(opinions[told]) == reviews.aspects[told]).all()
    assert 0 < told.sum(axis=1).mean() < told.sum(axis=1).max() == 3


def test_reviews_are_written_in_their_share_after_the_purchase() -> None:
    block = made(reviews=0.1)
    days = block.reviews.days - block.scene.visits.days[block.purchases.visits[block.reviews.lines]]
    assert days.min() >= 3
    assert block.reviews.days.max() < 200
    assert len(block.reviews) / len(block.purchases) == pytest.approx(0.1, abs=0.015)  # some come after the last day
    assert len(made(reviews=0).reviews) == 0


def test_false_reviews_say_nothing_of_their_line() -> None:
    block = made(Signals(text=0), reviews=1)
    reviews, pleased = block.reviews, block.lines.satisfaction[block.reviews.lines]
    assert not reviews.is_true.any()
    assert not reviews.tells_need.any()
    for said in (reviews.stars, reviews.sentiment, reviews.aspects.sum(axis=1)):
        assert np.corrcoef(said, pleased)[0, 1] == pytest.approx(0, abs=4 / np.sqrt(len(reviews)))


def test_needs_are_told_as_far_as_personas_matter() -> None:
    def share(segment: float) -> float:
        return float(made(Signals(segment=segment), reviews=1).reviews.tells_need.mean())

    assert share(0) == 0
    assert share(1) == pytest.approx(0.35, abs=0.02)
    assert share(0.25) == pytest.approx(0.175, abs=0.02)


def left_soon(block: Block) -> tuple[float, float]:
    """Share of the writers that leave within LEAVING_DAYS: of messages that say so, and of all visits."""
    messages, visits, churn = block.messages, block.scene.visits, block.scene.customers.churn
    says_so = messages.intents == INTENTS.index("leave")
    by_message = churn[messages.owners[says_so]] - messages.days[says_so] < LEAVING_DAYS
    return float(by_message.mean()), float((churn[visits.owners] - visits.days < LEAVING_DAYS).mean())


def test_messages_tell_who_is_about_to_leave() -> None:
    says_so, usual = left_soon(made(n_customers=2000))
    assert says_so > 0.6 > 4 * usual


def test_false_messages_do_not_tell_who_is_about_to_leave() -> None:
    says_so, usual = left_soon(made(Signals(text=0), n_customers=4000, messages=0.2))
    assert says_so == pytest.approx(usual, abs=0.03)


def test_nobody_writes_before_arrival_or_after_leaving() -> None:
    block = made(messages=0)
    messages, customers = block.messages, block.scene.customers
    assert len(messages) > 10
    assert (messages.days > customers.arrival[messages.owners]).all()
    assert (messages.days < customers.churn[messages.owners]).all()
    assert (set(messages.intents)) == {INTENTS.index("leave")}


def test_where_texts_say_nothing_not_even_who_writes_one_tells_how_it_pleased() -> None:
    def strength(text: float) -> float:
        config = WorldConfig(n_customers=800, n_items=80, n_days=120, signals=Signals(text=text), behaviour=Behaviour(reviews=0.2))
        block = World.build(config).block(0)
        felt = np.abs(block.lines.satisfaction)
        return float(felt[block.reviews.lines].mean() / felt.mean())

    assert strength(1) > 1.1
    assert strength(0) == pytest.approx(1, abs=0.03)

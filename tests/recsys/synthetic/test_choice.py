"""The choice model: closed forms, and draws that follow them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from recsys.synthetic.choice import LEFT_PAGE, ChoiceModel, buying, choice_probabilities, race
from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.customers import Customers
from recsys.synthetic.world import World
from recsys.types import Floats, Ints

WEEK = np.zeros(2, np.intp)
BOTH = np.arange(2, dtype=np.int32)


def model(signals: Signals | None = None, **behaviour: float) -> ChoiceModel:
    """The model of a world of 120 items."""
    config = WorldConfig(n_customers=20, n_items=120, n_days=84, signals=signals or Signals(), behaviour=Behaviour(**behaviour))
    return World.build(config).model


def two(value: tuple[float, float] = (0, 0), sensitivity: tuple[float, float] = (1, 1)) -> Customers:
    """Two customers of the same taste."""
    made = World.build(WorldConfig(n_customers=20, n_items=120, n_days=84)).customers(0).take(np.zeros(2, np.intp))
    return replace(made, value=np.array(value, np.float32), sensitivity=np.array(sensitivity, np.float32))


def page_choice(model: ChoiceModel, customers: Customers, page: Ints) -> Floats:
    """Probability of each item of a page in the first week, for both customers."""
    wanting = model.wanting(customers, BOTH, WEEK, page)
    return choice_probabilities(model.page_weights(wanting, WEEK, page), np.full(1, model.outside[model.items.true.types[page[0]]]))


def dearness_chosen(model: ChoiceModel, customers: Customers) -> Floats:
    """Mean dearness of what both customers choose, over all pages."""
    chosen = np.zeros((2, len(model.items)), np.float32)
    for page in model.items.pages:
        chosen[:, page] = page_choice(model, customers, page)
    return np.asarray(chosen @ model.items.dearness / chosen.sum(axis=1))


def test_probabilities_by_hand() -> None:
    weights = np.array([[1, 2, 1], [0, 3, 0]], np.float32)
    found = choice_probabilities(weights, np.log(np.array([4, 1], np.float32)))
    np.testing.assert_allclose(found, [[1 / 8, 2 / 8, 1 / 8], [0, 3 / 4, 0]], rtol=1e-6)


def test_who_finishes_first_follows_the_logit_and_the_order_follows_plackett_luce() -> None:
    weights = np.array([0.5, 1.0, 2.0, 4.0], np.float32)
    outside = np.log(np.full(1, 2.5, np.float32))
    n = 40_000
    times, any_chosen = race(np.broadcast_to(weights, (n, 4)), outside, np.random.default_rng(1))
    order = np.argsort(times, axis=1)
    counts = [*np.bincount(order[any_chosen, 0], minlength=4), int((~any_chosen).sum())]
    assert stats.chisquare(counts, n * np.append(weights, 2.5) / 10).pvalue > 0.001
    share = weights.astype(np.float64) / weights.sum()
    pairs = np.bincount(order[:, 0] * 4 + order[:, 1], minlength=16).reshape(4, 4)
    expected = n * share[:, None] * share[None, :] / (1 - share[:, None])
    off = ~np.eye(4, dtype=bool)
    assert stats.chisquare(pairs[off], expected[off]).pvalue > 0.001


def test_a_customer_without_wishes_leaves_a_known_share_of_the_pages() -> None:
    plain = model(Signals(taste=0, price=0, tier=0), novelty=0, promoted=0, new_items=0)
    left = [1 - page_choice(plain, two(), page).sum(axis=1) for page in plain.items.pages]
    np.testing.assert_allclose(left, LEFT_PAGE, rtol=1e-4)


def test_an_item_down_the_page_weighs_its_position_to_the_minus_bias() -> None:
    biased, fair = model(position_bias=0.7), model(position_bias=0.0)
    page = biased.items.pages[0]
    nothing = np.zeros((2, len(page)), np.float32)
    ratio = biased.page_weights(nothing, WEEK, page) / fair.page_weights(nothing, WEEK, page)
    np.testing.assert_allclose(ratio[0], np.arange(1, len(page) + 1) ** -0.7, rtol=1e-5)
    lists = np.broadcast_to(page[:4], (2, 4))
    intent = np.zeros((2, 4), np.float32)
    ratio = biased.list_weights(intent, WEEK, lists, intent) / fair.list_weights(intent, WEEK, lists, intent)
    np.testing.assert_allclose(ratio[0], np.arange(1, 5) ** -0.7, rtol=1e-5)


def test_intent_multiplies_the_weight_of_a_listed_item() -> None:
    chosen = model()
    lists, nothing = np.broadcast_to(chosen.items.pages[0][:3], (2, 3)), np.zeros((2, 3), np.float32)
    intent = np.array([[0, 2, 4], [0, 0, 0]], np.float32)
    ratio = chosen.list_weights(nothing, WEEK, lists, intent) / chosen.list_weights(nothing, WEEK, lists, nothing)
    np.testing.assert_allclose(ratio, np.exp(intent), rtol=1e-5)


def test_what_is_new_is_chosen_more_and_what_is_not_launched_never() -> None:
    plain, keen = model(novelty=0.0, new_items=0.5), model(novelty=2.0, new_items=0.5)
    launched = plain.items.launch_day <= 0
    fresh = launched & (plain.items.launch_day > -60)
    page = next(page for page in plain.items.pages if fresh[page].any() and not launched[page].all())
    before, after = page_choice(plain, two(), page)[0], page_choice(keen, two(), page)[0]
    assert before[~launched[page]].sum() < 1e-9
    assert after[~launched[page]].sum() < 1e-9
    newest = int(np.argmax(np.where(launched[page], plain.items.launch_day[page], -np.inf)))
    assert after[newest] > before[newest]


def test_a_price_cut_of_a_quarter_is_worth_its_setting_times_the_sensitivity() -> None:
    cut = model(Signals(price=0, tier=0), promotion=1.5, promoted=1.0)
    none = model(Signals(price=0, tier=0), promotion=0.0, promoted=1.0)
    page, customers = cut.items.pages[0], two(sensitivity=(1, 2))
    gained = cut.wanting(customers, BOTH, WEEK, page) - none.wanting(customers, BOTH, WEEK, page)
    depth = cut.calendar.depth[0, page]
    np.testing.assert_allclose(gained, 1.5 * np.array([[1], [2]]) * depth / 0.25, rtol=1e-4)


def test_without_price_and_tier_what_is_wanted_does_not_depend_on_value_or_sensitivity() -> None:
    blind = model(Signals(price=0, tier=0), promoted=0.0)
    wanting = blind.wanting(two(value=(-2, 2), sensitivity=(0.3, 3)), BOTH, WEEK, np.arange(120, dtype=np.int32))
    np.testing.assert_array_equal(wanting[0], wanting[1])


def test_the_price_sensitive_choose_cheaper_and_the_valuable_dearer() -> None:
    by_price, by_tier = model(Signals(price=1, tier=0), promoted=0.0), model(Signals(price=0, tier=1), promoted=0.0)
    usual, sensitive = dearness_chosen(by_price, two(sensitivity=(1, 2)))
    assert sensitive < usual - 0.05
    poor, rich = dearness_chosen(by_tier, two(value=(-1, 1)))
    assert rich > poor + 0.2


def test_without_taste_all_want_the_same() -> None:
    config = WorldConfig(n_customers=20, n_items=120, n_days=84, signals=Signals(taste=0, price=0, tier=0))
    world = World.build(config.model_copy(update={"behaviour": Behaviour(promotion=0)}))
    customers = world.customers(0)
    assert not world.model.wanting(customers, np.arange(20, dtype=np.int32), np.zeros(20, np.intp), world.model.items.pages[0]).any()


def test_lists_and_pages_want_an_item_alike() -> None:
    one = model()
    page = one.items.pages[0]
    as_page = one.wanting(two(value=(0, 1)), BOTH, WEEK, page)
    as_lists = one.wanting(two(value=(0, 1)), BOTH, WEEK, np.stack([page, page]))
    np.testing.assert_allclose(as_page, as_lists, atol=1e-5)


def test_buying_rises_with_wanting() -> None:
    likely = buying(np.array([[-4, 0, 4]], np.float32))[0]
    np.testing.assert_allclose(np.diff(np.log(likely / (1 - likely))), 2, rtol=1e-4)


def test_the_strongest_settings_stay_finite() -> None:
    signals = Signals(taste=5, price=5, tier=5, segment=1, value=2)
    behaviour = Behaviour(promotion=5, popularity=3, novelty=5, new_items=0.9, position_bias=3)
    config = WorldConfig(n_customers=300, n_items=120, n_days=60, texts=False, signals=signals, behaviour=behaviour)
    block = World.build(config).block(0)
    assert len(block.purchases) > 0
    assert np.isfinite(block.shown.probabilities).all()

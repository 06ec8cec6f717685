"""The planted catalogue: what items are, and what their rows say they are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys.synthetic.catalogue import DIM, PlantedItems, make_catalogue
from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.lexicon import load_lexicon


def catalogue(n_items: int = 600, **signals: float) -> PlantedItems:
    """The items of a world with these signals."""
    config = WorldConfig(n_items=n_items, signals=Signals(**signals), behaviour=Behaviour(new_items=0.9))
    return make_catalogue(config, load_lexicon(), np.random.default_rng(5))[0]


def rows_by_facts(items: PlantedItems) -> dict[tuple[int, ...], list[int]]:
    """Numbers of the items that are the same in all that a row could tell."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number in range(len(items)):
        key = (int(items.true.types[number]), int(items.true.brands[number]), *items.true.attributes[number].tolist())
        found.setdefault(key, []).append(number)
    return found


def test_every_item_stands_on_one_page_at_its_position() -> None:
    items = catalogue()
    assert sorted(np.concatenate(items.pages).tolist()) == list(range(600))
    for kind, page in enumerate(items.pages):
        assert len(page) >= 6
        assert (items.true.types[page] == kind).all()
        assert items.positions[page].tolist() == list(range(1, len(page) + 1))


def test_no_page_is_empty_on_the_first_day() -> None:
    items = catalogue()
    assert all(items.launch_day[page[0]] < 0 for page in items.pages)
    assert 0.6 < (items.launch_day >= 0).mean() < 0.9


def test_a_small_catalogue_has_fewer_types_not_emptier_ones() -> None:
    items = catalogue(n_items=60)
    assert [len(page) for page in items.pages] == [6] * 10


def test_prices_end_in_nine_and_rise_with_dearness_inside_a_type() -> None:
    items = catalogue()
    cents = np.round(items.prices.astype(np.float64) * 100).astype(int)
    assert set(cents % 10) == {9}
    for page in items.pages:
        by_dearness = cents[page][np.argsort(items.dearness[page])]
        assert (np.diff(by_dearness) >= 0).all()


def test_latent_vectors_have_components_of_variance_one_in_dim() -> None:
    assert catalogue(2000, hidden=0.5).vectors.var() * DIM == pytest.approx(1, rel=0.1)


def test_with_nothing_hidden_equal_facts_mean_equal_vectors() -> None:
    told, part_hidden = catalogue(20_000, hidden=0), catalogue(20_000, hidden=0.3)
    twins = [rows for rows in rows_by_facts(told).values() if len(rows) > 1]
    assert len(twins) > 10
    assert all((told.vectors[rows] == told.vectors[rows[0]]).all() for rows in twins)
    apart = np.mean([((part_hidden.vectors[rows[0]] - part_hidden.vectors[rows[1]]) ** 2).sum() for rows in twins])
    assert apart == pytest.approx(2 * 0.3, rel=0.15)  # the hidden shares are independent


def test_true_texts_state_what_items_are() -> None:
    items = catalogue(text=1)
    for name in ("types", "brands", "attributes"):
        np.testing.assert_array_equal(getattr(items.written, name), getattr(items.true, name))


@pytest.mark.parametrize("text", [0.0, 0.5])
def test_false_texts_state_the_right_type_only_by_chance(text: float) -> None:
    items = catalogue(3000, text=text)
    shares = np.array(list(Counter(items.true.types.tolist()).values())) / 3000
    by_chance = (shares**2).sum()
    agree = (items.written.types == items.true.types).mean()
    assert agree == pytest.approx(text + (1 - text) * by_chance, abs=0.03)
    assert sorted(items.written.types) == sorted(items.true.types) if text == 0 else agree > 0.45


def test_a_false_row_is_false_in_itself_not_contradictory() -> None:
    lexicon = load_lexicon()
    words = [word for group in lexicon.attributes.values() for word in group.words]
    group_of = {word: name for name, group in lexicon.attributes.items() for word in group.words}
    items = catalogue(text=0)
    for kind, brand, values in zip(items.written.types, items.written.brands, items.written.attributes, strict=True):
        stated = lexicon.types[items.types.words[kind]]
        assert brand < len(lexicon.brands[stated.path[0]])
        assert [group_of[words[value]] for value in values if value >= 0] == list(stated.attributes[:4])


def test_what_texts_say_changes_nothing_of_what_items_are() -> None:
    false, true = catalogue(text=0), catalogue(text=1)
    for name in ("vectors", "appeal", "dearness", "prices", "launch_day", "positions"):
        np.testing.assert_array_equal(getattr(false, name), getattr(true, name))

"""Worlds and their blocks: equal for equal settings, each block alone as among the others."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from recsys.synthetic.config import WorldConfig
from recsys.synthetic.customers import BLOCK
from recsys.synthetic.tables import interactions_table, items_table
from recsys.synthetic.world import Block, World


def arrays_of(value: Any, name: str = "") -> dict[str, np.ndarray]:
    """All arrays in a tree of dataclasses, by their path; what all blocks share is left out."""
    if isinstance(value, np.ndarray):
        return {name: value}
    if not is_dataclass(value):
        return {}
    found: dict[str, np.ndarray] = {}
    for field in fields(value):
        if field.name != "model":
            found |= arrays_of(getattr(value, field.name), f"{name}.{field.name}")
    return found


def assert_equal(first: Block, second: Block) -> None:
    ours, theirs = arrays_of(first), arrays_of(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 40
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def large() -> World:
    """A world of two blocks, the second one of 84 customers."""
    return World.build(WorldConfig(n_customers=BLOCK + 84, n_items=60, n_days=28, texts=False))


def test_equal_settings_give_equal_worlds_and_another_seed_another(world: World, block: Block) -> None:
    again = World.build(world.config)
    assert_equal(block, again.block(0))
    for table in (items_table,):
        assert table(again).equals(table(world))
    assert interactions_table(again, again.block(0)).equals(interactions_table(world, block))
    other = World.build(world.config.model_copy(update={"seed": 2}))
    assert not items_table(other).equals(items_table(world))
    assert not np.array_equal(other.customers(0).tastes, world.customers(0).tastes)
    assert len(other.block(0).purchases) != len(block.purchases)


def test_a_block_made_alone_is_the_block_made_after_others(large: World) -> None:
    alone = World.build(large.config).block(1)
    large.block(0)
    assert_equal(alone, large.block(1))


def test_blocks_hold_the_customers_in_order(large: World) -> None:
    first, second = large.customers(0), large.customers(1)
    assert large.n_blocks == 2
    assert (first.first, len(first), second.first, len(second)) == (0, BLOCK, BLOCK, 84)
    assert not np.isin(second.tastes[:, 0], first.tastes[:, 0]).any()


def test_there_is_no_block_beyond_the_last(large: World) -> None:
    for number in (-1, 2):
        with pytest.raises(ValueError, match=f"no block {number}; this world has 2"):
            large.block(number)


def test_words_change_nothing_of_what_happens(world: World, block: Block) -> None:
    with_words = World.build(world.config.model_copy(update={"texts": True}))
    assert_equal(block, with_words.block(0))


def test_the_null_world_is_well_made(world: World) -> None:
    null = World.build(world.config.null())
    again = null.block(0)
    assert len(again.purchases) > 1000
    assert not again.reviews.is_true.any()
    assert not again.reviews.tells_need.any()

"""A planted world: all that is the same for everybody, and its customers and what they did, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.aftermath import Lines, Messages, Reviews, lines_of, messages_of, reviews_of
from recsys.synthetic.behaviour import Picks, Purchases, Scene, last_met, pick_all, purchases_of, without_repeats
from recsys.synthetic.calendar import make_calendar
from recsys.synthetic.catalogue import make_catalogue
from recsys.synthetic.choice import ChoiceModel
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.customers import BLOCK, Customers, Personas, make_customers, make_personas
from recsys.synthetic.lexicon import Lexicon, load_lexicon
from recsys.synthetic.shown import Shown, draw_shown
from recsys.synthetic.visits import Dues, Missions, draw_dues, draw_missions, draw_needs, draw_visits, type_utilities
from recsys.types import Flags, Ints

VERSION = 1
"""Raised whenever equal settings no longer give an equal world."""

_STREAMS = (
    *("catalogue", "calendar", "item words", "missing item words"),
    *("customers", "needs", "visits", "dues", "missions", "picks", "shown", "lines", "reviews", "messages", "guests"),
    *("review words", "message words", "missing review words", "helpful", "duplicates", "bots", "late", "visit numbers", "ties"),
)


@dataclass(frozen=True)
class Block:
    """A block of customers and all that they did.

    scene:     customers, visits, needs; dues: when needs fell due
    missions, picks, last_met: what they looked for, what came of it, and which item met the same need last time
    shown:     logged lists
    purchases: lines bought, by visit; lines: what became of them
    is_guest:  visits without a login
    """

    number: int
    scene: Scene
    dues: Dues
    missions: Missions
    picks: Picks
    last_met: Ints
    shown: Shown
    purchases: Purchases
    lines: Lines
    reviews: Reviews
    messages: Messages
    is_guest: Flags


@dataclass(frozen=True)
class World:
    """What is the same for all customers. `block` gives them; equal settings give equal worlds and blocks."""

    config: WorldConfig
    lexicon: Lexicon
    personas: Personas
    model: ChoiceModel

    @staticmethod
    def build(config: WorldConfig) -> World:
        """The world of some settings."""
        lexicon = load_lexicon()
        items, facts = make_catalogue(config, lexicon, _rng(config, "catalogue", 0))
        calendar = make_calendar(config, items, _rng(config, "calendar", 0))
        personas = make_personas(lexicon, items.types, facts)
        return World(config, lexicon, personas, ChoiceModel.of(items, calendar, config.signals, config.behaviour))

    @property
    def n_blocks(self) -> int:
        """Blocks of customers."""
        return -(-self.config.n_customers // BLOCK)

    def rng(self, stream: str, block: int) -> np.random.Generator:
        """The generator of one use in one block; uses do not disturb each other."""
        return _rng(self.config, stream, block)

    def visit_numbers(self, block: int, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        """What ids of visits are made of: another number for each row of a block, in an order that tells nothing.

        Rows stand by owner and day, so their own numbers would tell how often customers come later, and who guests are.
        The finaliser of MurmurHash3 (Appleby) maps 32 bits one to one.
        """
        number = rows.astype(np.uint32) + np.uint32(self.rng("visit numbers", block).integers(2**32))
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            number = (number ^ (number >> np.uint32(shift))) * np.uint32(factor)
        return number

    def customers(self, block: int) -> Customers:
        """The customers of a block."""
        self._require(block)
        first = block * BLOCK
        return make_customers(self.config, self.personas, first, min(BLOCK, self.config.n_customers - first), self.rng("customers", block))

    def block(self, number: int) -> Block:
        """A block of customers with all that they did.

        Raises:
            ValueError: there is no such block.
        """
        customers = self.customers(number)
        types, calendar = self.model.items.types, self.model.calendar
        utilities = type_utilities(customers, types, self.config.signals)
        needs = draw_needs(customers, types, utilities, self.config.behaviour, self.rng("needs", number))
        visits = draw_visits(customers, calendar, self.rng("visits", number))
        scene = Scene(self.model, customers, visits, needs)
        dues = draw_dues(customers, needs, calendar, self.rng("dues", number))
        looked_for = draw_missions(customers, visits, needs, dues, utilities, calendar, self.rng("missions", number))
        missions, picks = pick_all(scene, looked_for, self.rng("picks", number))
        before = last_met(missions, picks)
        by_pages = purchases_of(missions, picks)
        shown = draw_shown(scene, missions, before, by_pages, self.rng("shown", number))
        purchases = _all_purchases(scene, shown, by_pages)
        lines = lines_of(scene, purchases, self.rng("lines", number))
        return Block(
            number=number,
            scene=scene,
            dues=dues,
            missions=missions,
            picks=picks,
            last_met=before,
            shown=shown,
            purchases=purchases,
            lines=lines,
            reviews=reviews_of(scene, purchases, lines, self.rng("reviews", number)),
            messages=messages_of(scene, self.rng("messages", number)),
            is_guest=self.rng("guests", number).random(len(visits)) < self.config.mess.guests,
        )

    def _require(self, block: int) -> None:
        if not 0 <= block < self.n_blocks:
            raise ValueError(f"there is no block {block}; this world has {self.n_blocks}, numbered from 0")


def _all_purchases(scene: Scene, shown: Shown, by_missions: Purchases) -> Purchases:
    """Lines from lists and from missions, by visit; what the customer has already is not bought again."""
    from_lists = shown.purchases
    both = Purchases(*(np.concatenate(pair) for pair in zip(vars(from_lists).values(), vars(by_missions).values(), strict=True)))
    ordered = both.take(np.argsort(both.visits, kind="stable"))
    return ordered.take(without_repeats(ordered, scene.visits, scene.model.items.is_durable))


def _rng(config: WorldConfig, stream: str, block: int) -> np.random.Generator:
    return np.random.default_rng((config.seed, VERSION, _STREAMS.index(stream), block))

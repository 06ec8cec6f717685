"""The planted catalogue: what each item is, what its text says it is, and what everybody and each taste sees in it.

A fact (a type, a brand, an attribute value) has a vector; an item's latent vector is the mean of its facts' vectors and of something
hidden that no text could tell. Tastes live in the same space, so whoever reads the text knows something of who will like the item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.config import WorldConfig
from recsys.synthetic.lexicon import Lexicon
from recsys.types import Floats, Ints

DIM = 16
"""Width of tastes and latent vectors."""

NO_ATTRIBUTE = -1
MAX_ATTRIBUTES = 4
_MIN_ITEMS_PER_TYPE = 6
_DEARNESS_SD = 0.45
_TYPE_APPEAL_SD, _PRICE_APPEAL = 0.7, -0.25
"""Log appeal of types beside price, and per unit of log price and of `signals.price`: what is dear is looked for less often."""


@dataclass(frozen=True)
class Types:
    """The leaves of the category tree as parallel arrays of length n_types; words are in `Lexicon.types` at `words`.

    words:       rows of Lexicon.types; int32
    vectors:     float32 (n_types, DIM), components of variance 1 / DIM
    appeal:      log share of what an average customer looks for; float32
    cycle_days:  days between purchases of one customer who needs it; NaN = durable, bought once; float32
    season_peak: month of its season, 1 to 12; NaN = none; float32
    complement:  the type that a purchase leads on to; -1 = none; int32
    """

    words: Ints
    vectors: Floats
    appeal: Floats
    cycle_days: Floats
    season_peak: Floats
    complement: Ints

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Facts:
    """What items are, or what their rows say they are; parallel arrays of length n_items.

    types:      int32; brands: rows of the brands of the type's department, int32
    attributes: values' rows in `values_of` the lexicon, NO_ATTRIBUTE = none; int32 (n_items, MAX_ATTRIBUTES)
    """

    types: Ints
    brands: Ints
    attributes: Ints


@dataclass(frozen=True)
class PlantedItems:
    """The items as parallel arrays of length n_items.

    true, written: what they are and what their rows say
    vectors:    latent, components of variance 1 / DIM; float32 (n_items, DIM)
    appeal:     utility to everybody; quality: standard normal, seen in reviews and returns; float32
    dearness:   log price against the type's usual, standardised; prices: money; float32
    launch_day: days after the world's first, negative = before it; float32
    rating:     the shop's own guess of appeal, which orders its pages; float32
    positions:  place on the type's page, 1 is best; int32
    pages:      the items of each type, in page order
    """

    types: Types
    true: Facts
    written: Facts
    vectors: Floats
    appeal: Floats
    quality: Floats
    dearness: Floats
    prices: Floats
    launch_day: Floats
    rating: Floats
    positions: Ints
    pages: tuple[Ints, ...]

    def __len__(self) -> int:
        return len(self.prices)

    @property
    def is_durable(self) -> NDArray[np.bool_]:
        """Items that a customer buys once; (n_items,)."""
        return np.isnan(self.types.cycle_days)[self.true.types]


@dataclass(frozen=True)
class FactVectors:
    """Vectors of facts, components of variance 1 / DIM. values: (n_values, DIM); brands: per department, (n_brands, DIM)."""

    values: Floats
    brands: dict[str, Floats]


def values_of(lexicon: Lexicon) -> list[str]:
    """All attribute values by the number that `Facts.attributes` knows them by."""
    return [value for group in lexicon.attributes.values() for value in group.words]


def make_catalogue(config: WorldConfig, lexicon: Lexicon, rng: np.random.Generator) -> tuple[PlantedItems, FactVectors]:
    """The items of a world and the vectors of their facts."""
    types = _types(config, lexicon, rng)
    facts = FactVectors(_vectors(rng, len(values_of(lexicon))), {name: _vectors(rng, len(them)) for name, them in lexicon.brands.items()})
    true = _true_facts(config, lexicon, types, rng)
    n = config.n_items
    dearness = rng.standard_normal(n, np.float32)
    quality = rng.standard_normal(n, np.float32)
    appeal = (config.behaviour.popularity * (0.95 * rng.standard_normal(n) + 0.3 * quality)).astype(np.float32)
    base = np.array([lexicon.types[word].price for word in types.words])[true.types]
    cents = np.maximum(np.round(base * np.exp(_DEARNESS_SD * dearness) * 10) * 10 - 1, 9)  # prices end in nine
    rating = appeal + rng.standard_normal(n, np.float32)
    positions, pages = _pages(true.types, len(types), rating)
    is_new = (rng.random(n) < config.behaviour.new_items) & (positions > 1)  # no type is without any item on the first day
    launch = np.where(is_new, 7 * np.floor(rng.uniform(0, config.n_days, n) / 7), rng.uniform(-720, -30, n))  # the calendar knows weeks
    items = PlantedItems(
        types=types,
        true=true,
        written=_written_facts(config.signals.text, lexicon, types, true, rng),
        vectors=_item_vectors(config, lexicon, types, true, facts, rng),
        appeal=appeal,
        quality=quality,
        dearness=dearness,
        prices=(cents / 100).astype(np.float32),
        launch_day=launch.astype(np.float32),
        rating=rating,
        positions=positions,
        pages=pages,
    )
    return items, facts


def _types(config: WorldConfig, lexicon: Lexicon, rng: np.random.Generator) -> Types:
    """As many types as the catalogue can fill, spread over the departments."""
    n = min(len(lexicon.types), config.n_items // _MIN_ITEMS_PER_TYPE)
    words = np.sort(rng.permutation(len(lexicon.types))[:n]).astype(np.int32)
    chosen = [lexicon.types[word] for word in words]
    row_of = {kind.noun: row for row, kind in enumerate(chosen)}
    log_price = np.log([kind.price for kind in chosen])
    price_appeal = _PRICE_APPEAL * config.signals.price
    return Types(
        words=words,
        vectors=_vectors(rng, n),
        appeal=(_TYPE_APPEAL_SD * rng.standard_normal(n) + price_appeal * (log_price - log_price.mean())).astype(np.float32),
        cycle_days=np.array([kind.cycle_days or np.nan for kind in chosen], np.float32),
        season_peak=np.array([kind.season_peak or np.nan for kind in chosen], np.float32),
        complement=np.array([row_of.get(kind.complement or "", -1) for kind in chosen], np.int32),
    )


def _true_facts(config: WorldConfig, lexicon: Lexicon, types: Types, rng: np.random.Generator) -> Facts:
    """Every type has its least number of items, the rest go where more is looked for."""
    n_types = len(types)
    share = np.exp(types.appeal)
    rest = rng.choice(n_types, config.n_items - n_types * _MIN_ITEMS_PER_TYPE, p=share / share.sum())
    of_item = rng.permutation(np.concatenate([np.repeat(np.arange(n_types), _MIN_ITEMS_PER_TYPE), rest])).astype(np.int32)
    return _draw_facts(of_item, lexicon, types, rng)


def _draw_facts(of_item: Ints, lexicon: Lexicon, types: Types, rng: np.random.Generator) -> Facts:
    """A random brand and random attribute values for items of given types."""
    starts, total = {}, 0
    for name, group in lexicon.attributes.items():
        starts[name] = total
        total += len(group.words)
    brands = np.zeros(len(of_item), np.int32)
    attributes = np.full((len(of_item), MAX_ATTRIBUTES), NO_ATTRIBUTE, np.int32)
    for row, word in enumerate(types.words):
        kind, mine = lexicon.types[word], np.flatnonzero(of_item == row)
        brands[mine] = rng.integers(len(lexicon.brands[kind.path[0]]), size=len(mine))
        for column, name in enumerate(kind.attributes[:MAX_ATTRIBUTES]):
            attributes[mine, column] = starts[name] + rng.integers(len(lexicon.attributes[name].words), size=len(mine))
    return Facts(of_item, brands, attributes)


def _written_facts(truth: float, lexicon: Lexicon, types: Types, true: Facts, rng: np.random.Generator) -> Facts:
    """The facts that the rows state: each row is true as a whole with probability `truth`, else as if of another item."""
    is_true = rng.random(len(true.types)) < truth
    stated = np.where(is_true, true.types, rng.permutation(true.types)).astype(np.int32)
    drawn = _draw_facts(stated, lexicon, types, rng)
    return Facts(
        stated,
        np.where(is_true, true.brands, drawn.brands).astype(np.int32),
        np.where(is_true[:, None], true.attributes, drawn.attributes).astype(np.int32),
    )


def _item_vectors(config: WorldConfig, lexicon: Lexicon, types: Types, true: Facts, facts: FactVectors, rng: np.random.Generator) -> Floats:
    """What a taste meets in each item: its facts, in equal parts, and what is hidden."""
    departments = [lexicon.types[word].path[0] for word in types.words]
    brand = np.zeros((len(true.types), DIM), np.float32)
    for row, department in enumerate(departments):
        mine = true.types == row
        brand[mine] = facts.brands[department][true.brands[mine]]
    has_value = (true.attributes != NO_ATTRIBUTE)[:, :, None]
    values = np.where(has_value, facts.values[true.attributes], 0).sum(axis=1)
    told = (values + brand) / np.sqrt(1 + has_value.sum(axis=1))
    hidden = config.signals.hidden
    return np.asarray(np.sqrt(1 - hidden) * told + np.sqrt(hidden) * _vectors(rng, len(told)), np.float32)


def _pages(of_item: Ints, n_types: int, order_by: Floats) -> tuple[Ints, tuple[Ints, ...]]:
    """The shop's own order inside each type: nearly by appeal."""
    positions = np.empty(len(of_item), np.int32)
    pages = []
    for row in range(n_types):
        mine = np.flatnonzero(of_item == row)
        page = mine[np.argsort(-order_by[mine], kind="stable")].astype(np.int32)
        positions[page] = np.arange(1, len(page) + 1)
        pages.append(page)
    return positions, tuple(pages)


def _vectors(rng: np.random.Generator, n: int) -> Floats:
    return np.asarray(rng.standard_normal((n, DIM)) / np.sqrt(DIM), np.float32)

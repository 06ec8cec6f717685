"""Who the planted customers are. They come in blocks, each from a random stream of its own: any block can be made again alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.catalogue import DIM, FactVectors, Types, values_of
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.lexicon import Lexicon
from recsys.types import Floats, Ints

OWN_SENSITIVITY = 0.4
"""Log standard deviation of price sensitivity where it is all the customer's own."""

OWN_VISITS, OWN_CHURN = 0.6, 0.5
"""Log standard deviations that are a customer's own: of visits, at a spread of value of 1 and a value level that is known; of leaving."""

VALUE_IN_VISITS = 0.8
"""What one standard deviation of the value level adds to the logarithm of visits, at a spread of value of 1."""

BLOCK = 4096
"""Customers made at once; part of what a seed means."""


@dataclass(frozen=True)
class Personas:
    """The planted segments as parallel arrays of length n_personas; words are in `Lexicon.personas`.

    tastes:      components of unit variance, float32 (n_personas, DIM)
    sensitivity: log of the price sensitivity; visits, churn: log multipliers; float32
    """

    tastes: Floats
    sensitivity: Floats
    visits: Floats
    churn: Floats

    def __len__(self) -> int:
        return len(self.tastes)


@dataclass(frozen=True)
class Customers:
    """One block of customers as parallel arrays of length n; times in days after the world's first.

    first:       number of the first of them in the world
    personas:    int32; tastes: float32 (n, DIM), components of unit variance
    value:       value level, standard normal; sensitivity: to prices, 1 is usual; float32
    visits:      per day; missions: types looked for per visit on average; float32
    arrival, churn: days; float64
    churn_rate:  per day; float32
    is_chinese:  writes in Chinese; bool
    """

    first: int
    personas: Ints
    tastes: Floats
    value: Floats
    sensitivity: Floats
    visits: Floats
    missions: Floats
    arrival: NDArray[np.float64]
    churn: NDArray[np.float64]
    churn_rate: Floats
    is_chinese: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.personas)

    def take(self, rows: NDArray[np.intp]) -> Customers:
        """The given customers of this block; `first` keeps its meaning only for all of them."""
        return Customers(self.first, *(column[rows] for name, column in vars(self).items() if name != "first"))


def make_personas(lexicon: Lexicon, types: Types, facts: FactVectors) -> Personas:
    """Each likes what its words say: the types of its departments and some attribute values."""
    row_of = {value: row for row, value in enumerate(values_of(lexicon))}
    departments = [lexicon.types[word].path[0] for word in types.words]
    tastes = []
    for persona in lexicon.personas:
        liked = facts.values[[row_of[value] for value in persona.likes]].sum(axis=0)
        favoured = types.vectors[[row for row, name in enumerate(departments) if name in persona.departments]].sum(axis=0)
        tastes.append(_unit(liked) + _unit(favoured))
    logs = {name: _log([getattr(persona, name) for persona in lexicon.personas]) for name in ("price_sensitivity", "visits", "churn")}
    unit = np.stack([_unit(taste) for taste in tastes])
    return Personas((unit * np.sqrt(DIM)).astype(np.float32), logs["price_sensitivity"], logs["visits"], logs["churn"])


def make_customers(config: WorldConfig, personas: Personas, first: int, n: int, rng: np.random.Generator) -> Customers:
    """The customers first, first + 1, ..., first + n - 1 of a world.

    Taste and price sensitivity are sums of what the persona gives and what is the customer's own, in shares `signals.segment` and the
    rest of the variance; the persona's visit and churn rates count in the same measure. Where prices do not matter (`signals.price` 0)
    nobody is more sensitive to them than others.
    """
    shared, own = np.sqrt(config.signals.segment), np.sqrt(1 - config.signals.segment)
    of = rng.integers(len(personas), size=n).astype(np.int32)
    value = rng.standard_normal(n, np.float32)
    spread, days = config.signals.value, config.behaviour
    visits = np.log(days.visits_per_month / 30) + spread * (VALUE_IN_VISITS * value + OWN_VISITS * rng.standard_normal(n))
    visits += shared * personas.visits[of]
    missions = np.log(days.missions_per_visit) + spread * (0.4 * value + 0.3 * rng.standard_normal(n))
    churn_rate = days.churn_per_year / 365 * np.exp(shared * personas.churn[of] + OWN_CHURN * rng.standard_normal(n))
    sensitivity = shared * personas.sensitivity[of] + own * OWN_SENSITIVITY * rng.standard_normal(n)
    comes_later = rng.random(n) < days.newcomers
    arrival = np.where(comes_later, rng.uniform(0, 0.95 * config.n_days, n), rng.uniform(-365, 0, n))
    lifetime = rng.standard_exponential(n) / np.maximum(churn_rate, 1e-12)
    return Customers(
        first=first,
        personas=of,
        tastes=(shared * personas.tastes[of] + own * rng.standard_normal((n, DIM))).astype(np.float32),
        value=value,
        sensitivity=np.exp(sensitivity if config.signals.price > 0 else 0 * sensitivity).astype(np.float32),
        visits=np.exp(visits).astype(np.float32),
        missions=np.exp(missions).astype(np.float32),
        arrival=arrival,
        churn=np.maximum(arrival, 0) + lifetime,  # those of before the first day are still there on it
        churn_rate=churn_rate.astype(np.float32),
        is_chinese=rng.random(n) < days.chinese,
    )


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _log(values: list[float]) -> Floats:
    logs = np.log(np.array(values))
    return np.asarray(logs - logs.mean(), np.float32)

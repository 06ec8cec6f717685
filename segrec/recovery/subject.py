"""What is scored: a bundle trained on a planted world's shop, with all that is true of the customers whom it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.synthetic.catalogue import PlantedItems
from recsys.synthetic.oracle import Oracle
from recsys.synthetic.tables import customer_id
from recsys.synthetic.world import Block, World
from recsys.types import Flags, Floats, Ints
from segrec.planted import planted_numbers

Cell = TypeVar("Cell", bound=np.generic)

MAX_CUSTOMERS = 4000
"""At most so many are scored, the first ones of the world's first block: enough for narrow intervals."""

_CELLS = 2_000_000
"""Pairs of customer and item that the oracle looks at at once."""


@dataclass(frozen=True)
class Subject:
    """A bundle and the truth. Items are numbered as in the bundle, unless said otherwise.

    block:   the world's first
    oracle:  knows the true model, and what happened before the bundle's as_of
    as_of:   the cut: the bundle knows what was before, and is scored on what follows
    owners:  rows of the block of the scored customers, all of them with a profile; int32 (n,)
    numbers: their numbers in the bundle; int32 (n,)
    planted: the world's number of each item; int32 (n_items,)
    """

    world: World
    block: Block
    oracle: Oracle
    dataset: Dataset
    bundle: Bundle
    as_of: np.datetime64
    owners: Ints
    numbers: Ints
    planted: Ints

    @staticmethod
    def of(world: World, dataset: Dataset, bundle: Bundle) -> Subject:
        """A bundle beside what is true from its as_of on, for one evaluation period.

        Raises:
            DataError: the shop is not this world's, no customer of its first block is known, or the bundle has no as_of.
        """
        if bundle.as_of is None:
            raise DataError(f"bundle {bundle.version} is from a split by position and has no time to be scored at")
        block = world.block(0)
        ids = customer_id(block.scene.customers.first + np.arange(len(block.scene.customers))).to_pylist()
        known = [(row, number) for row, id_ in enumerate(ids) if (number := bundle.customers.number(id_)) is not None]
        rows, numbers = np.array(known, np.int32).reshape(-1, 2).T
        has_profile = np.flatnonzero(bundle.profiles.segment[numbers] >= 0)[:MAX_CUSTOMERS]
        if not len(has_profile):
            raise DataError(f"no customer of the planted world had bought anything before {bundle.as_of}; make a longer or larger one")
        oracle = Oracle(world, block, world.model.calendar.days(bundle.as_of), bundle.config.evaluation.period_days)
        return Subject(
            world, block, oracle, dataset, bundle, bundle.as_of, rows[has_profile], numbers[has_profile], planted_numbers(world, bundle)
        )

    @property
    def items(self) -> PlantedItems:
        """The true items, numbered by the world."""
        return self.world.model.items

    @property
    def end(self) -> np.datetime64:
        """End of what it is scored on."""
        return self.as_of + np.timedelta64(round(self.oracle.horizon_days * 86_400), "s")

    @cached_property
    def customer_ids(self) -> list[str]:
        """External ids of the scored customers."""
        return [self.bundle.customers.ids[number] for number in self.numbers]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each scored customer, by external id."""
        return {id_: row for row, id_ in enumerate(self.customer_ids)}

    @cached_property
    def spent(self) -> NDArray[np.float64]:
        """Money that each scored customer really spent in the horizon, known to the shop or as a guest; (n,)."""
        lines, rows = self.block.lines, self._bought_in_horizon
        money = (lines.prices * lines.quantities)[rows]
        owners = self.block.scene.visits.owners[self.block.purchases.visits[rows]]
        return np.bincount(owners, money, len(self.block.scene.customers))[self.owners].astype(np.float64)

    @cached_property
    def has_left(self) -> Flags:
        """Whether each scored customer bought nothing in the horizon; (n,)."""
        bought = self.block.scene.visits.owners[self.block.purchases.visits[self._bought_in_horizon]]
        return ~np.isin(self.owners, bought)

    @cached_property
    def expected_spend(self) -> NDArray[np.float64]:
        """Money that the true model expects of each scored customer; (n,)."""
        return np.concatenate([self.oracle.expected_spend(self.owners[rows]) for rows in self.batches()])

    def likely(self, rows: NDArray[np.intp]) -> Floats:
        """Probability by the true model that scored customers, by row, buy each item; float32 (m, n_items)."""
        return self.oracle.purchase_probabilities(self.owners[rows])[:, self.planted]

    def bought(self, rows: NDArray[np.intp]) -> Flags:
        """What the shop knows scored customers, by row, to have bought before the cut; bool (m, n_items)."""
        bought = np.zeros((len(rows), len(self.planted)), np.bool_)
        for at, row in enumerate(rows):
            bought[at, self.bundle.histories.of(int(self.numbers[row])).of_events(self.bundle.positive_events).items] = True
        return bought

    def batches(self) -> Iterator[NDArray[np.intp]]:
        """Rows of scored customers, as many at a time as the oracle should look at."""
        step = max(1, _CELLS // len(self.planted))
        return (np.arange(start, min(start + step, len(self.owners))) for start in range(0, len(self.owners), step))

    def by_batch(self, compute: Callable[[NDArray[np.intp]], NDArray[Cell]]) -> NDArray[Cell]:
        """What `compute` gives for the rows of each batch, one below the other."""
        return np.concatenate([compute(rows) for rows in self.batches()])

    @cached_property
    def _bought_in_horizon(self) -> NDArray[np.intp]:
        """Rows of the block's purchases."""
        days = self.block.scene.visits.days[self.block.purchases.visits]
        return np.flatnonzero((days >= self.oracle.day) & (days < self.oracle.day + self.oracle.horizon_days))

"""What the engine thinks of one customer of a planted world, beside what is true of them; and the list that follows, likewise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.table import Table
from rich.text import Text

from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.synthetic.customers import BLOCK
from recsys.synthetic.oracle import Expected, Oracle
from recsys.synthetic.tables import customer_id as id_of_customer
from recsys.synthetic.world import World
from recsys.synthetic.writing import SHOP
from recsys.types import Ints, Query, Recommendation, aware
from segmentation.profile import TIERS, CustomerProfile
from segrec.planted import open_world, planted_numbers, require_trained_on
from segrec.show import rows_of

N_LIKED = 4
TRUE_CAUSES = {
    "bought_before": "needs it again",
    "bought_together": "goes with what they buy",
    "persona": "their kind likes it",
    "taste": "their own taste",
    "popular": "everybody likes it",
}


@dataclass(frozen=True)
class OracleOfOne(Oracle):
    """The oracle that is asked of one customer alone, and works out once what all of its answers share. row: of the block"""

    row: int

    @property
    def owner(self) -> Ints:
        """The customer, as the oracle's questions want it; (1,)."""
        return np.array([self.row], np.int32)

    def expected(self, owners: Ints) -> Expected:
        """See `Oracle.expected`.

        Raises:
            ValueError: of anybody else.
        """
        if owners.tolist() != [self.row]:
            raise ValueError(f"this oracle is asked of row {self.row} alone, not of {owners.tolist()}")
        return self._expected

    @cached_property
    def _expected(self) -> Expected:
        return super().expected(self.owner)


@dataclass(frozen=True)
class Beside:
    """One customer's answer and the oracle that knows better. planted: the world's number of each item of `answer`"""

    oracle: OracleOfOne
    profile: CustomerProfile
    answer: Recommendation
    planted: Ints
    titles: dict[str, str]

    def who(self) -> Table:
        """The profile, line by line."""
        table = Table(title=Text(f"who is {self.profile.customer_id}?"), title_justify="left", box=box.SIMPLE_HEAD, expand=True)
        for heading in ("", "the engine thinks", "the truth"):
            table.add_column(heading, ratio=1 if not heading else 3)
        for line in self._lines():
            table.add_row(*map(Text, line))
        return table

    def shown(self) -> Table:
        """The list, with why the engine showed each item and how likely a purchase truly is."""
        table = Table(
            title=Text(f"the list, strategy {self.answer.trace.strategy}"), title_justify="left", box=box.SIMPLE_HEAD, expand=True
        )
        for heading, ratio in (("#", 1), ("item", 8), ("the engine's reasons", 7), ("the chief cause in truth", 5)):
            table.add_column(heading, ratio=ratio)
        days = self.oracle.horizon_days
        table.add_column(f"true chance in {days:g} days", justify="right", ratio=3)
        table.add_column("true rank", justify="right", ratio=2)
        chances = self.oracle.purchase_probabilities(self.oracle.owner)[0]
        causes = self.oracle.causes(self.oracle.owner)[0]
        ranks = np.empty(len(chances), np.int64)
        ranks[np.argsort(-chances, kind="stable")] = np.arange(1, len(chances) + 1)
        for rank, _, text, _, reasons, _ in rows_of(self.answer, self.titles):
            item = self.planted[rank - 1]
            truth = (TRUE_CAUSES[str(causes[item])], f"{chances[item]:.1%}", f"{ranks[item]:,}")
            table.add_row(str(rank), Text(text), Text("; ".join(reasons)), *truth)
        return table

    def _lines(self) -> list[tuple[str, str, str]]:
        world, customers, profile, row = self.oracle.world, self.oracle.block.scene.customers, self.profile, self.oracle.row
        persona = world.lexicon.personas[customers.personas[row]]
        spend, silent = self.oracle.expected_spend(self.oracle.owner)[0], self.oracle.no_purchase(self.oracle.owner)[0]
        days = f"{self.oracle.horizon_days:g} days"
        churn = customers.churn[row]
        stays = "stays beyond the history" if churn >= world.config.n_days else f"left, or leaves, on day {churn:.0f}"
        return [
            ("kind", f"segment {profile.segment}: {profile.segment_name}", f"{persona.name}: {persona.description}"),
            ("likes", "", ", ".join(persona.likes[:N_LIKED])),
            (f"spends in {days}", f"{profile.expected_value:.2f}, tier {profile.tier}", f"{spend:.2f} expected"),
            (f"buys nothing in {days}", f"{profile.churn_probability:.0%}", f"{silent:.0%}"),
            ("stage", profile.stage, f"came on day {customers.arrival[row]:.0f}, {stays}"),
            ("visits", "", f"{30 * customers.visits[row]:.1f} in 30 days while they stay"),
            ("price", "", f"{customers.sensitivity[row]:.1f} times as sensitive as is usual"),
        ]


def beside_truth(folder: Path, bundle: Bundle, customer_id: str | None, k: int) -> Beside:
    """A customer of the world in `folder` as `bundle` sees them at its time; None = the middle one of the highest tier.

    Raises:
        DataError: the folder holds no world, the bundle is not of its shop, ends where the world does, or knows nothing of the customer.
    """
    world = open_world(folder)
    as_of = require_trained_on(bundle, folder, Dataset.load(folder / SHOP))
    day = world.model.calendar.days(as_of)
    if day > world.config.n_days - 1:
        raise DataError(f"bundle {bundle.version} ends where the world does, so nothing is known of what follows; give its twin")
    name = _middle_customer(bundle) if customer_id is None else customer_id
    number, profile = _number(world, name), bundle.profile(name)
    if number is None or profile is None:
        raise DataError(f"bundle {bundle.version} knows nothing of customer {name!r}; one whom it knows is {_middle_customer(bundle)!r}")
    oracle = OracleOfOne(world, world.block(number // BLOCK), day, profile.horizon_days, number % BLOCK)
    answer = Engine(bundle).recommend(Query(k=k, time=aware(as_of), customer_id=name), Snapshot.of(bundle))
    items, titles = bundle.catalogue.items, dict(zip(bundle.catalogue.items.ids, bundle.catalogue.titles, strict=True))
    return Beside(oracle, profile, answer, planted_numbers(world, bundle)[items.numbers(answer.item_ids)], titles)


def _number(world: World, name: str) -> int | None:
    """The number of a customer in the world; None = there is no such customer."""
    names = id_of_customer(np.arange(world.config.n_customers, dtype=np.int32))
    number = int(pc.index(names, pa.scalar(name, names.type)).as_py())
    return None if number < 0 else number


def _middle_customer(bundle: Bundle) -> str:
    profiles = bundle.profiles
    rows = np.flatnonzero(profiles.tier == len(TIERS) - 1)
    by_value = rows[np.argsort(profiles.expected_value[rows], kind="stable")]
    return str(bundle.customers.ids[by_value[len(by_value) // 2]])

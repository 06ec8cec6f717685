"""What the engine thinks of one customer of a planted world, beside what is true of them; and the list that follows, likewise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.synthetic.customers import BLOCK
from recsys.synthetic.oracle import Oracle
from recsys.synthetic.truth import read_settings
from recsys.synthetic.world import World
from recsys.synthetic.writing import SHOP, TRUTH
from recsys.types import Query, Recommendation, aware
from segmentation.profile import TIERS, CustomerProfile
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
class Beside:
    """One customer's answer and the oracle that knows better. row: of the customer in the oracle's block."""

    oracle: Oracle
    row: int
    profile: CustomerProfile
    answer: Recommendation
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
        chances = self.oracle.purchase_probabilities(self._owner)[0]
        causes = self.oracle.causes(self._owner)[0]
        ranks = np.empty(len(chances), np.int64)
        ranks[np.argsort(-chances, kind="stable")] = np.arange(1, len(chances) + 1)
        for rank, _, text, _, reasons in rows_of(self.answer, self.titles):
            item = int(self.answer.items[rank - 1].item_id[1:])
            truth = (TRUE_CAUSES[str(causes[item])], f"{chances[item]:.1%}", f"{ranks[item]:,}")
            table.add_row(str(rank), Text(text), Text("; ".join(reasons)), *truth)
        return table

    @property
    def _owner(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.array([self.row], np.int32)

    def _lines(self) -> list[tuple[str, str, str]]:
        world, customers, profile = self.oracle.world, self.oracle.block.scene.customers, self.profile
        persona = world.lexicon.personas[customers.personas[self.row]]
        spend, silent = self.oracle.expected_spend(self._owner)[0], self.oracle.no_purchase(self._owner)[0]
        days = f"{self.oracle.horizon_days:g} days"
        churn = customers.churn[self.row]
        stays = "stays beyond the history" if churn >= world.config.n_days else f"left, or leaves, on day {churn:.0f}"
        return [
            ("kind", f"segment {profile.segment}: {profile.segment_name}", f"{persona.name}: {persona.description}"),
            ("likes", "", ", ".join(persona.likes[:N_LIKED])),
            (f"spends in {days}", f"{profile.expected_value:.2f}, tier {profile.tier}", f"{spend:.2f} expected"),
            (f"buys nothing in {days}", f"{profile.churn_probability:.0%}", f"{silent:.0%}"),
            ("stage", profile.stage, f"came on day {customers.arrival[self.row]:.0f}, {stays}"),
            ("visits", "", f"{30 * customers.visits[self.row]:.1f} in 30 days while they stay"),
            ("price", "", f"{customers.sensitivity[self.row]:.1f} times as sensitive as is usual"),
        ]


def beside_truth(folder: Path, bundle: Bundle, customer_id: str | None, k: int) -> Beside:
    """A customer of the world in `folder` as `bundle` sees them at its time; None = the middle one of the highest tier.

    Raises:
        DataError: the folder holds no world, the bundle is from another shop, or knows nothing of the customer.
    """
    world = World.build(read_settings(folder / TRUTH))
    if bundle.as_of is None or list(bundle.catalogue.items.ids) != [f"i{item}" for item in range(len(world.model.items))]:
        raise DataError(f"bundle {bundle.version} was not trained on the world in {folder}; train one on {folder / SHOP}")
    day = world.model.calendar.days(bundle.as_of)
    if day > world.config.n_days - 1:
        raise DataError(f"bundle {bundle.version} ends where the world does, so nothing is known of what follows; give its twin")
    name = _middle_customer(bundle) if customer_id is None else customer_id
    profile = bundle.profile(name)
    if profile is None:
        raise DataError(f"bundle {bundle.version} knows nothing of customer {name!r}; its customers are called c0, c1, ... and have bought")
    number = int(name[1:])
    block = world.block(number // BLOCK)
    oracle = Oracle(world, block, day, profile.horizon_days)
    titles = dict(zip(bundle.catalogue.items.ids, bundle.catalogue.titles, strict=True))
    answer = Engine(bundle).recommend(Query(k=k, time=aware(bundle.as_of), customer_id=name), Snapshot.of(bundle))
    return Beside(oracle, number % BLOCK, profile, answer, titles)


def _middle_customer(bundle: Bundle) -> str:
    profiles = bundle.profiles
    rows = np.flatnonzero(profiles.tier == len(TIERS) - 1)
    by_value = rows[np.argsort(profiles.expected_value[rows], kind="stable")]
    return str(bundle.customers.ids[by_value[len(by_value) // 2]])

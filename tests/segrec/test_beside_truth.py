"""What the engine thinks of a customer of a small planted shop, beside what is true of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_shop import CONFIG, DAYS, write_planted_shop
from rich.console import Console
from rich.table import Table

from recsys.bundle import Bundle
from recsys.errors import DataError
from recsys.synthetic.oracle import Expected, Oracle
from recsys.synthetic.tables import item_id
from recsys.synthetic.world import World
from recsys.synthetic.writing import TRUTH
from recsys.types import Ints
from segmentation.profile import TIERS
from segrec.beside_truth import beside_truth
from segrec.simulation import simulate_world

K = 5


@pytest.fixture(scope="module")
def customer(planted_bundle: Bundle) -> str:
    """One who has a profile."""
    return planted_bundle.customers.ids[int(np.flatnonzero(planted_bundle.profiles.segment >= 0)[3])]


def cells(table: Table) -> list[list[str]]:
    """What stands in each row."""
    return [list(row) for row in zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)]


def true_persona(folder: Path, customer: str) -> str:
    (file,) = (folder / TRUTH).glob("customers-*.parquet")
    return next(row["persona"] for row in pq.read_table(file).to_pylist() if row["customer_id"] == customer)


def test_a_customer_stands_beside_their_true_persona(planted_folder: Path, planted_bundle: Bundle, customer: str) -> None:
    rows = {row[0]: row[1:] for row in cells(beside_truth(planted_folder, planted_bundle, customer, K).who())}
    profile = planted_bundle.profile(customer)
    assert profile is not None
    assert rows["kind"][0] == f"segment {profile.segment}: {profile.segment_name}"
    assert rows["kind"][1].startswith(f"{true_persona(planted_folder, customer)}: ")


def test_the_list_has_the_true_chance_and_rank_of_each_item(planted_folder: Path, planted_bundle: Bundle, customer: str) -> None:
    beside = beside_truth(planted_folder, planted_bundle, customer, K)
    world = World.build(CONFIG)
    numbers = item_id(np.arange(CONFIG.n_items, dtype=np.int32)).to_pylist()
    oracle = Oracle(world, world.block(0), CONFIG.n_days - DAYS, beside.profile.horizon_days)
    (chances,) = oracle.purchase_probabilities(np.array([beside.oracle.row], np.int32))
    shown = cells(beside.shown())
    assert len(shown) == K
    for row, id_ in zip(shown, beside.answer.item_ids, strict=True):
        chance = chances[numbers.index(id_)]
        assert row[-2:] == [f"{chance:.1%}", str(1 + int((chances > chance).sum()))]


def test_what_the_answers_share_is_worked_out_once(
    planted_folder: Path, planted_bundle: Bundle, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, asked = Oracle.expected, list[Ints]()

    def counted(self: Oracle, owners: Ints) -> Expected:
        asked.append(owners)
        return expected(self, owners)

    monkeypatch.setattr(Oracle, "expected", counted)
    beside = beside_truth(planted_folder, planted_bundle, customer, K)
    beside.who()
    beside.shown()
    assert len(asked) == 1
    with pytest.raises(ValueError, match="alone"):
        beside.oracle.expected(np.array([beside.oracle.row + 1], np.int32))


def test_without_a_name_it_is_one_of_the_highest_tier(planted_folder: Path, planted_bundle: Bundle) -> None:
    beside = beside_truth(planted_folder, planted_bundle, None, K)
    assert beside.profile.tier == TIERS[-1]
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(beside.who())
    console.print(beside.shown())
    assert beside.profile.customer_id in console.export_text()


def test_the_bundle_of_a_world_of_another_seed_is_refused(
    planted_folder: Path, planted_bundle: Bundle, customer: str, tmp_path: Path
) -> None:
    other = write_planted_shop(CONFIG.model_copy(update={"seed": CONFIG.seed + 1}), tmp_path / "other")
    with pytest.raises(DataError, match="was not trained on"):
        beside_truth(other, planted_bundle, customer, K)
    with pytest.raises(DataError, match="was not trained on"):
        simulate_world(other, planted_folder / "bundles", 20, DAYS, K, ("home",))


@pytest.mark.parametrize("name", ["nobody", "c999999"])
def test_a_customer_whom_nobody_knows_is_refused_with_one_who_is_known(planted_folder: Path, planted_bundle: Bundle, name: str) -> None:
    with pytest.raises(DataError, match=f"nothing of customer '{name}'; one whom it knows is 'c"):
        beside_truth(planted_folder, planted_bundle, name, K)

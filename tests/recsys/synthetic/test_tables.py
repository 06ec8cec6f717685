"""The tables of a world: taken by the product's own import as they are, and what was done to messy ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats

from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importing import import_shop
from recsys.data.report import ImportReport
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.mess import VIEWS_PER_BOT, mess_up
from recsys.synthetic.shown import PLACES
from recsys.synthetic.tables import (
    customers_table,
    exposures_table,
    interactions_table,
    items_table,
    messages_table,
    purchase_event_ids,
    reviews_table,
    visitors_table,
)
from recsys.synthetic.world import Block, World
from recsys.types import STANDARD_EVENTS, VIEW


def imported(folder: Path, out: Path) -> ImportReport:
    """What the product's own import makes of the tables in a world's folder."""
    return import_shop(open_shop("tables", folder / "tables"), out, max_bad=1.0)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table of one part."""
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


def done_to(folder: Path, what: str) -> list[str]:
    """Ids that the truth names."""
    return [row["id"] for row in rows(folder / "truth", "mess-00000") if row["what"] == what]


def test_clean_tables_pass_the_import_whole(written: Path, tmp_path: Path) -> None:
    report = imported(written, tmp_path / "shop")
    assert set(report.tables) == {"items", "customers", "interactions", "exposures", "reviews", "messages"}
    for name, table in report.tables.items():
        assert table.read > 0, name
        assert (table.kept, table.refused.total, table.stubs, table.ignored) == (table.read, 0, 0, ()), name
    dataset = Dataset.load(tmp_path / "shop")
    assert dataset.interactions.times.max() < np.datetime64("2024-01-01", "us") + np.timedelta64(170, "D")


def test_messy_tables_lose_exactly_the_repeated_rows(messy: Path, tmp_path: Path) -> None:
    report = imported(messy, tmp_path / "shop")
    twice = done_to(messy, "duplicate")
    assert len(set(twice)) == len(twice) > 50
    lost = report.tables["interactions"]
    assert lost.refused.total == len(twice)
    assert len(lost.refused.counts) == 1
    assert lost.kept == lost.read - len(twice)
    assert all(table.refused.total == 0 for name, table in report.tables.items() if name != "interactions")
    written_twice = [id_ for id_, n in Counter(row["event_id"] for row in rows(messy / "tables", "interactions-00000")).items() if n == 2]
    assert sorted(written_twice) == sorted(twice)


def test_late_rows_stand_behind_all_others_and_are_named(messy: Path) -> None:
    made, late = rows(messy / "tables", "interactions-00000"), done_to(messy, "late")
    assert len(late) / len(made) == pytest.approx(0.1, abs=0.02)
    assert [row["event_id"] for row in made[-len(late) :]] == late
    times = [row["event_time"] for row in made[: -len(late)]]
    assert times == sorted(times)
    assert made[-len(late)]["event_time"] < times[-1]


def test_bots_are_the_visitors_that_the_truth_names_and_only_look(messy: Path) -> None:
    made, bots = rows(messy / "tables", "interactions-00000"), set(done_to(messy, "bot"))
    crawled = [row for row in made if row["visitor_id"] in bots]
    people = [row for row in made if row["visitor_id"] not in bots]
    assert {row["event"] for row in crawled} == {"view"}
    assert all(row["customer_id"] is None for row in crawled)
    assert len({row["event_id"] for row in crawled}) / len({row["event_id"] for row in people}) == pytest.approx(0.1, abs=0.001)
    assert max(Counter(row["visitor_id"] for row in crawled).values()) >= VIEWS_PER_BOT


def test_guests_have_a_visitor_id_and_no_customer_id_for_their_whole_visit(messy: Path) -> None:
    made = [row for row in rows(messy / "tables", "interactions-00000") if row["event_id"].startswith("e")]
    assert all((row["customer_id"] is None) != (row["visitor_id"] is None) for row in made)
    by_visit: dict[str, set[bool]] = {}
    for row in made:
        if row["session_id"] is not None:
            by_visit.setdefault(row["session_id"], set()).add(row["customer_id"] is None)
    assert all(len(kinds) == 1 for kinds in by_visit.values())
    assert np.mean([True in kinds for kinds in by_visit.values()]) == pytest.approx(0.3, abs=0.06)


def test_missing_texts_are_missing_in_their_share(messy: Path) -> None:
    items, reviews = rows(messy / "tables", "items"), rows(messy / "tables", "reviews-00000")
    gone = [item["title"] == "" for item in items]
    assert np.mean(gone) == pytest.approx(0.3, abs=0.2)
    assert [item["description"] is None for item in items] == gone
    assert np.mean([review["text"] == "" for review in reviews]) == pytest.approx(0.3, abs=0.2)


def test_mess_of_nothing_leaves_a_table_as_it_is(world: World, block: Block) -> None:
    clean = interactions_table(world, block)
    same, done = mess_up(world, 0, clean)
    assert same.equals(clean)
    assert len(done) == 0


def test_interactions_tell_what_happened_in_time(world: World, block: Block) -> None:
    table = interactions_table(world, block)
    times = table["event_time"].to_numpy()
    assert (np.diff(times) >= np.timedelta64(0)).all()
    assert len(pc.unique(table["event_id"])) == len(table)
    counts = Counter(table["event"].to_pylist())
    assert set(counts) == set(STANDARD_EVENTS)
    views = int((block.picks.viewed >= 0).sum() + (block.shown.chosen >= 0).sum())
    assert counts[STANDARD_EVENTS[VIEW]] == pytest.approx(views, rel=0.002)  # what falls after the last day is left out
    bought = table.filter(pc.equal(table["event"], "purchase"))
    assert bought["value"].null_count == bought["quantity"].null_count == bought["basket_id"].null_count == 0
    assert pc.all(pc.is_null(table.filter(pc.equal(table["event"], "view"))["value"])).as_py()


def test_money_of_a_purchase_is_pieces_times_price(world: World, block: Block) -> None:
    table = interactions_table(world, block)
    value = dict(zip(table["event_id"].to_pylist(), table["value"].to_pylist(), strict=True))
    ids = purchase_event_ids(world, block).to_pylist()
    expected = block.lines.prices * block.lines.quantities
    found = [(value[id_], money) for id_, money in zip(ids, expected, strict=True) if id_ in value]
    assert len(found) > 0.999 * len(ids)
    np.testing.assert_allclose(*np.array(found).T, atol=0.006)


def test_in_a_visit_the_views_come_first_and_the_purchases_last(world: World, block: Block) -> None:
    last_view: dict[str, Any] = {}
    bought: dict[str, Any] = {}
    table = interactions_table(world, block).select(["session_id", "event", "event_time"])
    for row in table.to_pylist():
        if row["event"] in ("view", "cart"):
            last_view[row["session_id"]] = row["event_time"]
        elif row["event"] == "purchase":
            bought.setdefault(row["session_id"], row["event_time"])
    both = last_view.keys() & bought.keys()
    assert len(both) > 1000
    assert all(last_view[visit] < bought[visit] for visit in both)


def test_returns_come_from_a_known_customer_after_the_purchase(world: World, block: Block) -> None:
    table = interactions_table(world, block).select(["customer_id", "item_id", "event", "event_time"]).to_pylist()
    first: dict[tuple[str, str], Any] = {}
    for row in table:
        if row["event"] == "purchase" and row["customer_id"] is not None:
            first.setdefault((row["customer_id"], row["item_id"]), row["event_time"])
    back = [row for row in table if row["event"] == "return"]
    assert all(row["customer_id"] is not None for row in back)
    known = [row for row in back if (row["customer_id"], row["item_id"]) in first]  # the others were bought as a guest
    assert len(known) > 0.8 * len(back) > 0
    assert np.mean([row["event_time"] > first[row["customer_id"], row["item_id"]] for row in known]) > 0.97


def test_exposures_are_the_logged_lists(world: World, block: Block) -> None:
    table = exposures_table(world, block)
    assert len(table) == PLACES * len(block.shown)
    assert table["position"].to_pylist() == list(range(1, PLACES + 1)) * len(block.shown)
    np.testing.assert_array_equal(table["propensity"].to_numpy(), block.shown.propensities.ravel())
    assert table["item_id"].to_pylist() == [f"i{item}" for item in block.shown.items.ravel()]


def test_items_state_what_the_catalogue_says_they_state(written_config: WorldConfig) -> None:
    world = World.build(written_config)
    items = items_table(world).to_pylist()
    facts, kinds = world.model.items.written, world.lexicon.types
    titles = [item["title"] for item in items]
    assert len(set(titles)) == len(titles)
    for number, item in enumerate(items):
        kind = kinds[world.model.items.types.words[facts.types[number]]]
        assert item["item_id"] == f"i{number}"
        assert item["category"] == list(kind.category)
        assert item["brand"] == world.lexicon.brands[kind.path[0]][facts.brands[number]]
        assert [name for name, _ in item["attributes"]] == list(kind.attributes[:4])
        assert item["description"]


def test_without_texts_there_are_titles_but_no_descriptions(written_config: WorldConfig) -> None:
    with_texts = items_table(World.build(written_config))
    without = items_table(World.build(written_config.model_copy(update={"texts": False})))
    assert without["description"].null_count == len(without)
    assert without.drop_columns("description").equals(with_texts.drop_columns("description"))


def test_reviews_and_messages_are_in_the_customers_language(written_config: WorldConfig) -> None:
    world = World.build(written_config)
    block = world.block(0)
    language = dict(zip(*(customers_table(world, block)[name].to_pylist() for name in ("customer_id", "language")), strict=True))
    for table in (reviews_table(world, block), messages_table(world, block)):
        said = table.select(["customer_id", "text"]).to_pylist()
        assert {language[row["customer_id"]] for row in said} == {"en", "zh"}
        assert all(any(sign > "\u4e00" for sign in row["text"]) == (language[row["customer_id"]] == "zh") for row in said)


def auc(positive: np.ndarray[Any, Any], score: np.ndarray[Any, Any]) -> float:
    """Probability that a random positive scores higher than a random other one; ties count half."""
    ranks = stats.rankdata(score)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def test_ids_of_visits_do_not_tell_who_comes_again_or_who_a_guest_is(world: World, block: Block) -> None:
    visits = block.scene.visits
    numbers = world.visit_numbers(block.number, np.arange(len(visits)))
    assert len(np.unique(numbers)) == len(visits)
    owners, last = np.unique(visits.owners[::-1], return_index=True)
    final = np.zeros(len(visits), np.bool_)
    final[len(visits) - 1 - last] = True
    following = np.roll(numbers, -1).astype(np.int64) - numbers
    assert len(owners) > 100
    assert auc(final, following.astype(float)) == pytest.approx(0.5, abs=0.08)
    assert abs(np.corrcoef(numbers, visits.owners)[0, 1]) < 0.05


def test_ids_and_order_of_lines_do_not_tell_why_they_were_bought(world: World, block: Block) -> None:
    ids = purchase_event_ids(world, block).to_pylist()
    known = np.array([id_ is not None for id_ in ids])
    number = np.array([int(id_.split("-")[1]) for id_ in ids if id_ is not None])
    visits, causes = block.purchases.visits[known], block.purchases.causes[known]
    order = np.lexsort((number, visits))
    same_visit = np.diff(visits[order]) == 0
    later = np.diff(causes[order].astype(int))[same_visit]
    assert (later > 0).sum() == pytest.approx((later < 0).sum(), rel=0.2)  # in a basket causes go up as often as down


def test_the_truth_says_whose_the_visits_of_guests_were(world: World, block: Block) -> None:
    owner_of = dict(zip(*visitors_table(world, block).to_pydict().values(), strict=True))
    seen = interactions_table(world, block)
    guests = {id_ for id_ in seen["visitor_id"].to_pylist() if id_ is not None}
    assert guests
    assert guests <= owner_of.keys()
    assert set(owner_of.values()) <= {f"c{number}" for number in range(len(block.scene.customers))}

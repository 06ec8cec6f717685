"""What is fitted on and which queries are labelled, on a shop whose every line is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.training.split import Split, split_by_time

AS_OF = at(40)


def settings(**training: Any) -> Config:
    return parse_config({"training": {"ranking_period_days": 10, "n_ranking_periods": 2, **training}}, "test")


def lines() -> list[dict[str, Any]]:
    """Customer cN buys item iD, and i0 to i3 with it, on every day D that N + 2 divides; v1 is a guest who does so every fifth day."""
    rows = []
    for day in range(50):
        names = [f"c{n}" for n in range(6) if day % (n + 2) == 0] + ["guest"] * (day % 5 == 0)
        for name in names:
            who = {"visitor_id": "v1"} if name == "guest" else {"customer_id": name}
            rows += [{"item_id": item, "day": day, "basket_id": f"{name} {day}", **who} for item in (f"i{day}", f"i{day % 4}")]
    return rows


ITEMS = [{"item_id": f"i{n}", "title": f"item {n}", "recommendable": n != 25} for n in range(50)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_shop(tmp_path_factory.mktemp("shop"), lines(), ITEMS)


def split(shop: Dataset, seed: int = 0, as_of: np.datetime64 = AS_OF, **training: Any) -> Split:
    return split_by_time(shop, as_of, settings(**training), np.random.default_rng(seed))


def test_periods_end_at_as_of_oldest_first(shop: Dataset) -> None:
    made = split(shop, n_ranking_periods=3)
    assert [period.start for period in made.periods] == [at(10), at(20), at(30)]
    assert (made.as_of, made.known.end) == (AS_OF, AS_OF)


def test_what_is_known_ends_strictly_before_the_period(shop: Dataset) -> None:
    made = split(shop)
    for period in made.periods:
        assert period.known.interactions.times[-1] < period.start
        assert len(period.known.interactions) == int((shop.interactions.times < period.start).sum())
    assert made.known.interactions.times[-1] < AS_OF


def test_labels_are_what_each_customer_bought_within_the_period(shop: Dataset) -> None:
    made = split(shop)
    for period in made.periods:
        within = shop.between(period.start, period.start + np.timedelta64(10, "D")).interactions
        for query in (query for query in period.queries if query.customer >= 0):
            bought = np.unique(within.items[within.customers == query.customer])
            assert query.wanted.tolist() == [item for item in bought if shop.item_ids.ids[item] != "i25"]
            assert (query.time, query.context) == (period.start, ())


def test_the_line_at_the_very_start_is_a_label_and_that_at_the_end_is_not(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{day}", "day": day, "customer_id": "ann"} for day in (0, 10, 20, 29.9999, 30)]
    shop = load_shop(tmp_path, rows)
    (first, second) = split(shop, as_of=at(30)).periods
    names = shop.item_ids.ids
    assert [[names[item] for item in query.wanted] for query in (*first.queries, *second.queries)] == [["i10"], ["i20", "i29.9999"]]


def test_every_customer_who_came_is_asked_once_and_no_more_than_allowed(shop: Dataset) -> None:
    customers = [query.customer for query in split(shop).periods[0].queries if query.customer >= 0]
    assert customers == sorted(set(customers))
    assert len(customers) == 6
    few = [query.customer for query in split(shop, max_queries_per_period=2).periods[0].queries if query.customer >= 0]
    assert len(few) == 2


def test_guests_look_at_one_item_of_a_basket_and_want_the_others(shop: Dataset) -> None:
    for period in split(shop, guest_share=1.0).periods:
        guests = [query for query in period.queries if query.customer < 0]
        assert len(guests) == 6
        for guest in guests:
            (looked_at,) = guest.context
            assert looked_at not in guest.wanted
            assert period.start <= guest.time < period.start + np.timedelta64(10, "D")
            baskets = shop.interactions.baskets[(shop.interactions.times == guest.time) & (shop.interactions.items == looked_at)]
            assert any(
                {looked_at, *guest.wanted.tolist()} == set(shop.interactions.items[shop.interactions.baskets == basket])
                for basket in baskets
            )


def test_no_guests_when_none_are_asked_for(shop: Dataset) -> None:
    assert all(query.customer >= 0 for period in split(shop, guest_share=0.0).periods for query in period.queries)


def test_what_came_later_is_the_next_period_and_never_beyond_as_of(shop: Dataset) -> None:
    first, last = split(shop).periods
    assert {customer: items.tolist() for customer, items in first.later.items()} == {
        query.customer: query.wanted.tolist() for query in last.queries if query.customer >= 0
    }
    assert last.later == {}


def test_only_positive_events_are_labels(tmp_path: Path) -> None:
    rows = [
        {"item_id": "seen", "day": 35, "customer_id": "ann", "event": "view"},
        {"item_id": "back", "day": 35, "customer_id": "ann", "event": "return"},
    ]
    shop = load_shop(tmp_path, [{"item_id": "got", "day": day, "customer_id": "ann"} for day in (0, 35)] + rows)
    (query,) = split(shop).periods[-1].queries
    assert [shop.item_ids.ids[item] for item in query.wanted] == ["got"]


def test_equal_seeds_ask_the_same_queries(shop: Dataset) -> None:
    def asked(seed: int) -> list[tuple[Any, ...]]:
        made = split(shop, seed, max_queries_per_period=3, guest_share=1.0)
        return [(query.customer, query.context, query.wanted.tolist()) for period in made.periods for query in period.queries]

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_the_unit_of_as_of_does_not_matter(shop: Dataset) -> None:
    made = split(shop, as_of=np.datetime64("2024-02-10"))
    assert str(made.as_of) == str(AS_OF)
    assert [str(period.start) for period in made.periods] == [str(period.start) for period in split(shop).periods]


def test_periods_may_be_fractions_of_a_day(shop: Dataset) -> None:
    assert [period.start for period in split(shop, ranking_period_days=0.5).periods] == [at(39), at(39.5)]


@pytest.mark.parametrize("training", [{"n_ranking_periods": 4}, {"ranking_period_days": 14}])
def test_too_short_data_are_refused_with_the_numbers(training: dict[str, Any], shop: Dataset) -> None:
    days = training.get("ranking_period_days", 10) * (training.get("n_ranking_periods", 2) + 1)
    with pytest.raises(DataError, match=rf"begin at 2024-01-01.* need at least {days} days: set training\.ranking_period_days"):
        split(shop, **training)


def test_no_data_before_as_of_are_refused(shop: Dataset) -> None:
    with pytest.raises(DataError, match="no interactions before"):
        split(shop, as_of=at(-5))


def test_exactly_enough_data_are_enough(shop: Dataset) -> None:
    assert len(split(shop, n_ranking_periods=3).periods) == 3


def test_a_past_that_was_cut_down_is_forgotten_but_for_what_it_held(shop: Dataset) -> None:
    period = split(shop, thin_share=1.0).periods[-1]
    lines, cut = period.known.interactions, period.seen.interactions
    assert len(cut) < len(lines)
    for query in period.queries:
        whole, left = (set(view.items[view.customers == query.customer].tolist()) for view in (lines, cut))
        assert set(query.forgotten.tolist()) == (whole - left if query.customer >= 0 else set())


def test_without_thin_pasts_nothing_is_forgotten(shop: Dataset) -> None:
    period = split(shop, thin_share=0.0).periods[-1]
    assert period.seen is period.known
    assert not any(len(query.forgotten) for query in period.queries)


def test_what_was_shown_is_that_of_the_time_of_the_labels(tmp_path: Path) -> None:
    made = load_shop(tmp_path, lines(), ITEMS)
    days = (19.9, 20, 24, 29.9, 30)
    times = pa.array([at(day).item() for day in days], pa.timestamp("us", "UTC"))
    columns = {"item_id": ["i1", "i2", "i3", "i2", "i4"], "position": [1, 2, 3, 1, 4], "customer_id": ["c0"] * 5}
    pq.write_table(pa.table({**columns, "event_time": times}), tmp_path / "exposures.parquet")
    first, second = split(made).periods
    c0 = made.customers.number("c0")
    assert [dict(query.shown) for query in first.queries if query.customer == c0] == [{2: 1, 3: 3}]
    assert [dict(query.shown) for query in second.queries if query.customer == c0] == [{4: 4}]
    assert not any(query.shown for query in (*first.queries, *second.queries) if query.customer != c0)

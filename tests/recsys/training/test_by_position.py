"""Leave-one-out by the product's own training path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lines import load_shop

from recsys.bundle import Bundle
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.data.leave_last import leave_last
from recsys.engine import Engine, Snapshot
from recsys.errors import ConfigError, DataError, LeakError
from recsys.text.finetune import REPORT
from recsys.training.pipeline import rows_by_position, train_by_position, train_on
from recsys.training.split import JUST_AFTER, split_by_position
from recsys.types import Query, aware

SETTINGS = {
    "training": {"n_ranking_periods": 2},
    "sources": {
        "near": {"kind": "covisit", "unit": "sequence"},
        "sales": {"kind": "popular"},
        "mine": {"kind": "popular", "within": "segment"},
    },
    "strategies": {"next": {"sources": {"near": 30, "sales": 40, "mine": 5}, "ranker": "next", "filters": ["bought"]}},
    "rankers": {"next": {"train_on": "next", "n_trees": 10, "min_data_in_leaf": 5}},
    "features": {
        "near_sum": {"scope": "link", "statistic": "sum", "source": "near"},
        "of_late": {"scope": "now", "statistic": "rate", "window_days": 30},
    },
}


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(SETTINGS, "test")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def trained(small_dataset: Dataset, config: Config, work: Path) -> Bundle:
    return train_by_position(split_by_position(small_dataset, config, 2, at_target=False), config, work=work).open()


def test_each_step_is_one_item_earlier(small_dataset: Dataset, config: Config) -> None:
    codes = small_dataset.event_codes(config.data.positive_events)
    split = split_by_position(small_dataset, config, 2, at_target=False)
    _, period = split.periods
    _, last = leave_last(small_dataset, codes, 1, 4)
    _, second = leave_last(small_dataset, codes, 2, 4)
    _, third = leave_last(small_dataset, codes, 3, 4)
    assert [int(query.wanted[0]) for query in period.queries] == third.items.tolist()
    assert [int(period.later[query.customer][0]) for query in period.queries] == second.items.tolist()
    for known, hidden in ((period.known, (third, second, last)), (split.known, (second, last))):
        lines = known.interactions
        bought = set(zip(lines.customers.tolist(), lines.items.tolist(), strict=True))
        assert not any((int(c), int(i)) in bought for left in hidden for c, i in zip(left.customers, left.items, strict=True))


def test_an_older_period_learns_the_item_before_of_whoever_has_two_left_and_knows_nothing_later(
    small_dataset: Dataset, config: Config
) -> None:
    codes = small_dataset.event_codes(config.data.positive_events)
    older, newer = split_by_position(small_dataset, config, 2, at_target=False).periods
    before, wanted = leave_last(newer.known, codes, 1, 2)
    assert [int(query.wanted[0]) for query in older.queries] == wanted.items.tolist()
    assert older.known.fingerprint == before.fingerprint
    assert {customer: items.tolist() for customer, items in older.later.items()} == {
        query.customer: query.wanted.tolist() for query in newer.queries
    }


def test_a_query_is_asked_after_all_that_is_known_of_the_customer_and_not_before_the_target_when_its_time_is_given(
    small_dataset: Dataset, config: Config
) -> None:
    codes = small_dataset.event_codes(config.data.positive_events)
    past, wanted = leave_last(small_dataset, codes, 3, 4)
    last_of = {int(c): time for c, time in zip(past.interactions.customers, past.interactions.times, strict=True)}
    for at_target in (False, True):
        _, period = split_by_position(small_dataset, config, 2, at_target=at_target).periods
        for query, time in zip(period.queries, wanted.times, strict=True):
            assert query.time == (max(time, last_of[query.customer]) if at_target else last_of[query.customer]) + JUST_AFTER


def test_the_rows_of_a_ranker_are_those_that_it_was_trained_on(trained: Bundle, small_dataset: Dataset, config: Config, work: Path) -> None:
    there = sorted(work.iterdir())
    split = split_by_position(small_dataset, config, 2, at_target=False)
    rows = rows_by_position(split, config, "next", work=work)
    assert sorted(work.iterdir()) == there, "nothing is made again"
    assert set(rows.customers.tolist()) <= {query.customer for period in split.periods for query in period.queries}
    assert rows.features.shape == (rows.sizes.sum(), len(trained.features.names))


def test_it_answers_and_nobody_has_a_segment(trained: Bundle) -> None:
    engine, snapshot = Engine(trained), Snapshot.of(trained)
    last = trained.history("c4").times.max()
    answer = engine.recommend(Query(k=10, time=aware(last + JUST_AFTER), customer_id="c4", strategy="next"), snapshot)
    assert len(answer.items) == 10
    assert answer.trace.segment is None
    assert not answer.trace.degraded
    bought = {trained.catalogue.items.ids[item] for item in trained.history("c4").items}
    assert not bought & set(answer.item_ids)


def test_it_can_be_trained_twice_with_the_same_result(small_dataset: Dataset, config: Config, trained: Bundle, tmp_path: Path) -> None:
    again = train_by_position(split_by_position(small_dataset, config, 2, at_target=False), config, work=tmp_path).open()
    assert again.rankers["next"].model == trained.rankers["next"].model  # type: ignore[attr-defined]


def test_no_trunk_is_fine_tuned(small_dataset: Dataset, config: Config, tmp_path: Path) -> None:
    tuning = config.model_copy(update={"finetune": config.finetune.model_copy(update={"n_steps": 10})})
    with pytest.raises(ConfigError, match="n_steps is 10, but by position"):
        train_by_position(split_by_position(small_dataset, tuning, 2, at_target=False), tuning, work=tmp_path)


def test_a_trunk_that_knew_the_answers_is_refused(small_dataset: Dataset, config: Config, tmp_path: Path) -> None:
    split = split_by_position(small_dataset, config, 2, at_target=False)
    first = min(query.time for period in split.periods for query in period.queries)
    (tmp_path / REPORT).write_text(json.dumps({"known_until": str(first + JUST_AFTER)}))
    tuned = config.model_copy(update={"text": config.text.model_copy(update={"trunk": str(tmp_path)})})
    with pytest.raises(LeakError, match="would know the answers"):
        train_by_position(split, tuned, work=tmp_path / "work")


def test_it_is_never_written(small_dataset: Dataset, config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        train_on(split_by_position(small_dataset, config, 2, at_target=False), config, tmp_path / "out", work=tmp_path / "work")


def test_sources_that_know_the_labels_are_found_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    lines = [
        {"customer_id": f"c{customer}", "item_id": f"i{item}", "day": day}
        for customer in range(80)
        for day, item in enumerate(rng.choice(150, 9, replace=False))
    ]
    shop = load_shop(tmp_path / "shop", lines, [{"item_id": f"i{n}", "title": f"item {n}"} for n in range(150)])
    near = {"kind": "covisit", "unit": "customer", "n_neighbours": 60}
    few = {"next": {"sources": {"near": 20}, "ranker": "next", "filters": ["bought"]}}
    config = parse_config({**SETTINGS, "sources": {**SETTINGS["sources"], "near": near}, "strategies": few}, "test")
    split = split_by_position(shop, config, 2, at_target=False)
    _, period = split.periods
    with pytest.raises(LeakError, match="source 'near' has recall"):
        train_by_position(replace(split, periods=(replace(period, known=split.known),)), config, work=tmp_path / "work")

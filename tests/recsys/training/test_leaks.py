"""The alarm rings when a source saw the labels, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lines import at, load_shop
from world import DAY

from recsys.candidates.popular import PopularSource, fit_popular
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.errors import LeakError
from recsys.source_config import PopularConfig
from recsys.training import parts
from recsys.training.leaks import MIN_CUSTOMERS, check_leaks
from recsys.training.pipeline import train, train_on
from recsys.training.split import split_by_time
from recsys.types import Floats, Interactions

LENGTH, AS_OF = 28 * DAY, at(140)


def recalls(rng: np.random.Generator, n: int, *shares: float) -> Floats:
    """Every customer wants one to four items, each of which each source finds with the probability given."""
    wanted = rng.integers(1, 5, (n, 1))
    return (rng.binomial(wanted, shares) / wanted).astype(np.float32)


def test_a_source_that_finds_the_labels_much_better_than_what_followed_is_named() -> None:
    rng = np.random.default_rng(1)
    labels, later = recalls(rng, 300, 0.2, 0.8), recalls(rng, 300, 0.2, 0.2)
    with pytest.raises(LeakError, match=r"source 'als' has recall 0\.\d+ on the ranker's labels of the period from June, but 0\.\d+ on"):
        check_leaks(("popular", "als"), labels, later, "June")


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("n", [5, 40, 500])
def test_noise_never_rings(n: int, share: float) -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        check_leaks(("a", "b"), recalls(rng, n, share, 1.5 * share), recalls(rng, n, share, share), "June")


def test_a_handful_of_customers_proves_nothing() -> None:
    few, none = np.ones((MIN_CUSTOMERS - 1, 1), np.float32), np.zeros((MIN_CUSTOMERS - 1, 1), np.float32)
    check_leaks(("a",), few, none, "June")
    check_leaks(("a",), few[:0], none[:0], "June")


def test_only_customers_with_both_count() -> None:
    labels, later = np.ones((100, 1), np.float32), np.zeros((100, 1), np.float32)
    later[MIN_CUSTOMERS - 1 :] = np.nan
    check_leaks(("a",), labels, later, "June")
    later[MIN_CUSTOMERS - 1] = 0
    with pytest.raises(LeakError):
        check_leaks(("a",), labels, later, "June")


# through a whole training


def fashion_rows(seed: int) -> list[dict[str, Any]]:
    """Every four weeks other eight of 100 items are in fashion; each of 50 customers buys one of them and a random item a week."""
    rng = np.random.default_rng(seed)
    rows = []
    for week in range(20):
        in_fashion = (week // 4 * 8 + np.arange(8)) * 7 % 100
        for customer in range(50):
            day = week * 7 + float(rng.uniform(0, 7))
            items = {int(rng.choice(in_fashion)), int(rng.integers(100))}
            rows += [{"item_id": f"i{item}", "day": day, "customer_id": f"c{customer}"} for item in items]
    return rows


def fading_rows(seed: int) -> list[dict[str, Any]]:
    """Two items a day appear and are bought half as often every week; each of 50 customers buys three items every fourth day."""
    rng = np.random.default_rng(seed)
    born = np.arange(-20, 140, 0.5)
    rows = []
    for customer in range(50):
        for day in range(customer % 4, 140, 4):
            weights = np.where(born <= day, np.exp2((born - day) / 7), 0) * (1 + np.arange(len(born)) * 7919 % 13)
            items = rng.choice(len(born), 3, replace=False, p=weights / weights.sum())
            rows += [{"item_id": f"i{item}", "day": day + 0.5, "customer_id": f"c{customer}"} for item in items]
    return rows


Settle = Callable[[list[dict[str, Any]]], Dataset]


@pytest.fixture
def settle(tmp_path: Path) -> Settle:
    return lambda rows: load_shop(tmp_path / "shop", rows)


@pytest.fixture(scope="module")
def config() -> Config:
    """Of the popular items eight are proposed: as many as are in fashion."""
    strategies = {"home": {"sources": {"repurchase": 10, "popular": 8}, "ranker": "home"}, "discovery": {"sources": {"popular": 8}}}
    training = {"ranking_period_days": 28, "n_ranking_periods": 2, "n_threads": 1}
    rankers = {"home": {"train_on": "home", "n_trees": 5, "min_data_in_leaf": 5}, "discovery": False}
    return parse_config({"training": training, "rankers": rankers, "strategies": strategies}, "test")


def test_a_split_that_knows_its_labels_is_refused(settle: Settle, config: Config, tmp_path: Path) -> None:
    shop = settle(fashion_rows(1))
    split = split_by_time(shop, AS_OF, config, np.random.default_rng(0))
    leaky = replace(split, periods=tuple(replace(period, known=shop.before(period.start + LENGTH)) for period in split.periods))
    with pytest.raises(LeakError, match=r"period from 2024-03-25.* on interactions up to 2024-04-2\d.* fit them on Dataset\.before"):
        train_on(leaky, config, tmp_path / "bundles", work=tmp_path / "work")
    assert not (tmp_path / "bundles").exists()


def test_a_source_fitted_on_the_labels_stops_the_training(
    settle: Settle, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = settle(fashion_rows(1))

    def from_the_future(lines: Interactions, n_items: int, as_of: np.datetime64, config: PopularConfig, **groups: Any) -> PopularSource:
        return fit_popular(shop.before(as_of + LENGTH).interactions, n_items, as_of + LENGTH, config, **groups)

    monkeypatch.setattr(parts, "fit_popular", from_the_future)
    with pytest.raises(LeakError, match="source 'popular' has recall"):
        train(shop, config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")
    assert not (tmp_path / "bundles").exists()


def test_an_honest_training_passes(settle: Settle, config: Config, tmp_path: Path) -> None:
    assert train(settle(fashion_rows(1)), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work").is_dir()


def test_a_shop_whose_items_fade_within_weeks_is_no_leak(settle: Settle, config: Config, tmp_path: Path) -> None:
    assert train(settle(fading_rows(1)), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work").is_dir()


def test_random_shops_are_no_leak(config: Config, tmp_path: Path) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = [
            {"item_id": f"i{item}", "day": float(day), "customer_id": f"c{customer}"}
            for customer, item, day in zip(rng.integers(0, 30, 600), rng.integers(0, 40, 600), rng.uniform(0, 140, 600), strict=True)
        ]
        shop = load_shop(tmp_path / f"shop{seed}", rows)
        assert train(shop, config, AS_OF, tmp_path / "bundles", work=tmp_path / "work").is_dir()

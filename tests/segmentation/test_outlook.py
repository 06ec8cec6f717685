"""Predictions of value and churn, on buyers whose true rates are known and on histories that no shop should have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from buyers import AS_OF, HORIZON_DAYS, World, world

from segmentation.errors import SegmentationError
from segmentation.features import Extra, History, features_of
from segmentation.outlook import FILE, OutlookModel, fit_outlook
from segmentation.purchases import Purchases, duration


def fit(
    purchases: Purchases, n_customers: int, horizon_days: float = HORIZON_DAYS, seed: int = 1, extra: Extra | None = None
) -> OutlookModel:
    return fit_outlook(purchases, n_customers, AS_OF, horizon_days, seed=seed, n_threads=1, extra=extra)


@pytest.fixture(scope="module")
def buyers() -> World:
    return world()


@pytest.fixture(scope="module")
def past(buyers: World) -> Purchases:
    return buyers.purchases.before(AS_OF)


@pytest.fixture(scope="module")
def fitted(buyers: World, past: Purchases) -> OutlookModel:
    return fit(past, buyers.n_customers)


def bought(purchases: Purchases, n_customers: int) -> np.ndarray:
    return np.bincount(purchases.customers, minlength=n_customers) > 0


def renamed(past: Purchases, customer: int, values: np.ndarray, times: np.ndarray) -> Purchases:
    """The same lines and those of one more customer, each an order."""
    n = len(values)
    baskets = past.baskets.max() + 1 + np.arange(n)
    columns = {
        "customers": np.full(n, customer), "times": times, "values": values, "baskets": baskets, "topics": np.full(n, -1),
    }  # fmt: skip
    joined = {name: np.concatenate([getattr(past, name), column]).astype(getattr(past, name).dtype) for name, column in columns.items()}
    return replace(past, **joined)


def test_the_model_says_how_it_predicts(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    assert fitted.method == f"two-part boosted trees on {fitted.n_examples:,} examples"
    small = past.take(past.customers < 60)
    assert fit(small, 60).method == "faded spend rate, churn by BG/NBD: too little history for trees"
    assert fit(past.take(past.customers < 20), 20).method == "faded spend rate, churn not estimated: too little history for trees"
    recent = past.take(past.times >= AS_OF - duration(20))
    assert fit(recent, buyers.n_customers).method.startswith("faded spend rate, churn not estimated")


def test_predictions_follow_the_true_rates_and_amounts(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    outlook = fitted.of(past, buyers.n_customers, AS_OF)
    known = bought(past, buyers.n_customers)
    stays = buyers.leaves > (AS_OF - past.times.min()) / np.timedelta64(1, "D")
    truth = buyers.rates * buyers.amounts * stays
    assert np.corrcoef(np.log1p(truth[known]), np.log1p(outlook.expected_value[known]))[0, 1] > 0.75
    assert np.median(outlook.churn_probability[known & ~stays]) > 0.9
    often = known & stays & (buyers.rates == 0.25)
    assert outlook.churn_probability[often].mean() < 0.1


def test_sums_and_probabilities_come_true(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    outlook, known = fitted.of(past, buyers.n_customers, AS_OF), bought(past, buyers.n_customers)
    later = buyers.purchases.take(buyers.purchases.times >= AS_OF)
    returned = bought(later, buyers.n_customers)
    spent = np.bincount(later.customers, later.values, buyers.n_customers)[known].sum()
    assert outlook.expected_value.sum() == pytest.approx(spent, rel=0.2)
    for low in (0.0, 1 / 3, 2 / 3):
        alike = known & (outlook.churn_probability >= low) & (outlook.churn_probability <= low + 1 / 3)
        assert outlook.churn_probability[alike].mean() == pytest.approx(1 - returned[alike].mean(), abs=0.15)


def test_a_longer_horizon_than_could_be_learned_on_is_more_money_and_less_churn(buyers: World, past: Purchases) -> None:
    model = fit(past, buyers.n_customers, 121.0)
    short, long = (replace(model, horizon_days=days).of(past, buyers.n_customers, AS_OF) for days in (121.0, 300.0))
    known = bought(past, buyers.n_customers)
    assert (short.churn_probability[known] >= long.churn_probability[known]).all()
    more = long.expected_value[known] / short.expected_value[known]
    assert ((more >= 1) & (more <= 300 / 121 + 1e-9)).all()
    assert long.expected_value.sum() > 1.5 * short.expected_value.sum()


def test_those_who_never_bought_have_nothing_expected_of_them(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    n = buyers.n_customers + 3
    outlook, never = fitted.of(past, n, AS_OF), ~bought(past, n)
    assert never[-3:].all()
    assert outlook.expected_value[never].tolist() == [0] * never.sum()
    assert np.isnan(outlook.churn_probability[never]).all()
    assert np.isfinite(outlook.churn_probability[~never]).all()
    assert fitted.of(past.take(slice(0)), 2, AS_OF).expected_value.tolist() == [0, 0]


def test_equal_seeds_give_equal_models_and_a_saved_one_gives_the_same_answers(
    buyers: World, past: Purchases, fitted: OutlookModel, tmp_path: Path
) -> None:
    assert fit(past.take(np.arange(len(past))[::-1]), buyers.n_customers).trees == fitted.trees
    fitted.save(tmp_path)
    loaded = OutlookModel.load(tmp_path)
    assert loaded == fitted
    first, second = (model.of(past, buyers.n_customers, AS_OF) for model in (fitted, loaded))
    np.testing.assert_array_equal(first.expected_value, second.expected_value)
    np.testing.assert_array_equal(first.churn_probability, second.churn_probability)


@pytest.mark.parametrize("n_customers", [20, 60])
def test_a_saved_fall_back_gives_the_same_answers(past: Purchases, tmp_path: Path, n_customers: int) -> None:
    few = past.take(past.customers < n_customers)
    model = fit(few, n_customers)
    model.save(tmp_path)
    loaded = OutlookModel.load(tmp_path)
    assert loaded == model
    np.testing.assert_array_equal(loaded.of(few, n_customers, AS_OF).churn_probability, model.of(few, n_customers, AS_OF).churn_probability)


@pytest.mark.parametrize("damage", [None, "", "{}", "[]", '{"horizon_days": 28}'])
def test_a_damaged_file_is_an_error(fitted: OutlookModel, tmp_path: Path, damage: str | None) -> None:
    fitted.save(tmp_path)
    (tmp_path / FILE).unlink() if damage is None else (tmp_path / FILE).write_text(damage)
    with pytest.raises(SegmentationError, match="is not an outlook"):
        OutlookModel.load(tmp_path)


def test_damaged_trees_are_found_when_the_model_is_read(fitted: OutlookModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    document = json.loads((tmp_path / FILE).read_text())
    document["trees"]["money"]["trees"]["model"] = "nonsense"
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(SegmentationError, match="is not an outlook"):
        OutlookModel.load(tmp_path)


def test_columns_of_the_caller_are_learned_from(buyers: World, past: Purchases) -> None:
    """Who leaves says so three weeks before; nothing else can tell that so soon."""
    leaving = AS_OF.astype("datetime64[us]") + ((buyers.leaves - 366) * 86_400_000_000).astype("timedelta64[us]")

    def notices(as_of: np.datetime64) -> np.ndarray:
        return (leaving < as_of + duration(21)).astype(np.float64)[:, None]

    told = fit(past, buyers.n_customers, extra=Extra(("notice",), notices))
    outlook = told.of(past, buyers.n_customers, AS_OF, notices(AS_OF))
    silent = told.of(past, buyers.n_customers, AS_OF)
    gone = bought(past, buyers.n_customers) & notices(AS_OF)[:, 0].astype(bool) & (buyers.rates >= 0.1)
    assert told.extra_names == ("notice",)
    assert outlook.churn_probability[gone].mean() > silent.churn_probability[gone].mean()


def test_one_customer_of_half_the_revenue_moves_the_others_little(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    whale, n = buyers.n_customers, buyers.n_customers + 1
    times = np.arange(AS_OF - duration(350), AS_OF, duration(7))
    values = np.full(len(times), past.values.sum() / len(times), np.float32)
    with_whale = renamed(past, whale, values, times)
    outlook, before = fit(with_whale, n).of(with_whale, n, AS_OF), fitted.of(past, n, AS_OF)
    assert outlook.expected_value[whale] == pytest.approx(4 * values[0], rel=0.6)
    assert outlook.churn_probability[whale] < 0.2
    assert outlook.expected_value[:whale].sum() == pytest.approx(before.expected_value.sum(), rel=0.1)


def test_ten_thousand_orders_and_a_single_one_stay_finite(buyers: World, past: Purchases) -> None:
    n = buyers.n_customers + 2
    times = AS_OF - duration(300) + np.arange(10_000) * duration(0.0299)
    busy = renamed(past, n - 2, np.full(10_000, 3.0, np.float32), times)
    both = renamed(busy, n - 1, np.array([5.0], np.float32), times[-1:])
    outlook = fit(both, n).of(both, n, AS_OF)
    assert np.isfinite(outlook.expected_value).all()
    assert outlook.churn_probability[n - 2] < 0.1 < outlook.churn_probability[n - 1]
    assert outlook.expected_value[n - 2] > outlook.expected_value[n - 1] > 0


def test_refunds_above_purchases_are_worth_less_but_never_below_nothing(buyers: World, past: Purchases, fitted: OutlookModel) -> None:
    customer = int(np.argmax(np.bincount(past.customers)))
    refund = renamed(past, customer, np.array([-1e6], np.float32), np.array([AS_OF - duration(1)]))
    outlook, before = (fitted.of(lines, buyers.n_customers, AS_OF).expected_value for lines in (refund, past))
    assert 0 <= outlook[customer] <= before[customer]
    many = renamed(past, customer, np.full(50, -1e6, np.float32), AS_OF - duration(1) - np.arange(50) * duration(5))
    refitted = fit(many, buyers.n_customers).of(many, buyers.n_customers, AS_OF)
    assert (refitted.expected_value >= 0).all()
    assert np.isfinite(refitted.expected_value).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e20, 3e38, -3e38])
def test_absurd_values_stay_finite(buyers: World, past: Purchases, value: float) -> None:
    values = past.values.copy()
    values[::50] = value
    absurd = replace(past, values=values)
    outlook = fit(absurd, buyers.n_customers).of(absurd, buyers.n_customers, AS_OF)
    assert np.isfinite(outlook.expected_value.astype(np.float32)).all()
    assert (outlook.expected_value >= 0).all()
    few = absurd.take(absurd.customers < 40)
    assert np.isfinite(fit(few, 40).of(few, 40, AS_OF).expected_value.astype(np.float32)).all()


def test_a_shop_of_refunds_alone_or_of_free_goods_is_served(buyers: World, past: Purchases) -> None:
    for factor in (-1.0, 0.0):
        odd = replace(past, values=past.values * np.float32(factor))
        outlook = fit(odd, buyers.n_customers).of(odd, buyers.n_customers, AS_OF)
        assert np.abs(outlook.expected_value).sum() == 0


def test_who_spent_more_is_expected_to_spend_no_less_once_they_return(past: Purchases, buyers: World, fitted: OutlookModel) -> None:
    """The same orders, a tenth dearer."""
    dearer = replace(past, values=past.values * np.float32(1.1))
    assert fitted.trees is not None
    assert fitted.population is not None
    cheap, dear = (
        fitted.trees.money.given_return(features_of(History.of(lines, buyers.n_customers), AS_OF, fitted.population, None, ()))
        for lines in (past, dearer)
    )
    assert (dear >= cheap * (1 - 1e-9)).all()

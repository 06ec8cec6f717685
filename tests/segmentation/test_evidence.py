"""What profiles rest on: figures worked by hand, and what is told of odd customers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segmentation import telling
from segmentation.cluster import SegmentModel
from segmentation.evidence import Facts
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.profile import CustomerProfile, Profiles
from segmentation.purchases import Purchases
from segmentation.taste import Bought
from segmentation.telling import lines_with, telling_things
from segmentation.voice import Voices

FIT = np.datetime64("2024-08-01", "us")
N = 130


def fit(purchases: Purchases, n_segments: int | None = 2) -> SegmentationModel:
    return fit_segmentation(purchases, N, FIT, n_segments, (0.5, 0.8), 28.0, 4, 1)


@pytest.fixture(scope="module")
def fitted(two_tastes: Purchases) -> SegmentationModel:
    return fit(two_tastes.before(FIT))


def facts(profiles: Profiles, customer: int) -> Facts:
    found = profiles.evidence.of(customer)
    assert found is not None
    return found


def profile(profiles: Profiles, customer: int) -> CustomerProfile:
    found = profiles.profile(customer, f"c{customer}")
    assert found is not None
    return found


def test_orders_money_and_times_are_those_of_the_customer(fitted: SegmentationModel, buy) -> None:
    lines = [
        (0, "2024-05-03T10:00", 4.0, 0, 0),
        (0, "2024-05-03T10:00", 2.0, 0, 2),  # the same order
        (0, "2024-07-04T00:00", 3.0, 1, 0),  # 28 days before: the first of the recent ones
        (0, "2024-07-20T09:00", np.nan, 2, 0),  # of unknown value
        (0, "2024-07-25T12:00", -2.5, 3, 0),  # a refund
        (1, "2024-07-03T23:59", 9.0, 4, 1),
    ]
    evidence = fitted.assign(buy(lines), N, FIT).evidence
    typical = fitted.lifecycle.typical_interval_days
    assert evidence.n_orders[:3].tolist() == [3, 1, 0]
    assert evidence.recent_orders[:3].tolist() == [2, 0, 0]
    np.testing.assert_array_equal(evidence.spend[:3], [6.5, 9.0, np.nan])
    np.testing.assert_array_equal(evidence.recent_spend[:3], [0.5, 0.0, np.nan])
    np.testing.assert_array_equal(evidence.first_order[:2], np.array(["2024-05-03T10:00", "2024-07-03T23:59"], "datetime64[us]"))
    assert evidence.last_order[0] == np.datetime64("2024-07-20T09:00")
    assert np.isnat(evidence.last_order[2])
    assert evidence.interval_days[:2] == pytest.approx([(78 - 1 / 24 + 2 * typical) / 4, typical])  # two gaps and two typical ones


def test_a_shop_without_money_knows_of_nothing_spent_recently_or_ever(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    past = replace(past, values=np.full(len(past), np.nan))
    profiles = fit(past).assign(past, N, FIT)
    evidence = profiles.evidence
    silent = [customer for customer in range(120) if not evidence.recent_orders[customer]]
    assert silent  # who did not buy of late spent nothing that anybody knows of, either
    assert np.isnan(evidence.recent_spend).all()
    assert np.isnan(evidence.spend).all()
    assert facts(profiles, silent[0]).recent_spend is None


def test_the_thing_that_speaks_most_is_what_the_taste_is_for(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(FIT)
    profiles = fitted.assign(past, N, FIT)
    for customer in range(120):
        found, drink = facts(profiles, customer), customer % 2
        assert found.thing == ("tea", "coffee")[drink]
        assert not found.thing_is_item
        assert found.thing_lines == ((past.customers == customer) & (past.topics == drink)).sum()


MODEL = SegmentModel(
    factors=np.array([[2.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [1.0, 1.0]], np.float32),
    means=np.array([[1.0, 0.0], [-1.0, 0.0]]),
    spreads=np.array([0.5, 0.5]),
    shares=np.array([0.75, 0.25]),
    fence=np.array(1e9),
)


def log_likelihood(row: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    return float(-((row - mean) ** 2 / variance).sum() / 2)


def test_the_parts_of_all_things_make_up_the_likelihood_of_the_segment_over_the_average_one() -> None:
    things, counts = np.array([0, 1, 3]), np.array([1.0, 2.0, 1.5])
    bought = Bought(np.zeros(3, np.int32), things.astype(np.int32), counts.astype(np.float32))
    customer, segment = np.zeros(1, np.int32), np.zeros(1, np.int16)
    told = telling_things(MODEL, bought, customer, segment)

    total, average = (counts[:, None] * MODEL.factors[things]).sum(axis=0), MODEL.shares @ MODEL.means
    variance = MODEL.spreads + 1 / counts.sum()
    parts = counts[:, None] * MODEL.factors[things] / np.linalg.norm(total) * (MODEL.means[0] - average) / variance
    assert told.things.tolist() == [0]
    assert told.weights == pytest.approx([parts.sum(axis=1).max()])
    row = total / np.linalg.norm(total)
    same_for_all_rows = ((MODEL.means[0] ** 2 - average**2) / variance).sum() / 2
    gain = log_likelihood(row, MODEL.means[0], variance) - log_likelihood(row, average, variance)
    assert parts.sum() - same_for_all_rows == pytest.approx(gain)


def test_nothing_speaks_for_a_segment_whose_things_a_customer_did_not_buy() -> None:
    bought = Bought(np.array([0, 2], np.int32), np.array([2, 1], np.int32), np.ones(2, np.float32))
    told = telling_things(MODEL, bought, np.arange(3, dtype=np.int32), np.zeros(3, np.int16))
    assert told.things.tolist() == [-1, -1, -1]  # against it; nothing bought; neither for nor against
    assert np.isnan(told.weights).all()


def test_blocks_change_nothing(two_tastes: Purchases, fitted: SegmentationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    past = two_tastes.before(FIT)
    whole = fitted.assign(past, N, FIT).evidence
    monkeypatch.setattr(telling, "BLOCK", 7)
    np.testing.assert_array_equal(whole.thing_weight, fitted.assign(past, N, FIT).evidence.thing_weight)


def test_lines_of_an_item_or_of_a_whole_topic_are_counted_without_refunds(buy) -> None:
    lines = [(0, "2024-05-01", 1.0, 0, 0), (0, "2024-05-02", 1.0, 1, 0), (0, "2024-05-02", -1.0, 1, 0), (1, "2024-05-02", 1.0, 2, 0)]
    items = np.array([0, 1, 1, 1], np.int32)
    purchases = replace(buy(lines), items=items, item_names=("i-tea", "i-other"))
    of_item, of_topic, none = 0, 1, -1  # rows of the one item that is known, and of its topic
    for thing, expected in ((of_item, [1, 0]), (of_topic, [2, 1]), (none, [0, 0])):
        assert lines_with(purchases, np.full(2, thing, np.int32), ("i-tea",), ("tea",)).tolist() == expected


def test_what_was_only_sent_back_tells_nothing(two_tastes: Purchases, fitted: SegmentationModel, buy) -> None:
    sent_back = [(0, "2024-07-01", 5.0, 0, 2), (0, "2024-07-02", -3.0, 1, 0)]
    assert facts(fitted.assign(buy(sent_back), N, FIT), 0).thing != "tea"


def test_one_order_gives_reasons_and_one_that_tells_little_names_the_runner_up(fitted: SegmentationModel, buy) -> None:
    lines = [(0, "2024-07-31T12:00", 3.0, 0, 0), (1, "2024-07-31T12:00", 3.0, 1, 2)]  # tea; cake, which all like
    profiles = fitted.assign(buy(lines), N, FIT)
    newcomer, undecided = profile(profiles, 0), profile(profiles, 1)
    codes = {reason.code: reason for reason in newcomer.reasons}
    assert (newcomer.stage, newcomer.segment_name) == ("new", "tea (by terms)")
    assert (codes["bought_topic"].number, codes["bought_topic"].name) == (1, "tea")
    assert "runner_up" not in codes
    doubt = undecided.reasons[0]
    assert (doubt.code, {doubt.name, undecided.segment}) == ("runner_up", {"s0", "s1"})
    assert doubt.number == undecided.segment_confidence
    assert doubt.against == pytest.approx(1 - undecided.segment_confidence)
    assert codes["last_order"].number == 0.5
    assert (codes["orders"].number, codes["orders"].against) == (1, 2)
    assert "usual_interval" not in codes  # one order has none


def test_a_customer_of_10_000_orders(fitted: SegmentationModel) -> None:
    n = 10_000
    times = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(30, "m")
    much = Purchases(
        np.zeros(n, np.int32), times, np.full(n, 2.0, np.float32), np.arange(n, dtype=np.int32), np.zeros(n, np.int32), ("tea",)
    )
    buyer = profile(fitted.assign(much, N, FIT), 0)
    reasons = {reason.code: reason for reason in buyer.reasons}
    assert (reasons["orders"].number, reasons["bought_topic"].number) == (n, n)
    assert reasons["usual_interval"].number == pytest.approx(1 / 48, abs=0.01)
    assert (buyer.stage, buyer.segment_confidence > 0.99) == ("loyal", True)


def test_refunds_that_exceed_purchases_are_money_below_nothing(fitted: SegmentationModel, buy) -> None:
    lines = [(0, "2024-07-10", 5.0, 0, 0), (0, "2024-07-12", -50.0, 1, 0)]
    returner = profile(fitted.assign(buy(lines), N, FIT), 0)
    spent = next(reason for reason in returner.reasons if reason.code == "recent_spend")
    assert spent.number == -45.0
    assert returner.expected_value >= 0
    assert returner.tier == "low"
    assert 0 <= returner.tier_confidence <= 1


def test_half_of_the_revenue_of_one_customer_changes_no_other(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(FIT)
    others = past.values[past.customers != 7].sum(dtype=np.float64)
    giant = replace(past, values=np.where(past.customers == 7, others / (past.customers == 7).sum(), past.values).astype(np.float32))
    before, after = fitted.assign(past, N, FIT), fitted.assign(giant, N, FIT)
    assert after.evidence.spend[7] == pytest.approx(others, rel=1e-5)
    assert profile(after, 7).tier == "high"
    for customer in (0, 8, 99):
        assert profile(after, customer) == profile(before, customer)
    refitted = profile(fit(giant).assign(giant, N, FIT), 7)
    assert np.isfinite([refitted.expected_value, refitted.tier_confidence]).all()


def test_a_shop_without_money_gives_reasons_by_lines(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    penniless = replace(past, values=np.full(len(past), np.nan, np.float32))
    who = profile(fit(penniless).assign(penniless, N, FIT), 5)
    assert not {"recent_spend"} & {reason.code for reason in who.reasons}
    assert {reason.unit for reason in who.reasons if reason.code in ("above_cut", "below_cut")} == {"lines"}
    assert any(part.startswith("expected_value:") for part in who.degraded)


def test_a_shop_without_topics_has_nothing_telling_and_no_runner_up(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    bare = replace(past, topics=np.full(len(past), -1, np.int32), topic_names=())
    who = profile(fit(bare).assign(bare, N, FIT), 5)
    codes = {reason.code for reason in who.reasons if reason.about == ("segment",)}
    assert codes == {"nothing_telling"}


def test_voices_must_be_of_the_same_customers(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    with pytest.raises(ValueError, match="voices are of 3 customers, the profiles of 130"):
        fitted.assign(two_tastes.before(FIT), N, FIT, voices=Voices.nothing(3))

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segmentation import model as module
from segmentation.errors import SegmentationError
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.profile import STAGES, TIERS, Profiles
from segmentation.purchases import Purchases

FIT = np.datetime64("2024-08-01", "us")
LATER = np.datetime64("2024-09-15", "us")
N = 125  # customers 120 and up never buy


def fit(purchases: Purchases, n_segments: int = 2, seed: int = 4) -> SegmentationModel:
    return fit_segmentation(purchases, N, FIT, n_segments, (0.5, 0.8), 28.0, seed, 1)


def assert_same(first: Profiles, second: Profiles) -> None:
    for name, column in vars(first).items():
        np.testing.assert_array_equal(column, getattr(second, name), err_msg=name)


@pytest.fixture(scope="module")
def fitted(two_tastes: Purchases) -> SegmentationModel:
    return fit(two_tastes.before(FIT))


def test_two_tastes_become_two_segments_named_after_them(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    profiles = fitted.assign(two_tastes.before(LATER), N, LATER)
    assert sorted(segment.name for segment in fitted.segments) == ["coffee (by terms)", "tea (by terms)"]
    assert [segment.id for segment in fitted.segments] == ["s0", "s1"]
    assert sum(segment.share for segment in fitted.segments) == pytest.approx(1)
    for customer in range(120):
        profile = profiles.profile(customer, str(customer))
        assert profile is not None
        assert profile.segment_name == f"{('tea', 'coffee')[customer % 2]} (by terms)"


def test_those_who_never_bought_have_no_profile(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    profiles = fitted.assign(two_tastes.before(LATER), N, LATER)
    assert [profiles.profile(customer, "x") for customer in range(120, N)] == [None] * 5
    assert profiles.tier[120:].tolist() == profiles.stage[120:].tolist() == [-1] * 5
    assert np.isnan(profiles.expected_value[120:]).all()


def test_tiers_follow_the_expected_value(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    profiles = fitted.assign(two_tastes.before(FIT), N, FIT)
    bought = profiles.expected_value[:120]
    bounds = [bought[profiles.tier[:120] == tier] for tier in range(len(TIERS))]
    assert [len(values) for values in bounds] == [60, 36, 24]
    assert bounds[0].max() <= fitted.tiers.medium_above < bounds[1].min()
    assert bounds[1].max() <= fitted.tiers.high_above < bounds[2].min()
    assert profiles.tier[95:100].tolist() == [2] * 5


def test_those_who_stopped_have_lapsed_and_the_others_have_not(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    profiles = fitted.assign(two_tastes.before(LATER), N, LATER)
    stages = [STAGES[stage] for stage in profiles.stage[:120]]
    assert set(stages[100:]) == {"lapsed"}
    assert set(stages[:100]) <= {"active", "loyal"}
    assert np.nanmin(profiles.churn_probability[100:120]) > np.nanmax(profiles.churn_probability[:100])


def test_nothing_later_than_as_of_changes_a_profile(two_tastes: Purchases) -> None:
    rewritten = replace(two_tastes, topics=np.where(two_tastes.times < LATER, two_tastes.topics, 2).astype(np.int32))
    rewritten = replace(rewritten, values=np.where(two_tastes.times < LATER, two_tastes.values, np.float32(1e6)))
    known, other_future = (fit(world.before(FIT)).assign(world.before(LATER), N, LATER) for world in (two_tastes, rewritten))
    assert_same(known, other_future)


def test_a_profile_does_not_depend_on_other_customers(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(LATER)
    everybody = fitted.assign(past, N, LATER)
    for customer in (0, 51, 119):
        alone = fitted.assign(past.take(past.customers == customer), N, LATER)
        assert alone.profile(customer, "x") == everybody.profile(customer, "x")
        assert alone.profile((customer + 1) % 120, "x") is None


def test_the_future_is_refused(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    with pytest.raises(ValueError, match="not before as_of"):
        fit(two_tastes)
    with pytest.raises(ValueError, match="not before as_of"):
        fitted.assign(two_tastes, N, LATER)
    early = np.datetime64("2024-06-01", "us")
    with pytest.raises(ValueError, match="before this segmentation was fitted"):
        fitted.assign(two_tastes.before(early), N, early)


def test_equal_seeds_give_equal_profiles_and_lines_may_come_in_any_order(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(FIT)
    reversed_lines = past.take(np.arange(len(past))[::-1])
    assert_same(fitted.assign(past, N, FIT), fit(past).assign(reversed_lines, N, FIT))


def test_topics_may_be_numbered_anew_and_new_ones_appear(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(LATER)
    renumbered = replace(past, topics=(past.topics + 1).astype(np.int32), topic_names=("beer", *past.topic_names))
    assert_same(fitted.assign(past, N, LATER), fitted.assign(renumbered, N, LATER))


def test_a_saved_model_gives_the_same_answers_and_the_same_files(two_tastes: Purchases, fitted: SegmentationModel, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a")
    loaded = SegmentationModel.load(tmp_path / "a")
    assert_same(fitted.assign(two_tastes.before(LATER), N, LATER), loaded.assign(two_tastes.before(LATER), N, LATER))
    loaded.save(tmp_path / "b")
    for file in ("segmentation.json", "segmentation.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("file", ["segmentation.json", "segmentation.npz"])
@pytest.mark.parametrize("damage", [None, b"", b"{}", b"PK\x03\x04"])
def test_damaged_files_are_an_error(fitted: SegmentationModel, tmp_path: Path, file: str, damage: bytes | None) -> None:
    fitted.save(tmp_path)
    (tmp_path / file).unlink() if damage is None else (tmp_path / file).write_bytes(damage)
    with pytest.raises(SegmentationError, match="does not hold a segmentation"):
        SegmentationModel.load(tmp_path)


def test_blocks_and_samples_change_no_assignment(two_tastes: Purchases, fitted: SegmentationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    past = two_tastes.before(LATER)
    whole = fitted.assign(past, N, LATER)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert_same(whole, fitted.assign(past, N, LATER))
    monkeypatch.setattr(module, "MAX_CUSTOMERS_TO_CLUSTER", 40)
    names = [fit(two_tastes.before(FIT)).assign(past, N, LATER).profile(customer, "x") for customer in (0, 1)]
    assert [profile and profile.segment_name for profile in names] == ["tea (by terms)", "coffee (by terms)"]


def test_lines_of_unknown_value_count_as_the_average_line(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    values = np.where(past.customers == 3, np.float32(np.nan), past.values)
    known = float(np.nanmean(values.astype(np.float64)))
    with_gaps = replace(past, values=values)
    filled = replace(past, values=np.where(np.isnan(values), np.float32(known), values))
    assert_same(fit(with_gaps).assign(with_gaps, N, FIT), fit(filled).assign(filled, N, FIT))


def test_a_shop_without_money_has_tiers_by_lines_and_no_expected_value(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    penniless = replace(past, values=np.full(len(past), np.nan, np.float32))
    profiles = fit(penniless).assign(penniless, N, FIT)
    assert np.isnan(profiles.expected_value).all()
    weekly, slow = profiles.tier[0:100:5], profiles.tier[4:100:5]
    assert weekly.min() > slow.max()


def test_a_shop_without_topics_is_segmented_by_behaviour(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    bare = replace(past, topics=np.full(len(past), -1, np.int32), topic_names=())
    words = {word for segment in fit(bare).segments for word in segment.terms}
    assert words <= {word for pair in module.BEHAVIOURS for word in pair}
    assert words


def test_one_customer_with_one_order_is_enough(buy) -> None:
    lonely = buy([(1, "2024-07-30", 9.0, 0, 0)])
    profile = fit(lonely, n_segments=8).assign(lonely, N, FIT).profile(1, "x")
    assert profile is not None
    assert (profile.segment, profile.stage, profile.tier) == ("s0", "new", "low")
    assert profile.expected_value > 0


def test_no_purchases_at_all_is_an_error(buy) -> None:
    with pytest.raises(SegmentationError, match="no purchases before"):
        fit(buy([]))

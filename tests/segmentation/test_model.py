from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation import cluster
from segmentation import model as module
from segmentation.errors import SegmentationError
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.portraits import Wrote
from segmentation.profile import STAGES, TIERS
from segmentation.purchases import Purchases

FIT = np.datetime64("2024-08-01", "us")
LATER = np.datetime64("2024-09-15", "us")
N = 125  # customers 120 and up never buy


def fit(purchases: Purchases, n_segments: int | None = 2, seed: int = 4) -> SegmentationModel:
    return fit_segmentation(purchases, N, FIT, n_segments, (0.5, 0.8), 28.0, seed, 1)


def assert_same(first: Any, second: Any) -> None:
    """Two profiles, evidences or voices are alike, bit by bit."""
    for name, column in vars(first).items():
        if is_dataclass(column):
            assert_same(column, getattr(second, name))
        else:
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
    monkeypatch.setattr(cluster, "BLOCK", 7)
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
    gaps, whole = fit(with_gaps).assign(with_gaps, N, FIT), fit(filled).assign(filled, N, FIT)
    assert gaps.evidence.spend[3] == gaps.evidence.recent_spend[3] == 0  # but nobody is said to have paid what is not known
    unsaid = {"spend": whole.evidence.spend, "recent_spend": whole.evidence.recent_spend}
    assert_same(replace(gaps, evidence=replace(gaps.evidence, **unsaid)), whole)


def test_a_shop_without_money_has_tiers_by_lines_and_no_expected_value(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    penniless = replace(past, values=np.full(len(past), np.nan, np.float32))
    profiles = fit(penniless).assign(penniless, N, FIT)
    assert np.isnan(profiles.expected_value).all()
    weekly, slow = profiles.tier[0:100:5], profiles.tier[4:100:5]
    assert weekly.min() > slow.max()


def test_a_shop_that_names_neither_items_nor_topics_has_one_segment(two_tastes: Purchases) -> None:
    past = two_tastes.before(FIT)
    bare = replace(past, topics=np.full(len(past), -1, np.int32), topic_names=())
    model = fit(bare)
    assert [segment.name for segment in model.segments] == ["Mixed (by terms)"]
    assert set(model.assign(bare, N, FIT).segment[:120]) == {0}


def with_items(purchases: Purchases) -> Purchases:
    """The same with items instead of topics, and one line of an item that hardly anybody buys."""
    items = purchases.topics.copy()
    items[0] = 3
    return replace(
        purchases,
        topics=np.zeros(len(items), np.int32),
        topic_names=("drinks",),
        items=items,
        item_names=("i-tea", "i-coffee", "i-cake", "i-rare"),
    )


def test_items_part_tastes_where_topics_do_not(two_tastes: Purchases) -> None:
    past = with_items(two_tastes.before(FIT))
    model = fit_segmentation(past, N, FIT, 2, (0.5, 0.8), 28.0, 4, 1, titles={"i-tea": "Tea of the house"})
    assert sorted(model.item_names) == ["i-cake", "i-coffee", "i-tea"]
    segment = model.assign(past, N, FIT).segment[:120]
    assert len(set(segment[::2])) == len(set(segment[1::2])) == 1
    assert segment[0] != segment[1]
    tea = model.segments[segment[0]].description
    bought = next(statement for statement in tea if statement.statistic == "bought: Tea of the house")
    assert (bought.value, bought.everybody) == (1.0, 0.5)
    assert {statement.statistic for statement in tea} > {"share of customers", "orders a month", "order value"}


def test_items_may_be_numbered_anew(two_tastes: Purchases) -> None:
    past = with_items(two_tastes.before(FIT))
    assert past.items is not None
    renumbered = replace(past, items=(past.items + 1).astype(np.int32), item_names=("i-new", *past.item_names))
    model = fit(past)
    assert_same(model.assign(past, N, FIT), model.assign(renumbered, N, FIT))


def test_the_number_of_segments_is_chosen_with_reasons(two_tastes: Purchases) -> None:
    model = fit(two_tastes.before(FIT), n_segments=None)
    assert len(model.segments) == 2
    best = next(candidate for candidate in model.choice if candidate.n_segments == 2)
    assert best.stability > 0.95
    assert best.silhouette > 0.8


def test_a_language_model_names_segments_and_is_refused_where_it_invents(two_tastes: Purchases) -> None:
    seen: list[str] = []

    def namer(evidence: str) -> str:
        seen.append(evidence)
        return "Tea people\nThey like tea." if "by: tea" in evidence else "Millionaires"

    model = fit_segmentation(two_tastes.before(FIT), N, FIT, 2, (0.5, 0.8), 28.0, 4, 1, namer=namer)
    assert {(segment.name, segment.summary) for segment in model.segments} == {("Tea people", "They like tea."), ("coffee (by terms)", "")}
    assert sorted(segment.is_named_by_terms for segment in model.segments) == [False, True]
    assert len(seen) == 2


def test_phrases_that_customers_wrote_are_evidence(two_tastes: Purchases) -> None:
    even = np.arange(0, 120, 2, dtype=np.int32)
    wrote = Wrote(even, np.zeros(60, np.int32), ("calming",))
    model = fit_segmentation(two_tastes.before(FIT), N, FIT, 2, (0.5, 0.8), 28.0, 4, 1, wrote=wrote)
    told = [[s.statistic for s in segment.description if s.statistic.startswith("wrote")] for segment in model.segments]
    assert sorted(told) == [[], ["wrote of: calming"]]


def test_a_refit_keeps_ids_and_says_who_moved(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(LATER)
    later = fit_segmentation(past, N, LATER, 2, (0.5, 0.8), 28.0, 9, 1)
    later = replace(later, segments=tuple(replace(segment, id=f"x{segment.id}") for segment in later.segments))
    same, succession = later.succeeding(fitted, past, N)
    assert sorted(segment.id for segment in same.segments) == ["s0", "s1"]
    assert (succession.new, succession.retired, succession.moved_share) == ((), (), 0.0)
    before, after = fitted.assign(past, N, LATER), same.assign(past, N, LATER)
    for customer in (0, 1, 119):
        first, second = before.profile(customer, "x"), after.profile(customer, "x")
        assert first is not None
        assert second is not None
        assert first.segment == second.segment


def test_a_customer_stays_in_its_segment_until_another_leads(two_tastes: Purchases, fitted: SegmentationModel) -> None:
    past = two_tastes.before(LATER)
    plain = fitted.assign(past, N, LATER)
    before = replace(
        fitted.assign(two_tastes.before(FIT), N, FIT), segment=np.where(plain.segment >= 0, 1 - plain.segment, -1).astype(np.int16)
    )
    np.testing.assert_array_equal(fitted.assign(past, N, LATER, previous=before).segment, plain.segment)  # tastes are plain here
    np.testing.assert_array_equal(fitted.assign(past, N, LATER, previous=before, margin=1.0).segment, before.segment)
    with pytest.raises(ValueError, match="previous profiles are of"):
        fitted.assign(two_tastes.before(FIT), N, FIT, previous=plain)


def test_a_newcomer_has_a_segment_at_once_with_little_confidence(two_tastes: Purchases, fitted: SegmentationModel, buy) -> None:
    past = two_tastes.before(LATER)
    plain = fitted.assign(past, N, LATER)
    first = buy([(0, "2024-09-14", 3.0, 0, 0)])
    newcomer = fitted.assign(first, N, LATER)
    assert newcomer.segment[0] == plain.segment[0]
    assert 0.5 < newcomer.segment_confidence[0] < plain.segment_confidence[0]


def test_one_customer_with_one_order_is_enough(buy) -> None:
    lonely = buy([(1, "2024-07-30", 9.0, 0, 0)])
    profile = fit(lonely, n_segments=8).assign(lonely, N, FIT).profile(1, "x")
    assert profile is not None
    assert (profile.segment, profile.stage, profile.tier) == ("s0", "new", "low")
    assert profile.expected_value > 0


def test_no_purchases_at_all_is_an_error(buy) -> None:
    with pytest.raises(SegmentationError, match="no purchases before"):
        fit(buy([]))

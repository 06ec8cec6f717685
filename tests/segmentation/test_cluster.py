from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from segmentation.cluster import SegmentModel, fit_segments, one_segment
from segmentation.taste import Bought

EVERYONE = np.arange(160, dtype=np.int32)
N_THINGS = 40


def planted(sizes: tuple[int, ...] = (80, 50, 30), seed: int = 0, n_bought: int = 15) -> tuple[Bought, np.ndarray]:
    """Customers who buy mostly the things of their group, and their groups; things are split evenly among groups."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    own = N_THINGS // len(sizes)
    customers = np.repeat(np.arange(len(groups)), n_bought).astype(np.int32)
    things = np.where(rng.random(len(customers)) < 0.8, groups[customers] * own + rng.integers(own, size=len(customers)), 0)
    things = np.where(things == 0, rng.integers(N_THINGS, size=len(customers)), things).astype(np.int32)
    return Bought.of(customers, things, N_THINGS), groups


def test_planted_groups_are_found_largest_first() -> None:
    bought, groups = planted()
    model, _ = fit_segments(bought, EVERYONE, N_THINGS, 3, seed=5, n_threads=1)
    found = model.assign(bought, EVERYONE)
    assert (found.segments == groups).mean() > 0.97
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert found.posterior.sum(axis=1) == pytest.approx(np.ones(160), abs=1e-5)
    assert model.shares.tolist() == sorted(model.shares, reverse=True)


def test_as_many_segments_as_come_out_again_are_formed() -> None:
    bought, _ = planted()
    model, candidates = fit_segments(bought, EVERYONE, N_THINGS, None, seed=5, n_threads=1)
    assert len(model.means) == 3
    assert max(candidates, key=lambda candidate: candidate.stability).n_segments == 3


def test_where_nothing_is_to_be_found_there_is_one_segment() -> None:
    rng = np.random.default_rng(2)
    bought = Bought.of(np.repeat(EVERYONE, 15), rng.integers(N_THINGS, size=15 * 160).astype(np.int32), N_THINGS)
    model, candidates = fit_segments(bought, EVERYONE, N_THINGS, None, seed=5, n_threads=1)
    assert len(model.means) == 1
    assert candidates
    assert model.assign(bought, EVERYONE).confidence.tolist() == [1.0] * 160


def test_the_less_is_known_the_less_confidence() -> None:
    bought, _ = planted()
    model, _ = fit_segments(bought, EVERYONE, N_THINGS, 3, seed=5, n_threads=1)
    mine = 1 + np.arange(10)  # things of the first group
    thin = Bought.of(np.zeros(1, np.int32), mine[:1].astype(np.int32), N_THINGS)
    thick = Bought.of(np.zeros(10, np.int32), mine.astype(np.int32), N_THINGS)
    none = Bought.of(np.zeros(1, np.int32), np.array([-1], np.int32), N_THINGS)
    one = np.zeros(1, np.int32)
    first, second, third = (model.assign(what, one) for what in (none, thin, thick))
    assert first.segments[0] == second.segments[0] == third.segments[0] == 0
    assert first.confidence[0] == pytest.approx(model.shares[0])
    assert first.confidence[0] < second.confidence[0] < third.confidence[0]
    assert not first.outlier[0]


def test_who_is_far_from_every_segment_is_an_outlier() -> None:
    model = SegmentModel(np.eye(2, dtype=np.float32), np.array([[1.0, 0.0]]), np.full(2, 1e-3), np.ones(1), np.array(9.0))
    bought = Bought(np.repeat([0, 1], 1).astype(np.int32), np.array([0, 1], np.int32), np.array([100.0, 100.0], np.float32))
    found = model.assign(bought, np.array([0, 1], np.int32))
    assert found.outlier.tolist() == [False, True]  # squared distances 0 and 2 / 0.011
    assert found.confidence.tolist() == [1.0, 0.0]


def test_a_customer_does_not_depend_on_others() -> None:
    bought, _ = planted()
    model, _ = fit_segments(bought, EVERYONE, N_THINGS, 3, seed=5, n_threads=1)
    together = model.assign(bought, EVERYONE)
    for row in (0, 17, 159):
        alone = model.assign(bought, EVERYONE[[row]])
        assert alone.segments[0] == together.segments[row]
        assert alone.confidence[0] == together.confidence[row]


def test_equal_seeds_give_equal_models() -> None:
    bought, _ = planted()
    (first, reasons), (again, same_reasons) = (fit_segments(bought, EVERYONE, N_THINGS, 4, seed=9, n_threads=1) for _ in range(2))
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(again, name))
    assert reasons == same_reasons


def test_a_handful_of_strangers_is_no_segment() -> None:
    bought, _ = planted((400, 398, 2))
    everyone = np.arange(800, dtype=np.int32)
    model, _ = fit_segments(bought, everyone, N_THINGS, 3, seed=5, n_threads=1)
    assert np.bincount(model.assign(bought, everyone).segments).min() > 8


def test_a_held_segment_is_kept_unless_another_leads_by_the_margin() -> None:
    model = SegmentModel(np.array([[1.0], [-1.0]], np.float32), np.array([[1.0], [-1.0]]), np.ones(1), np.array([0.5, 0.5]), np.array(99.0))
    bought = Bought(np.array([0], np.int32), np.array([0], np.int32), np.ones(1, np.float32))
    one = np.zeros(1, np.int32)
    posterior = 1 / (1 + np.exp(-4 / 2 / 2))  # squared distances 0 and 4, variance 1 + 1
    lead = 2 * posterior - 1
    for margin, expected in ((lead - 0.01, 0), (lead + 0.01, 1)):
        found = model.assign(bought, one, held=np.array([1], np.int16), margin=margin)
        assert found.segments[0] == expected
        assert found.confidence[0] == pytest.approx(posterior if expected == 0 else 1 - posterior)


def test_customers_who_do_not_differ_form_one_segment() -> None:
    bought = Bought.of(np.repeat(np.arange(20), 3).astype(np.int32), np.tile(np.arange(3), 20).astype(np.int32), 3)
    model, _ = fit_segments(bought, np.arange(20, dtype=np.int32), 3, 8, seed=5, n_threads=1)
    assert len(model.means) == 1


@pytest.mark.parametrize(("n", "n_segments"), [(0, 2), (5, 0)])
def test_nothing_to_group_is_refused(n: int, n_segments: int) -> None:
    with pytest.raises(ValueError, match="cannot form"):
        fit_segments(planted()[0], np.arange(n, dtype=np.int32), N_THINGS, n_segments, seed=1, n_threads=1)


def test_assigning_needs_no_scikit_learn() -> None:
    code = (
        "import sys, numpy as np, segmentation.model\n"
        "from segmentation.cluster import one_segment\n"
        "from segmentation.taste import Bought\n"
        "one = np.zeros(1, np.int32)\n"
        "one_segment(1).assign(Bought.of(one, one, 1), one)\n"
        "assert not {'sklearn', 'scipy', 'pandas'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_segment_takes_everybody() -> None:
    found = one_segment(N_THINGS).assign(planted()[0], EVERYONE)
    assert set(found.segments) == {0}
    assert not found.outlier.any()

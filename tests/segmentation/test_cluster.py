from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from segmentation.cluster import SegmentModel, fit_segments


def planted(sizes: tuple[int, ...] = (60, 40), seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Customers whose lines fall mostly on the topic of their group; counts, two behaviour columns without meaning, groups."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    taste = 0.1 / len(sizes) + 0.9 * np.eye(len(sizes))
    counts = np.stack([rng.multinomial(30, taste[group]) for group in groups]).astype(np.float32)
    return counts, rng.normal(size=(len(groups), 2)).astype(np.float32), groups


def test_planted_groups_are_found_largest_first() -> None:
    counts, behaviour, groups = planted((50, 30, 80))
    segments, confidence = fit_segments(counts, behaviour, 3, seed=5, n_threads=1).assign(counts, behaviour)
    expected = np.array([1, 2, 0])[groups]
    assert segments.tolist() == expected.tolist()
    assert (confidence > 0.3).mean() > 0.9
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_a_customer_between_two_segments_has_little_confidence() -> None:
    counts, behaviour, _ = planted((50, 50))
    model = fit_segments(counts, behaviour[:, :0], 2, seed=5, n_threads=1)
    rows = np.array([[15, 15], [30, 0]], np.float32)
    _, (between, clear) = model.assign(rows, np.empty((2, 0), np.float32))
    assert between < 0.15 < clear


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    counts, behaviour, _ = planted()
    model = fit_segments(counts, behaviour, 2, seed=5, n_threads=1)
    together = model.assign(counts, behaviour)
    for row in (0, 17, 99):
        alone = model.assign(counts[[row]], behaviour[[row]])
        assert alone[0][0] == together[0][row]
        assert alone[1][0] == pytest.approx(together[1][row], abs=1e-6)


def test_equal_seeds_give_equal_models() -> None:
    counts, behaviour, _ = planted()
    first, again = (fit_segments(counts, behaviour, 4, seed=9, n_threads=1) for _ in range(2))
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(again, name))


def test_a_handful_of_outliers_is_no_segment() -> None:
    counts, behaviour, _ = planted((300, 300))
    strange = np.concatenate([counts, np.zeros((600, 1))], axis=1, dtype=np.float32)
    strange[:2] = [0, 0, 3000]
    model = fit_segments(strange, behaviour, 3, seed=5, n_threads=1)
    sizes = np.bincount(model.assign(strange, behaviour)[0])
    assert len(model.centroids) == 2
    assert sizes.min() > 250


def test_customers_who_do_not_differ_form_one_segment() -> None:
    counts, behaviour = np.ones((20, 3), np.float32), np.ones((20, 2), np.float32)
    model = fit_segments(counts, behaviour, 8, seed=5, n_threads=1)
    segments, confidence = model.assign(counts, behaviour)
    assert len(model.centroids) == 1
    assert segments.tolist() == [0] * 20
    assert confidence.tolist() == [1.0] * 20


def test_without_topics_behaviour_alone_parts_customers() -> None:
    behaviour = np.repeat([[0.0, 1.0], [5.0, 1.0]], 10, axis=0).astype(np.float32)
    counts = np.empty((20, 0), np.float32)
    segments, _ = fit_segments(counts, behaviour, 2, seed=5, n_threads=1).assign(counts, behaviour)
    assert len(set(segments[:10])) == len(set(segments[10:])) == 1
    assert segments[0] != segments[10]


def test_a_customer_without_a_known_topic_is_assigned_all_the_same() -> None:
    counts, behaviour, _ = planted()
    segments, confidence = fit_segments(counts, behaviour, 2, seed=5, n_threads=1).assign(np.zeros((1, 2), np.float32), behaviour[:1])
    assert segments[0] in (0, 1)
    assert np.isfinite(confidence).all()


@pytest.mark.parametrize(("n", "n_topics", "n_segments"), [(0, 2, 2), (5, 0, 2), (5, 2, 0)])
def test_nothing_to_cluster_is_refused(n: int, n_topics: int, n_segments: int) -> None:
    with pytest.raises(ValueError, match="cannot form"):
        fit_segments(np.ones((n, n_topics), np.float32), np.ones((n, 0), np.float32), n_segments, seed=1, n_threads=1)


def test_assigning_needs_no_scikit_learn() -> None:
    code = (
        "import sys, numpy as np, segmentation.model\n"
        "from segmentation.cluster import SegmentModel\n"
        "ones = np.ones(1, np.float32)\n"
        "SegmentModel(ones, ones, ones, np.ones((2, 1), np.float32)).assign(np.ones((3, 1), np.float32), np.ones((3, 0), np.float32))\n"
        "assert not {'sklearn', 'scipy', 'pandas'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_distances_are_to_the_nearest_centroid() -> None:
    none, one = np.zeros(0, np.float32), np.ones(1, np.float32)
    model = SegmentModel(none, 2 * one, 0.5 * one, np.array([[0.0], [4.0]], np.float32))
    segments, confidence = model.assign(np.empty((3, 0), np.float32), np.array([[2.0], [4.0], [9.0]], np.float32))
    assert segments.tolist() == [0, 0, 1]  # columns become 0, 1 and 3.5
    np.testing.assert_allclose(confidence, [1.0, 1 - 1 / 3, 1 - 0.5 / 3.5], rtol=1e-6)

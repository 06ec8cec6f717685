from __future__ import annotations

import numpy as np
from sayings import FEELINGS, FILLING, WordReader, review

from segmentation.probes import BOTH, MIN_PER_CLASS, WORDS, Probe, Verdict, fit_probe, macro_f1_bounds, near_duplicates
from segmentation.purchases import Floats

CLASSES = tuple(FEELINGS)


def _texts(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return [review(CLASSES[label], rng) for label in labels], labels


def _fit(texts: list[str], labels: np.ndarray, embeddings: Floats | None = None, seed: int = 1) -> tuple[Probe | None, Verdict]:
    vectors = WordReader().encode(texts) if embeddings is None else embeddings
    return fit_probe(texts, labels, CLASSES, vectors, seed=seed, n_threads=1)


def test_a_probe_reads_texts_that_it_was_not_taught_by() -> None:
    probe, verdict = _fit(*_texts(300))
    assert probe is not None
    texts, labels = _texts(100, seed=9)
    likely = probe.read(texts, WordReader().encode(texts))
    assert (likely.argmax(axis=1) == labels).mean() > 0.95
    np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-5)
    assert verdict.kappa_low is not None
    assert verdict.kappa_low > 0.8
    assert verdict.n_texts == {name: int((_texts(300)[1] == row).sum()) for row, name in enumerate(CLASSES)}


def test_labels_without_meaning_are_refused() -> None:
    texts, labels = _texts(200)
    probe, verdict = _fit(texts, np.random.default_rng(4).permutation(labels))
    assert probe is None
    assert verdict.by == ""
    assert "beyond chance" in verdict.reason


def test_an_embedding_that_says_nothing_leaves_the_reading_to_the_words() -> None:
    texts, labels = _texts(300)
    noise = np.random.default_rng(2).normal(size=(300, 16)).astype(np.float32)
    probe, verdict = _fit(texts, labels, noise / np.linalg.norm(noise, axis=1, keepdims=True))
    assert probe is not None
    assert (probe.by, verdict.by) == (WORDS, WORDS)
    assert verdict.reason
    assert probe.read(texts, None).shape == (300, 3)
    assert verdict.macro_f1["embedding"] < verdict.macro_f1["words"]


def test_an_embedding_that_says_more_than_words_is_read() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 200)
    texts = [" ".join(rng.choice(FILLING, 5)) + str(row) for row in range(200)]
    vectors = np.eye(8, dtype=np.float32)[labels] + 0.1 * rng.normal(size=(200, 8)).astype(np.float32)
    probe, verdict = _fit(texts, labels, vectors)
    assert probe is not None
    assert probe.by == BOTH
    assert verdict.difference is not None
    assert verdict.difference[0] > 0.3


def test_a_class_with_too_few_texts_is_left_out() -> None:
    texts, labels = _texts(200)
    few = np.flatnonzero(labels == 1)[: MIN_PER_CLASS - 1]
    rows = np.sort(np.concatenate([np.flatnonzero(labels != 1), few]))
    probe, verdict = _fit([texts[row] for row in rows], labels[rows])
    assert probe is not None
    assert probe.classes == ("negative", "positive")
    assert verdict.n_texts["neutral"] == MIN_PER_CLASS - 1


def test_near_duplicates_count_once_so_copies_teach_no_class() -> None:
    texts, _ = _texts(100)
    copies = [f"Splendid, the very same thing that everybody here has always written about it, number {n}" for n in range(50)]
    probe, verdict = fit_probe(
        [*texts[:50], *copies], np.array([0] * 50 + [2] * 50), CLASSES, WordReader().encode([*texts[:50], *copies]), seed=0, n_threads=1
    )
    assert probe is None
    assert "fewer than two classes" in verdict.reason


def test_texts_that_begin_or_end_alike_are_near_duplicates_also_by_way_of_others() -> None:
    beginning, end = (
        "this is how the long text begins and it goes on and on for a while",
        "and that is how the other one ends after having gone on for a while",
    )
    groups = near_duplicates([beginning + " 1 x", beginning.upper() + " 2 " + end, "y " + end, "short", "Short!", "other"])
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] == groups[4]
    assert len(set(groups.tolist())) == 3


def test_equal_seeds_give_equal_probes() -> None:
    (first, one), (second, two) = _fit(*_texts(150)), _fit(*_texts(150))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.word_weights, second.word_weights)
    assert one == two


def test_probabilities_hold() -> None:
    """Words that go with a class in 87 of 100 texts: the probe is right about as often as it says."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 900)
    shown = np.where(rng.random(900) < 0.8, labels, rng.integers(0, 3, 900))
    texts = [review(CLASSES[label], rng) for label in shown]
    probe, verdict = _fit(texts[:600], labels[:600])
    assert probe is not None
    assert verdict.calibration_error is not None
    assert verdict.calibration_error < 0.12
    likely = probe.read(texts[600:], WordReader().encode(texts[600:]))
    assert abs(likely.max(axis=1).mean() - (likely.argmax(axis=1) == labels[600:]).mean()) < 0.05


def test_macro_f1_has_bounds_around_it() -> None:
    found, low, high = macro_f1_bounds(np.array([0, 1, 1, 0] * 25), np.array([0, 1, 0, 0] * 25), seed=0)
    assert low < found < high
    assert found == (2 * 50 / (50 + 75) + 2 * 25 / (50 + 25)) / 2

"""How reading many texts survives a kill, and what its cache keeps and forgets; with a tiny random BERT in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trunks import write_trunk

import recsys.text.embedding_cache as cache_module
from recsys.config import TextConfig
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import TextEncoder, load_encoder
from recsys.types import Floats

WORDS = ["red", "green", "blue", "hat", "coat", "shoe"]
TEXTS = [f"{one} {two}" for one in WORDS for two in WORDS]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trunk(tmp_path_factory.mktemp("trunk"), WORDS)


def load(folder: Path, **settings: Any) -> TextEncoder:
    return load_encoder(
        TextConfig(**{"trunk": str(folder), "max_tokens": 16, "precision": "float32", "batch_size": 4, **settings}), n_threads=1
    )


class Steps:
    """Collects progress; raises KeyboardInterrupt once `limit` reports came."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.seen = limit, list[tuple[int, int, str]]()

    def __call__(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))
        if len(self.seen) == self.limit:
            raise KeyboardInterrupt


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_CHUNK", 8)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that encoders really read from here on, in order."""
    read: list[str] = []
    encode = TextEncoder.encode

    def watched(self: TextEncoder, texts: Sequence[str]) -> Floats:
        read.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", watched)
    return read


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_goes_on_and_changes_no_bit(
    trunk: Path, tmp_path: Path, encoded: list[str], precision: str, killed_after: int
) -> None:
    encoder = load(trunk, precision=precision)
    undisturbed = encode_texts(encoder, TEXTS, tmp_path / "one", Steps())
    assert sorted(encoded) == sorted(TEXTS)

    with pytest.raises(KeyboardInterrupt):
        encode_texts(encoder, TEXTS, tmp_path / "two", steps := Steps(killed_after))
    encoded.clear()
    resumed = encode_texts(encoder, TEXTS[::-1], tmp_path / "two", Steps())
    np.testing.assert_array_equal(resumed[::-1], undisturbed)
    assert len(encoded) == len(TEXTS) - steps.seen[-1][0]


@pytest.mark.usefixtures("small_chunks")
def test_what_was_read_once_is_not_read_again_among_whatever_texts(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encoder = load(trunk)
    first = encode_texts(encoder, TEXTS, tmp_path, Steps())
    encoded.clear()
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS, tmp_path, Steps()), first)
    assert encoded == []
    more = encode_texts(encoder, ["green blue hat", *TEXTS[7:20], "coat"], tmp_path, steps := Steps())
    assert encoded == ["coat", "green blue hat"]
    assert [done for done, _, _ in steps.seen] == [13, 15]
    np.testing.assert_array_equal(more[1:14], first[7:20])
    np.testing.assert_array_equal(encode_texts(encoder, ["coat", "green blue hat"], tmp_path, Steps()), more[[14, 0]])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_what_is_read_beside_a_text_does_not_change_its_embedding(trunk: Path, tmp_path: Path, precision: str) -> None:
    encoder = load(trunk, precision=precision, batch_size=64)
    together = encode_texts(encoder, [*TEXTS, "hat " * 14], tmp_path / "together", Steps())
    for row in (0, 17, 35):
        alone = encode_texts(encoder, TEXTS[row : row + 1], tmp_path / str(row), Steps())[0]
        assert alone @ together[row] > 1 - 1e-5
        assert np.median(together @ alone) < 1 - 1e-4


@pytest.mark.usefixtures("small_chunks")
def test_repeats_are_encoded_once_and_progress_counts_distinct_texts(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encoder, steps = load(trunk), Steps()
    embeddings = encode_texts(encoder, TEXTS * 3, tmp_path, steps)
    assert sorted(encoded) == sorted(TEXTS)
    np.testing.assert_array_equal(embeddings[: len(TEXTS)], embeddings[len(TEXTS) : 2 * len(TEXTS)])
    np.testing.assert_allclose(embeddings[: len(TEXTS)], encoder.encode(TEXTS), atol=1e-5)
    assert steps.seen[-1] == (len(TEXTS), len(TEXTS), "texts encoded")
    assert [done for done, _, _ in steps.seen] == sorted(done for done, _, _ in steps.seen)


def test_a_file_cut_off_on_disk_is_read_again(trunk: Path, tmp_path: Path) -> None:
    encoder = load(trunk)
    first = encode_texts(encoder, TEXTS, tmp_path, Steps())
    (file,) = tmp_path.iterdir()
    for kept in (1400, 400, 100, 7, 0):
        file.write_bytes(file.read_bytes()[:kept])
        np.testing.assert_array_equal(encode_texts(encoder, TEXTS, tmp_path, Steps()), first)
    assert list(tmp_path.iterdir()) == [file]


def test_another_trunk_takes_nothing_that_the_first_read(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encode_texts(load(trunk), TEXTS, tmp_path, Steps())
    encoded.clear()
    encode_texts(load(trunk, max_tokens=8), TEXTS, tmp_path, Steps())
    assert len(encoded) == len(TEXTS)


def test_no_texts_are_no_work(trunk: Path, tmp_path: Path) -> None:
    assert encode_texts(load(trunk), [], tmp_path / "new", Steps()).shape == (0, 16)


@pytest.mark.usefixtures("small_chunks")
def test_the_cache_forgets_what_went_unused_longest(
    trunk: Path, tmp_path: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(trunk)
    left = tmp_path / f"{'0' * 32}.123"  # of a run that was killed
    for age, group in enumerate((TEXTS[:6], TEXTS[6:12], TEXTS[12:18], TEXTS[18:24])):
        encode_texts(encoder, group, tmp_path, Steps())
        for file in tmp_path.iterdir():
            os.utime(file, (age, age)) if file.stat().st_mtime > 100 else None
    left.write_bytes(b"x" * 1000)
    os.utime(left, (0, 0))
    (tmp_path / "notes.txt").write_text("mine")
    encode_texts(encoder, TEXTS[:6], tmp_path, Steps())
    assert left.exists()

    monkeypatch.setattr(cache_module, "_CACHE_BYTES", 1)
    encode_texts(encoder, TEXTS[24:27], tmp_path, Steps())
    assert not left.exists()
    assert (tmp_path / "notes.txt").exists()
    encoded.clear()
    encode_texts(encoder, TEXTS[24:27], tmp_path, Steps())
    encode_texts(encoder, TEXTS[:6], tmp_path, Steps())
    assert encoded == []
    encode_texts(encoder, TEXTS[6:12], tmp_path, Steps())
    assert sorted(encoded) == sorted(TEXTS[6:12])

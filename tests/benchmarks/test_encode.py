"""What the encoding benchmark measures is right: its loop, its neighbours, its recall; on a tiny BERT."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trunks import write_trunk

from benchmarks.encode import INSTRUMENTS, Row, Texts, draw, main, measure, nearest, overlap, planted, public, systems, with_recall
from recsys.config import TextConfig
from recsys.types import Floats

WORDS = ["red", "green", "blue", "hat", "coat", "shoe", "warm", "light"]
TITLES = [f"{one} {two}" for one in WORDS for two in WORDS if one != two]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    folder = write_trunk(tmp_path_factory.mktemp("trunk"), WORDS)
    return TextConfig(trunk=str(folder), max_tokens=16, batch_size=8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Public data in small: each item once reviewed with the words of its title in the other order."""
    ids = [f"i{number}" for number in range(len(TITLES))]
    items = pd.DataFrame({"item_id": [*ids, "none"], "title": [*TITLES, None]})
    reviews = pd.DataFrame({"item_id": [*ids, "none", "i0"], "review_text": [*(f"warm {title} hat" for title in TITLES), "red", None]})
    items.to_parquet(tmp_path / f"{INSTRUMENTS}_items.parquet")
    reviews.to_parquet(tmp_path / f"{INSTRUMENTS}_reviews.parquet")
    return tmp_path


def test_the_plain_loop_and_ours_agree_and_int8_nearly(trunk: TextConfig) -> None:
    encoders, refusals = systems(trunk, ["float32", "int8"], 1)
    assert next(iter(encoders)) == "plain loop"
    assert len(encoders) + len(refusals) == 4
    ticks = iter(range(1000))
    rows = {row.system: row for row in measure(encoders, TITLES, 2, lambda: float(next(ticks)))}
    assert rows["ours, float32"].difference < 1e-5
    assert rows["ours, float32"].neighbours > 0.99
    assert 0 < rows["ours, int8"].difference < 0.1
    assert all((row.texts_per_second, row.times_plain) == (len(TITLES), 1) for row in rows.values())


def test_reviews_know_their_titles_and_recall_counts_them(data: Path) -> None:
    found = public(data)
    assert (len(found.titles), len(found.reviews)) == (len(TITLES), len(TITLES))
    assert all(found.titles[row] in review for row, review in zip(found.title_of, found.reviews, strict=True))


def test_recall_is_the_share_of_reviews_whose_title_is_among_the_20_best() -> None:
    """Titles lie along a quarter circle in their order; a reader that takes even reviews for title 0 still has those below 20 right."""
    angles = np.linspace(0, np.pi / 2, 40)

    def at(numbers: list[int]) -> Floats:
        return np.column_stack([np.cos(angles[numbers]), np.sin(angles[numbers])]).astype(np.float32)

    def right(texts: Sequence[str]) -> Floats:
        return at([int(text.split()[-1]) for text in texts])

    def wrong(texts: Sequence[str]) -> Floats:
        return at([int(text.split()[-1]) * (not text.startswith("review") or int(text.split()[-1]) % 2) for text in texts])

    found = Texts([f"title {n}" for n in range(40)], [f"review {n}" for n in range(40)], list(range(40)), "made up")
    encoders = {"plain loop": right, "ours, float32": right, "ours, int8": wrong}
    plain, exact, rounded = with_recall([Row(name, 1, 1, 0, 1) for name in encoders], encoders, found, 40)
    assert plain.recall is None
    assert (exact.recall, exact.recall_change) == (1, (0, 0, 0))
    assert rounded.recall == 0.75
    assert rounded.recall_change is not None
    estimate, low, high = rounded.recall_change
    assert estimate == -0.25
    assert low < -0.25 < high < 0


def test_the_overlap_counts_near_texts_in_any_order() -> None:
    some, others = np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]])
    assert overlap(some, others) == 0.75
    line = np.linspace(0, 1, 30, dtype=np.float32)
    near = nearest(np.column_stack([np.cos(line), np.sin(line)]))
    assert near.shape == (30, 20)
    assert sorted(near[0].tolist()) == list(range(1, 21))


def test_texts_with_html_are_not_timed() -> None:
    found = Texts(["a", "<b>b</b>", ""], ["c &amp; d", "e < f"], [0, 0], "made up")
    assert sorted(draw(found, "both", 10)) == ["a", "e < f"]
    assert draw(found, "titles", 10) == ["a"]
    with pytest.raises(ValueError, match="no titles without HTML"):
        draw(Texts([], ["a"], [-1], "made up"), "titles", 10)


def test_one_command_prints_one_table(
    data: Path, trunk: TextConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"encode --data {data} --trunk {trunk.trunk} --max-tokens 16 --texts 40 --rounds 1 --asked 30 --json {tmp_path}/rows.json"
    monkeypatch.setattr(sys, "argv", words.split())
    main()
    shown = capsys.readouterr().out
    assert "Musical Instruments: both, at most 16 tokens, batches of 128, 1 thread(s)" in shown
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert {"plain loop", "ours, float32", "ours, int8"} <= {row["system"] for row in rows}
    assert all((row["recall"] is not None) == row["system"].startswith("ours") for row in rows)


def test_without_the_public_data_a_planted_shop_gives_the_texts() -> None:
    texts = draw(planted(), "both", 100)
    assert len(set(texts)) == 100

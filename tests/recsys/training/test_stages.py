"""Stages are run once for equal inputs, and leave nothing when they do not finish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.training.stages import UNFINISHED, Stages, contents_of, key_of, stage_seed, sweep, written_whole


class Counter:
    """A stage that writes one file and counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        (folder / "result").write_text(str(self.runs))


def interrupted(folder: Path) -> None:
    """Write half of what shall take the folder's place."""
    with written_whole(folder) as unfinished:
        (unfinished / "other").write_text("half")
        raise KeyboardInterrupt


def test_equal_inputs_are_run_once(tmp_path: Path) -> None:
    make = Counter()
    first, second = (Stages(tmp_path).run("fit", {"data": "x", "rate": 0.5}, make) for _ in range(2))
    assert first == second
    assert make.runs == 1
    assert (first / "result").read_text() == "1"


def test_what_is_not_whole_is_made_again_in_the_same_place_with_other_contents(tmp_path: Path) -> None:
    make, stages = Counter(), Stages(tmp_path)
    first = stages.run("fit", {}, make)
    before = contents_of(first)
    assert contents_of(stages.run("fit", {}, make, lambda folder: True)) == before
    assert stages.run("fit", {}, make, lambda folder: (folder / "result").read_text() != "1") == first
    assert (first / "result").read_text() == "2"
    assert contents_of(first) != before


@pytest.mark.parametrize("inputs", [{"data": "y", "rate": 0.5}, {"data": "x", "rate": 1}, {"data": "x"}, {"rate": 0.5, "data": "x"}])
def test_any_other_input_or_order_is_another_result(inputs: dict[str, object], tmp_path: Path) -> None:
    stages, make = Stages(tmp_path), Counter()
    assert stages.run("fit", {"data": "x", "rate": 0.5}, make) != stages.run("fit", inputs, make)
    assert make.runs == 2


def test_stages_of_different_names_share_nothing(tmp_path: Path) -> None:
    stages, make = Stages(tmp_path), Counter()
    assert stages.run("fit", {}, make).name.startswith("fit-")
    assert stages.run("rows", {}, make).name.startswith("rows-")
    assert make.runs == 2


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_a_stage_that_does_not_finish_leaves_nothing_and_is_run_again(problem: type[BaseException], tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("of it")
        raise problem

    with pytest.raises(problem):
        Stages(tmp_path).run("fit", {}, fails)
    assert list(tmp_path.iterdir()) == []
    assert [file.name for file in Stages(tmp_path).run("fit", {}, Counter()).iterdir()] == ["result"]


def test_what_takes_the_place_of_a_folder_does_so_whole_or_not_at_all(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with written_whole(tmp_path / "made" / "here") as folder:
            (folder / "file").write_text(text)
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "made" / "here")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["here"]
    assert [(path.name, path.read_text()) for path in (tmp_path / "made" / "here").iterdir()] == [("file", "second")]


def test_a_sweep_removes_what_was_never_finished_and_nothing_else(tmp_path: Path) -> None:
    for name in (f"{UNFINISHED}fit-123", ".ssh", "fit-123"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ssh", "fit-123"]


def test_progress_names_the_stage_and_whether_it_was_run(tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    stages = Stages(tmp_path, lambda done, total, what: told.append((done, total, what)))
    for _ in range(2):
        stages.run("fit", {}, Counter())
    assert told == [(0, 1, "fit"), (1, 1, "fit"), (1, 1, "fit (unchanged)")]


def test_keys_know_times_and_numbers() -> None:
    day = np.datetime64("2024-01-01", "us")
    assert key_of({"as_of": day}) == key_of({"as_of": day.copy()}) != key_of({"as_of": day + np.timedelta64(1, "us")})


def test_every_stage_draws_from_a_seed_of_its_own() -> None:
    seeds: Callable[[int], set[int]] = lambda seed: {stage_seed(seed, name) for name in ("als", "rows", "ranker-home")}  # noqa: E731
    assert len(seeds(1) | seeds(2)) == 6
    assert seeds(1) == seeds(1)

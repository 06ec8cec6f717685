"""The parts of a bundle: histories, customers, the last resort, and what happens when a part is useless though unaltered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import interactions
from world import END, N_ITEMS, NEVER_BOUGHT, NUMBER

from recsys.bundle import MANIFEST, Bundle, Histories, manifest_sha256, read_manifest, sha256
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.types import VIEW, Query, aware

LINES = interactions((9, 1, 5), (8, 0, 6), (7, -1, 9), (3, 1, 7), (3, 1, 8), (2, 3, 5))
"""Customer 1 bought item 5, later 7 and 8 at one time; 0 and 3 one each; 2 nothing; a guest item 9."""


def test_histories_are_the_lines_of_each_customer_newest_first() -> None:
    histories = Histories.of_interactions(LINES, 5)
    assert [histories.of(customer).items.tolist() for customer in range(5)] == [[6], [8, 7, 5], [], [5], []]
    np.testing.assert_array_equal(histories.of(1).times, LINES.times[[4, 3, 0]])


def test_histories_survive_saving(tmp_path: Path) -> None:
    Histories.of_interactions(LINES, 5).save(tmp_path)
    loaded = Histories.load(tmp_path)
    assert [loaded.of(customer).items.tolist() for customer in range(5)] == [[6], [8, 7, 5], [], [5], []]


def test_a_shop_of_guests_has_no_histories(tmp_path: Path) -> None:
    Histories.of_interactions(interactions((1, -1, 0)), 0).save(tmp_path)
    assert len(Histories.load(tmp_path).lines) == 0


def test_strangers_and_guests_have_no_history_and_no_profile(loaded_bundle: Bundle) -> None:
    assert len(loaded_bundle.history("c3")) > 10
    assert len(loaded_bundle.history("nobody")) == len(loaded_bundle.history(None)) == 0
    profile = loaded_bundle.profile("c3")
    assert profile is not None
    assert profile.customer_id == "c3"
    assert loaded_bundle.profile("nobody") is None


def only(*items: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.isin(np.arange(N_ITEMS), items)


def test_the_last_resort_is_the_most_bought_of_what_is_eligible(loaded_bundle: Bundle) -> None:
    never = NUMBER[NEVER_BOUGHT]
    others = [NUMBER[item] for item in ("i40", "i2", "i10")]
    bought = np.bincount(loaded_bundle.histories.lines.items, minlength=N_ITEMS)
    assert loaded_bundle.last_resort(only(never, *others), 3).items.tolist() == sorted(others, key=lambda item: -bought[item])
    assert loaded_bundle.last_resort(only(never), 5).items.tolist() == [never]
    assert len(loaded_bundle.last_resort(only(), 5)) == 0
    scores = loaded_bundle.last_resort(only(never, others[0]), 2).scores
    assert scores[0] > scores[1] > 0


def test_what_was_only_looked_at_is_not_bought(loaded_bundle: Bundle) -> None:
    lines = loaded_bundle.histories.lines
    some = [NUMBER[item] for item in ("i0", "i2", "i4")]
    first = some[0]
    looked = np.where(lines.items == first, VIEW, lines.events).astype(np.int8)
    bundle = replace(loaded_bundle, histories=replace(loaded_bundle.histories, lines=replace(lines, events=looked)))
    assert loaded_bundle.last_resort(only(*some), 3).items[0] == first
    assert bundle.last_resort(only(*some), 3).items[-1] == first


# files that are as the manifest says, but of no use


@pytest.fixture
def remade(small_bundle: Path, tmp_path: Path) -> Callable[[str, bytes], Path]:
    """remade(file, bytes) -> a bundle with other bytes in a file and a manifest that says so."""

    def remake(name: str, contents: bytes) -> Path:
        folder = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
        (folder / name).write_bytes(contents)
        manifest = read_manifest(folder)
        manifest["files"][name]["sha256"] = sha256(folder / name)
        manifest["sha256"] = manifest_sha256(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return folder

    return remake


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sources/als/index/index.faiss", "als"),
        ("sources/covisit/weights.npy", "covisit"),
        ("sources/content/by_text.npy", "content"),
        ("texts/index/index.faiss", "content"),
        ("sources/popular/popular.json", "popular"),
    ],
)
def test_a_source_that_cannot_be_loaded_is_left_out_and_named(
    name: str, source: str, small_bundle: Path, remade: Callable[[str, bytes], Path]
) -> None:
    half = (small_bundle / name).read_bytes()
    bundle = Bundle.load(remade(name, half[: len(half) // 2]))
    assert set(bundle.failed_sources) == {source}
    answer = Engine(bundle).recommend(Query(10, aware(END), customer_id="c3"), Snapshot.of(bundle))
    assert len(answer.items) == 10
    assert [part.split(":")[0] for part in answer.trace.degraded] == [f"source {source}"]


@pytest.mark.parametrize(
    "name",
    [
        "catalogue/prices.npy",
        "catalogue/names.json",
        "history/items.npy",
        "history/customer_ids.json",
        "profiles/profiles.json",
        "profiles/segment.npy",
        "features/items.npy",
        "rankers/home/model.txt",
    ],
)
@pytest.mark.parametrize("contents", [b"", b"[1"])
def test_any_other_part_that_cannot_be_read_is_an_error(name: str, contents: bytes, remade: Callable[[str, bytes], Path]) -> None:
    with pytest.raises(BundleError):
        Bundle.load(remade(name, contents))

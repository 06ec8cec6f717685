"""What a bundle promises: what was trained is what is loaded, or an error that names the file; and nothing ever writes into it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from world import DAY, END

from recsys.bundle import FORMAT, MANIFEST, Bundle, read_manifest
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.errors import BundleError
from recsys.training.pipeline import train
from recsys.types import Filters, Query, aware

QUERIES = [
    Query(10, aware(END), customer_id="c3"),
    Query(5, aware(END), customer_id="c8", strategy="discovery", excluded_item_ids=("i0",)),
    Query(5, aware(END), context_item_ids=("i7", "i9"), cart_item_ids=("i1",)),
    Query(500, aware(END), customer_id="a stranger"),
    Query(3, aware(END), filters=Filters(categories=("Drinks",))),
]
"""Of customers, a guest, a stranger."""


@pytest.fixture
def copied(small_bundle: Path, tmp_path: Path) -> Path:
    """The small bundle somewhere else, to be damaged."""
    return Path(shutil.copytree(small_bundle, tmp_path / "elsewhere" / small_bundle.name))


def answers(bundle: Bundle) -> list[tuple[Any, ...]]:
    answered = Engine(bundle).recommend_many(QUERIES, Snapshot.of(bundle))
    return [(one.items, one.trace, one.features.tobytes()) for one in answered]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def damages(path: Path) -> Iterator[bytes]:
    """The file with a byte flipped at its start, middle and end, cut short, and with something after it."""
    whole = path.read_bytes()
    for place in {0, len(whole) // 2, len(whole) - 1}:
        yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    yield whole[:-1]
    yield whole + b"\n"


# what is loaded is what was trained


def test_a_loaded_bundle_answers_like_the_one_that_was_trained(
    small_bundle: Path, loaded_bundle: Bundle, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    trained: list[list[tuple[Any, ...]]] = []

    def evaluate(bundle: Bundle) -> dict[str, float]:
        trained.append(answers(bundle))
        return {}

    train(small_dataset, small_config, END - 28 * DAY, tmp_path, work=small_work, evaluate=evaluate)
    assert trained == [answers(loaded_bundle)]
    assert all(items for items, *_ in trained[0])


def test_a_bundle_may_be_moved(loaded_bundle: Bundle, copied: Path) -> None:
    moved = Bundle.load(copied.rename(copied.parent / "moved"))
    assert moved.version == loaded_bundle.version
    assert answers(moved) == answers(loaded_bundle)


def test_loading_and_answering_write_nothing(copied: Path) -> None:
    before = digests(copied)
    answers(Bundle.load(copied))
    assert digests(copied) == before


def test_the_manifest_lists_every_file(small_bundle: Path) -> None:
    listed = {name: entry["sha256"] for name, entry in read_manifest(small_bundle)["files"].items()}
    assert digests(small_bundle) == listed | {MANIFEST: digests(small_bundle)[MANIFEST]}


def arrays(part: object, name: str, seen: set[int]) -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays that hang on a part of a bundle, with their names."""
    if id(part) in seen or name.endswith("_cache"):
        return
    seen.add(id(part))
    if isinstance(part, np.ndarray):
        yield name, part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from arrays(value, f"{name}.{key}", seen)
    elif type(part).__module__.startswith(("recsys", "segmentation")) and hasattr(part, "__dict__"):
        yield from arrays(vars(part), name, seen)


def test_arrays_are_memory_mapped_and_cannot_be_written(small_bundle: Path) -> None:
    found = dict(arrays(Bundle.load(small_bundle), "bundle", set()))
    assert len(found) > 30
    kept_in_memory = {name for name, array in found.items() if not is_mapped(array)}
    of_faiss = {name for name in kept_in_memory if name.endswith(("index._stored", ".embeddings", ".factors"))}  # mapped by FAISS itself
    assert kept_in_memory - of_faiss <= {"bundle.positive_events"}
    assert not [name for name in found.keys() - (kept_in_memory - of_faiss) if found[name].flags.writeable]


def is_mapped(array: NDArray[Any]) -> bool:
    while not isinstance(array, np.memmap) and isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array, np.memmap)


# what is damaged is named


def test_damage_to_any_file_is_named(copied: Path) -> None:
    for name in read_manifest(copied)["files"]:
        whole = (copied / name).read_bytes()
        for damaged in damages(copied / name):
            (copied / name).write_bytes(damaged)
            with pytest.raises(BundleError, match=rf"{name} is altered \(sha256 \w{{12}}, should be \w{{12}}\)"):
                Bundle.load(copied)
        (copied / name).write_bytes(whole)
    Bundle.load(copied)


def test_any_missing_file_is_named(copied: Path) -> None:
    for name in read_manifest(copied)["files"]:
        path = (copied / name).rename(copied / "away")
        with pytest.raises(BundleError, match=f"lacks {name}; copy the bundle again or train a new one"):
            Bundle.load(copied)
        path.rename(copied / name)
    Bundle.load(copied)


def test_a_byte_flipped_anywhere_in_the_manifest_is_noticed(copied: Path) -> None:
    whole = (copied / MANIFEST).read_bytes()
    for place in range(0, len(whole), 97):
        (copied / MANIFEST).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BundleError, match=MANIFEST):
            Bundle.load(copied)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"manifest"', "\udcff", '{"format": 1'])
def test_a_manifest_that_is_no_object_is_damaged(text: str, copied: Path) -> None:
    (copied / MANIFEST).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(BundleError, match=f"{MANIFEST} is damaged"):
        Bundle.load(copied)


@pytest.mark.parametrize("form", [FORMAT + 1, None, "1"])
def test_a_manifest_from_the_future_is_refused_with_both_formats(form: object, copied: Path) -> None:
    manifest = read_manifest(copied) | {"format": form}
    (copied / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=rf"{MANIFEST} is of format {form!r}; this version reads format {FORMAT}"):
        Bundle.load(copied)


def test_a_half_written_folder_is_no_bundle(copied: Path) -> None:
    (copied / MANIFEST).unlink()
    with pytest.raises(BundleError, match=rf"{copied.name} has no {MANIFEST}: it is no bundle, or was never finished; make one with"):
        Bundle.load(copied)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere does not exist; make one with `segrec train`"):
        Bundle.load(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=f"file has no {MANIFEST}: it is no bundle"):
        Bundle.load(tmp_path / "file")

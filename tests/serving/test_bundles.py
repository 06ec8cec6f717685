import json
import os
from pathlib import Path

import pytest

from recsys.bundle import FORMAT, MANIFEST
from recsys.errors import BundleError
from serving.bundles import CURRENT, Served, newest_bundle


def bundle(folder: Path, as_of: str | None, made: int = 0) -> Path:
    """A folder with the manifest of a bundle made at that many seconds."""
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "as_of": as_of}))
    os.utime(folder / MANIFEST, (made, made))
    return folder


def test_the_folder_of_a_bundle_is_that_bundle(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b1", "2018-01-01T00:00:00")
    assert newest_bundle(path) == path


def test_the_newest_bundle_is_the_one_whose_data_end_latest_and_of_equals_the_last_made(tmp_path: Path) -> None:
    bundle(tmp_path / "b1", "2017-12-04T00:00:00", made=30)
    newest = bundle(tmp_path / "b2", "2018-01-01T00:00:00", made=20)
    bundle(tmp_path / "b3", "2018-01-01T00:00:00", made=10)
    bundle(tmp_path / "by_position", None, made=40)
    (tmp_path / "half_written").mkdir()
    assert newest_bundle(tmp_path) == newest


def test_current_says_which_bundle_of_a_folder_to_serve(tmp_path: Path) -> None:
    older = bundle(tmp_path / "b1", "2017-12-04T00:00:00")
    bundle(tmp_path / "b2", "2018-01-01T00:00:00")
    (tmp_path / CURRENT).symlink_to("b1")
    assert newest_bundle(tmp_path) == older


def test_a_current_that_leads_nowhere_is_an_error_not_another_bundle(tmp_path: Path) -> None:
    bundle(tmp_path / "b1", "2017-12-04T00:00:00")
    (tmp_path / CURRENT).symlink_to("b0")
    with pytest.raises(BundleError, match="current leads to no bundle"):
        newest_bundle(tmp_path)


def test_what_a_training_has_not_finished_is_passed_over(tmp_path: Path) -> None:
    older = bundle(tmp_path / "b1", "2017-12-04T00:00:00")
    bundle(tmp_path / ".unfinished-7", "2018-01-01T00:00:00")
    assert newest_bundle(tmp_path) == older


def test_a_folder_without_a_bundle_to_serve_is_refused(tmp_path: Path) -> None:
    bundle(tmp_path / "by_position", None)
    with pytest.raises(BundleError, match="no bundle to serve"):
        newest_bundle(tmp_path)


def test_a_damaged_neighbour_is_passed_over_and_alone_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    healthy = bundle(tmp_path / "b1", "2018-01-01T00:00:00")
    (bundle(tmp_path / "b2", "2018-02-01T00:00:00") / MANIFEST).write_text("{")
    assert newest_bundle(tmp_path) == healthy
    assert "b2/manifest.json is damaged" in caplog.text
    with pytest.raises(BundleError, match=r"b2.manifest\.json"):
        Served.newest(tmp_path / "b2")

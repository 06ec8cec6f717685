"""A former bundle is judged before anything is trained, and what became of its segments is said in plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from world import END

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.errors import ConfigError
from recsys.training import findings
from recsys.training.customers import SUCCESSION
from recsys.training.former import Former
from recsys.training.stages import silent
from segmentation.model import SegmentationModel
from segmentation.profile import Profiles
from segrec import shipping
from segrec.shipping import ship


@pytest.mark.parametrize("unit", ["us", "s"])
def test_a_bundle_of_another_shop_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, small_dataset: Dataset, small_config: Config, tmp_path: Path, unit: str
) -> None:
    nothing = object.__new__(SegmentationModel), Vocabulary(("stranger",)), object.__new__(Profiles)
    monkeypatch.setattr(shipping, "load_former", lambda bundle: Former("b1", *nothing))
    monkeypatch.setattr(shipping, "read_manifest", lambda bundle: {"as_of": str(END.astype("datetime64[us]"))})
    with pytest.raises(ConfigError, match="b1 knows no customer of this shop"):
        ship(small_dataset, small_config, tmp_path / "out", silent, as_of=END.astype(f"datetime64[{unit}]"), former=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_knows_more_than_the_new_one_may_is_refused_whatever_the_times_look_like(
    monkeypatch: pytest.MonkeyPatch, small_dataset: Dataset, small_config: Config, tmp_path: Path
) -> None:
    later = END + np.timedelta64(1, "s")
    monkeypatch.setattr(shipping, "read_manifest", lambda bundle: {"as_of": str(later).replace("T", " ")})
    with pytest.raises(ConfigError, match="which is after"):
        ship(small_dataset, small_config, tmp_path / "out", silent, as_of=END, former=tmp_path)


def test_a_share_that_nobody_can_tell_is_null_and_not_a_word_that_json_lacks(tmp_path: Path) -> None:
    (tmp_path / SUCCESSION).write_text('{"kept": ["s0"], "moved_share": NaN}', encoding="utf-8")
    told = findings._plain(tmp_path / SUCCESSION)
    assert json.loads(json.dumps(told, allow_nan=False)) == {"kept": ["s0"], "moved_share": None}

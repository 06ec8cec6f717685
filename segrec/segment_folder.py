"""A fitted segmentation in a folder of its own, or inside a bundle, which lays it out alike: segmentation/, voice/, encoder/.

A folder of its own also has fit.json, which says what it was fitted on and with, and report.json, what there is to say of the customers
it was fitted on.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import ENCODER, read_manifest
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.errors import BundleError, ConfigError, DataError
from recsys.training.stages import written_whole
from recsys.types import utc64
from segmentation.errors import SegmentationError
from segmentation.identity import Succession
from segmentation.model import SegmentationModel
from segrec.arguments import moment
from serving.bundles import newest_bundle

FACTS, REPORT = "fit.json", "report.json"
FORMAT = "segrec segmentation 1"
"""The mark of a folder that `write_fitted` wrote."""
SEGMENTATION, VOICE = "segmentation", "voice"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A segmentation that was fitted.

    folder:     where its parts are
    facts:      config and, where customers wrote something, texts, as `recsys.bundle.text_config` reads them, and voice: what reads them
    lineage:    name of this fit and, after it, of those whose segment ids it goes on with
    succession: what became of a former fit's segments; None = there was none
    report:     of the customers it was fitted on, see `segrec.segment_report`; None = inside a bundle, which has none
    """

    folder: Path
    model: SegmentationModel
    config: Config
    facts: Json
    lineage: tuple[str, ...]
    succession: Json | None
    report: Json | None

    @property
    def voice(self) -> Path | None:
        """What reads what customers wrote; None = nobody had written anything."""
        return self.folder / VOICE if (self.folder / VOICE).is_dir() else None


@dataclass(frozen=True)
class Parts:
    """Folders that a new segmentation is put together from; encoder: None = the trunk that the configuration names."""

    voice: Path | None
    encoder: Path | None


def open_fitted(path: Path) -> Fitted:
    """Read the folder that `segrec segment fit` wrote, or the segmentation of a bundle, or of the newest of a folder of bundles.

    Raises:
        SegmentationError: there is none, or it is damaged.
    """
    if (path / FACTS).is_file():
        facts = _json(path / FACTS)
        if not _is_ours(facts):
            raise SegmentationError(f"{path / FACTS} was not written by this version of `segrec segment fit`; fit the segmentation again")
        model, config, report = SegmentationModel.load(path / SEGMENTATION), _config(facts, path), _json(path / REPORT)
        return Fitted(path, model, config, facts, tuple(facts["lineage"]), facts["succession"], report)
    try:
        bundle = newest_bundle(path)
        manifest = read_manifest(bundle)
    except BundleError as error:
        raise SegmentationError(
            f"{path} holds no segmentation ({error}); make one with `segrec segment fit --out {path}`, or name a bundle"
        ) from error
    succession, lineage = manifest["segments"]["succession"], [manifest["version"]]
    if succession is not None:
        lineage.append(succession["former"])
        succession = {"names": {}, **succession, "former": f"bundle {succession['former']}"}
    model, config = SegmentationModel.load(bundle / SEGMENTATION), _config(manifest, bundle)
    return Fitted(bundle, model, config, manifest, tuple(lineage), succession, None)


def write_fitted(out: Path, fitted: Fitted, parts: Parts) -> None:
    """Write a folder for `open_fitted`, complete or not at all; an earlier segmentation there is replaced."""
    with written_whole(out) as folder:
        fitted.model.save(folder / SEGMENTATION)
        for place, part in ((VOICE, parts.voice), (ENCODER, parts.encoder)):
            if part is not None:
                shutil.copytree(part, folder / place)
        (folder / REPORT).write_text(json.dumps(fitted.report, ensure_ascii=False), encoding="utf-8")
        facts = {"format": FORMAT, **fitted.facts, "lineage": fitted.lineage, "succession": fitted.succession}
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def told_of(succession: Succession, former: SegmentationModel) -> Json:
    """What became of a former fit's segments, as plain JSON values."""
    moved = succession.moved_share
    return {
        **asdict(succession),
        "moved_share": None if math.isnan(moved) else moved,
        "former": f"fit of {str(former.fitted_as_of)[:10]}",
        "names": {segment.id: segment.name for segment in former.segments},
    }


def name_of(model: SegmentationModel) -> str:
    """Of a fit: until when it knows all, and a digest of its segments. Equal fits have equal names, however segments are worded."""
    digest = hashlib.sha256(json.dumps([segment.id for segment in model.segments]).encode())
    for _, part in sorted(vars(model.clusters).items()):
        digest.update(np.ascontiguousarray(part).tobytes())
    return f"{str(model.fitted_as_of)[:10]}-{digest.hexdigest()[:12]}"


def check_out(out: Path) -> None:
    """Refuse, before anything is fitted, a folder that holds something else than an earlier segmentation."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    with suppress(SegmentationError):
        if (out / FACTS).is_file() and _is_ours(_json(out / FACTS)):
            return
    raise ConfigError(f"--out {out} exists and holds no earlier segmentation of this version, so it is not replaced; name another folder")


def end_of(shop: Dataset, as_of: str | None, earliest: np.datetime64 | None = None) -> np.datetime64:
    """The time before which everything is known; None = just after the last event.

    Raises:
        DataError: it is outside the data, or before `earliest`, up to where a model knows what happened.
    """
    first, last = shop.interactions.times[[0, -1]]
    end = last + np.timedelta64(1, "us") if as_of is None else utc64(moment(as_of))
    if not first < end <= last + np.timedelta64(1, "D"):
        raise DataError(f"--as-of {_brief(end)} is outside the data in {shop.folder}, which go from {_brief(first)} to {_brief(last)}")
    if earliest is not None and end < earliest:
        raise DataError(f"--as-of {_brief(end)} is before this segmentation was fitted, {_brief(earliest)}: it has seen what followed")
    return end


def _brief(time: np.datetime64) -> str:
    return str(time)[:19]


def _is_ours(facts: Any) -> bool:
    return isinstance(facts, dict) and facts.get("format") == FORMAT


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegmentationError(f"{path} cannot be read: {error}; fit the segmentation again") from error


def _config(facts: Json, folder: Path) -> Config:
    try:
        return Config.model_validate(facts["config"])
    except ValueError as error:
        raise SegmentationError(f"{folder} was made with settings that this version does not know; make it again: {error}") from error

"""Everything one server needs, as an immutable folder with a checksum for every file.

manifest.json   written last: format, version, as_of, files with sha256, data, config, metrics, feature shift, provenance
catalogue/      ids, titles, groupings, prices, what may be recommended
history/        ids of the customers, and what each did before as_of, newest first
buyers/         the customers who bought each item before as_of
profiles/       segment, tier, lifecycle stage and value of each customer, why, and what it says
segmentation/   the model that assigned them
voice/          what understands what customers write, where they wrote something
encoder/        the fine-tuned BERT with its heads, where there is one: new texts must be read by the same
texts/          embeddings of items and of what customers wrote, and their index
sources/NAME/   candidate sources
features/       item-side statistics
rankers/NAME/   LambdaMART models
mentions/       what reviewers mention of items, where the shop has reviews
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.candidates.affinity import AffinitySource
from recsys.candidates.content import ContentSource, ItemTexts
from recsys.candidates.covisit import CovisitSource
from recsys.candidates.factors import FactorSource
from recsys.candidates.popular import PopularSource
from recsys.candidates.repurchase import RepurchaseSource
from recsys.candidates.sequence import SequenceSource
from recsys.config import Config, TextConfig
from recsys.data.buyers import Buyers
from recsys.data.catalogue import Catalogue
from recsys.data.vocabulary import Vocabulary
from recsys.errors import BundleError
from recsys.features.store import FeatureStore
from recsys.protocols import CandidateSource, Ranker
from recsys.ranking.lambdamart import LambdaMart
from recsys.ranking.mentions import Mentions
from recsys.source_config import (
    AffinityConfig,
    AlsConfig,
    ContentConfig,
    CovisitConfig,
    EaseConfig,
    RepurchaseConfig,
    SequenceConfig,
    SourceConfig,
)
from recsys.types import Flags, Floats, History, Interactions, Ints, Scored
from segmentation.errors import SegmentationError
from segmentation.profile import CustomerProfile, Profiles

FORMAT = 7
MANIFEST = "manifest.json"
ENCODER = "encoder"
"""Folder of the fine-tuned trunk; a bundle without one was read with the trunk that its configuration names."""
CUSTOMER_IDS = "customer_ids.json"
MENTIONS = "mentions"
"""Folder of what reviewers mention; a bundle without one never tells of it."""


@dataclass(frozen=True)
class Histories:
    """Interactions grouped by customer, newest first; those of customer c are rows offsets[c] to offsets[c + 1]."""

    offsets: NDArray[np.int64]
    lines: History

    def of(self, customer: int) -> History:
        """One customer's history, without a copy."""
        rows = slice(int(self.offsets[customer]), int(self.offsets[customer + 1]))
        lines = self.lines
        return History(lines.items[rows], lines.events[rows], lines.times[rows], lines.values[rows])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "offsets.npy", self.offsets)
        for name, column in vars(self.lines).items():
            np.save(folder / f"{name}.npy", column)

    @staticmethod
    def load(folder: Path) -> Histories:
        columns = {name: mapped(folder / f"{name}.npy") for name in ("items", "events", "times", "values")}
        return Histories(mapped(folder / "offsets.npy"), History(**columns))

    @staticmethod
    def of_interactions(lines: Interactions, n_customers: int) -> Histories:
        """Group the interactions of known customers."""
        rows = np.flatnonzero(lines.customers >= 0)[::-1]
        rows = rows[np.argsort(lines.customers[rows], kind="stable")]
        counts = np.bincount(lines.customers[rows], minlength=n_customers)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Histories(offsets, History(lines.items[rows], lines.events[rows], lines.times[rows], lines.values[rows]))


@dataclass(frozen=True)
class Bundle:
    """The parts of one bundle, loaded.

    as_of:           nothing at or after this time was used; None = split by position, which cannot be served
    positive_events: codes of the events that mean a customer wanted the item; int8
    texts:           None where their index could not be used; then sources that read them have failed too
    failed_sources:  sources whose files could not be used, with the reason; the engine leaves them out and says so
    mentions:        what reviewers mention of items; None = there are no reviews
    manifest:        what `manifest.json` says; empty while a bundle is being made
    """

    config: Config
    as_of: np.datetime64 | None
    catalogue: Catalogue
    customers: Vocabulary
    histories: Histories
    buyers: Buyers
    profiles: Profiles
    texts: ItemTexts | None
    sources: Mapping[str, CandidateSource]
    features: FeatureStore
    rankers: Mapping[str, Ranker]
    positive_events: NDArray[np.int8]
    failed_sources: Mapping[str, str] = field(default_factory=dict)
    mentions: Mentions | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Id of the contents."""
        return str(self.manifest.get("version", "unsaved"))

    def history(self, customer_id: str | None) -> History:
        """What a customer did before as_of; empty for a guest or a stranger."""
        number = None if customer_id is None else self.customers.number(customer_id)
        return History.empty() if number is None else self.histories.of(number)

    def profile(self, customer_id: str) -> CustomerProfile | None:
        """Who a customer is; None for a stranger or somebody without a purchase."""
        number = self.customers.number(customer_id)
        return None if number is None else self.profiles.profile(number, customer_id)

    def last_resort(self, eligible: Flags, n: int) -> Scored:
        """The most bought of the eligible items by an exact scan; never empty while one item is eligible."""
        items = self._by_popularity[eligible[self._by_popularity]][:n]
        return Scored(items, self._popularity[items] + 1.0)

    @cached_property
    def popular(self) -> Flags:
        """Which items were bought at least as often as the middle one of all that were bought; bool (n_items,)"""
        bought = self._popularity[self._popularity > 0]
        return self._popularity >= (np.median(bought) if len(bought) else 1)

    @cached_property
    def _by_popularity(self) -> Ints:
        return np.argsort(-self._popularity, kind="stable").astype(np.int32)

    @cached_property
    def _popularity(self) -> Floats:
        lines = self.histories.lines.of_events(self.positive_events)
        return np.bincount(lines.items, minlength=len(self.catalogue)).astype(np.float32)

    @staticmethod
    def load(path: Path) -> Bundle:
        """Verify every checksum, then load; arrays are memory-mapped.

        Raises:
            BundleError: no manifest (a half-written folder), another format, a file that is missing or altered; it is named.
        """
        manifest = verify(path)
        try:
            return _load_parts(path, manifest)
        except (OSError, EOFError, ValueError, TypeError, KeyError, SegmentationError) as error:
            raise BundleError(f"bundle {path} cannot be read: {error}") from error


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a bundle folder.

    Raises:
        BundleError: there is none, it is not JSON, or it is of a format that this version does not read.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "does not exist" if not path.exists() else f"has no {MANIFEST}: it is no bundle, or was never finished"
        raise BundleError(f"{path} {what}; make one with `segrec train`") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path / MANIFEST} is damaged: {error}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path / MANIFEST} is damaged: it holds no object")
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{path / MANIFEST} is of format {manifest.get('format')!r}; this version reads format {FORMAT}")
    return manifest


def text_config(path: Path, manifest: Mapping[str, Any]) -> TextConfig:
    """How to read a new text as a bundle's texts were read: `recsys.text.encoder.load_encoder` takes it."""
    config = Config.model_validate(manifest["config"]).text
    config = config.model_copy(update={"precision": manifest["texts"]["precision"]})  # 'auto' is another one on another machine
    return config.model_copy(update={"trunk": str(path / ENCODER)}) if (path / ENCODER).is_dir() else config


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Hex digest of all that a manifest says but its own digest."""
    said = {name: entry for name, entry in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def verify(path: Path) -> dict[str, Any]:
    """The manifest, after it and every file was found to be exactly as it was written.

    Raises:
        BundleError: names the file that is missing or altered.
    """
    manifest = read_manifest(path)
    if manifest.get("sha256") != manifest_sha256(manifest):
        raise BundleError(f"bundle {path}: {MANIFEST} is altered; copy the bundle again or train a new one")
    for name, entry in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"bundle {path} lacks {name}; copy the bundle again or train a new one")
        found = sha256(file)
        if found != entry["sha256"]:
            raise BundleError(f"bundle {path}: {name} is altered (sha256 {found[:12]}, should be {entry['sha256'][:12]})")
    return manifest


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_parts(path: Path, manifest: dict[str, Any]) -> Bundle:
    config = Config.model_validate(manifest["config"])
    catalogue = Catalogue.load(path / "catalogue")
    texts: ItemTexts | BundleError
    try:
        texts = ItemTexts.load(path / "texts")
    except BundleError as error:
        texts = error
    sources: dict[str, CandidateSource] = {}
    failed: dict[str, str] = {}
    for name, source in config.sources.items():
        try:
            sources[name] = load_source(path / "sources" / name, source, texts)
        except Exception as error:  # noqa: BLE001  a source that cannot load must not take the others with it; answers name it
            failed[name] = f"{type(error).__name__}: {error}"
    return Bundle(
        config=config,
        as_of=None if manifest["as_of"] is None else np.datetime64(manifest["as_of"], "us"),
        catalogue=catalogue,
        customers=Vocabulary.load(path / "history" / CUSTOMER_IDS),
        histories=Histories.load(path / "history"),
        buyers=Buyers.load(path / "buyers"),
        profiles=Profiles.load(path / "profiles"),
        texts=None if isinstance(texts, BundleError) else texts,
        sources=sources,
        features=FeatureStore.load(path / "features", config, catalogue),
        rankers={name: LambdaMart.load(path / "rankers" / name) for name in config.rankers},
        positive_events=np.array(manifest["positive_events"], np.int8),
        failed_sources=failed,
        mentions=Mentions.load(path / MENTIONS) if (path / MENTIONS).is_dir() else None,
        manifest=manifest,
    )


def load_source(folder: Path, source: SourceConfig, texts: ItemTexts | BundleError) -> CandidateSource:
    """A source from the folder that its `save` wrote; where the texts could not be loaded, a source that needs them raises why."""
    if isinstance(source, RepurchaseConfig):
        return RepurchaseSource.load(folder, source)
    if isinstance(source, AffinityConfig):
        return AffinitySource.load(folder, source)
    if isinstance(source, AlsConfig):
        return FactorSource.load(folder, source)
    if isinstance(source, CovisitConfig | EaseConfig):
        return CovisitSource.load(folder, source)
    if isinstance(source, SequenceConfig):
        return SequenceSource.load(folder, source)
    if isinstance(source, ContentConfig):
        if isinstance(texts, BundleError):
            raise texts
        return ContentSource.load(folder, texts, source)
    return PopularSource.load(folder)

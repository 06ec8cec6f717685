"""Fitting everything of a bundle but its rankers, on what was known at one time; each part is a stage of its own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import Bundle, Histories, load_source
from recsys.candidates.content import ItemTexts, build_content
from recsys.candidates.popular import fit_popular
from recsys.config import AlsConfig, Config, ContentConfig, CovisitConfig, PopularConfig, SourceConfig
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.features.store import CustomerGroups, FeatureStore, fit_features
from recsys.protocols import CandidateSource
from recsys.text.encoder import encode_texts, load_encoder
from recsys.text.index import VectorIndex
from recsys.training.als import fit_als
from recsys.training.covisit import fit_covisit
from recsys.training.split import positive_lines
from recsys.training.stages import Stages, stage_seed
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.profile import TIERS, Profiles
from segmentation.purchases import Purchases

LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "lightgbm", "faiss-cpu", "faiss-gpu", "torch", "transformers")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on; part of every stage's inputs and of the manifest."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Fitter:
    """Fits parts as stages. One fitter serves all times of one training."""

    config: Config
    stages: Stages

    def run(self, name: str, inputs: dict[str, Any], make: Any) -> Path:
        """A stage whose inputs include the seed, the thread count and the libraries."""
        training = self.config.training
        common = {"seed": training.seed, "n_threads": training.n_threads, "libraries": library_versions()}
        return self.stages.run(name, {**common, **inputs}, make)

    def seed(self, name: str) -> int:
        """The named stage's own seed."""
        return stage_seed(self.config.training.seed, name)

    def texts(self, dataset: Dataset) -> Path:
        """Embeddings and index of the distinct item texts."""
        texts = dataset.item_texts()
        distinct, text_of_item = np.unique(np.array(texts, object), return_inverse=True)
        encoder = load_encoder(self.config.text, self.config.training.n_threads)

        def make(folder: Path) -> None:
            embeddings = encode_texts(encoder, distinct.tolist(), self.stages.folder / "encoded", self.stages.progress)
            index = VectorIndex.build(embeddings, self.config.index)
            ItemTexts(text_of_item.astype(np.int32), embeddings, index).save(folder)

        inputs = {"encoder": (encoder.fingerprint, encoder.arithmetic), "texts": texts, "index": self.config.index.model_dump()}
        return self.run("texts", inputs, make)

    def segmentation(self, known: Dataset, as_of: np.datetime64) -> Path:
        """The segment model and tier cut points, fitted once, before the ranker's first period."""
        settings = self.config.segmentation

        def make(folder: Path) -> None:
            model = fit_segmentation(
                purchases(known, self.config),
                len(known.customers),
                as_of,
                n_segments=settings.n_segments,
                tier_quantiles=settings.tier_quantiles,
                horizon_days=settings.horizon_days,
                seed=self.seed("segmentation"),
                n_threads=self.config.training.n_threads,
            )
            model.save(folder)

        return self.run("segmentation", {"data": known.fingerprint, "settings": settings.model_dump(), "as_of": as_of}, make)

    def parts(self, known: Dataset, as_of: np.datetime64, texts: Path, segmentation: Path) -> dict[str, Path]:
        """Folders of all parts but the rankers, by their place in a bundle."""
        data = {"data": known.fingerprint, "positive": self.config.data.positive_events, "as_of": as_of}
        places = {"texts": texts, "segmentation": segmentation}
        places["catalogue"] = self.run("catalogue", data, lambda folder: known.catalogue().save(folder))
        places["history"] = self.run("history", data, lambda folder: _save_history(known, folder))
        places["profiles"] = self.run(
            "profiles",
            {**data, "segmentation": segmentation.name},
            lambda folder: (
                SegmentationModel.load(segmentation).assign(purchases(known, self.config), len(known.customers), as_of).save(folder)
            ),
        )
        profiles = Profiles.load(places["profiles"])
        catalogue = Catalogue.load(places["catalogue"])
        for name, source in self.config.sources.items():
            inputs = {**data, "source": source.model_dump(), "index": self.config.index.model_dump(), "texts": texts.name}
            if isinstance(source, PopularConfig) and source.within != "shop":
                inputs["profiles"] = places["profiles"].name
            places[f"sources/{name}"] = self.run(
                f"source-{name}",
                inputs,
                lambda folder, name=name, source=source: self._source(name, source, known, as_of, profiles, texts, folder),
            )
        features = {key: feature.model_dump() for key, feature in self.config.features.items()}
        inputs = {**data, "features": features, "sources": list(self.config.sources), "profiles": places["profiles"].name}
        places["features"] = self.run(
            "features",
            inputs,
            lambda folder: fit_features(positive_lines(known, self.config), catalogue, customer_groups(profiles), self.config, as_of).save(
                folder
            ),
        )
        return places

    def _source(
        self, name: str, source: SourceConfig, known: Dataset, as_of: np.datetime64, profiles: Profiles, texts: Path, folder: Path
    ) -> None:
        """Fit and save one source; repurchase has nothing to fit."""
        lines, n_items = positive_lines(known, self.config), len(known.items)
        if isinstance(source, PopularConfig):
            groups = {} if source.within == "shop" else {"groups": customer_groups(profiles)[source.within]}
            fit_popular(lines, n_items, as_of, source, **groups).save(folder)
        elif isinstance(source, CovisitConfig):
            fit_covisit(lines, n_items, as_of, source, self.stages.progress).save(folder)
        elif isinstance(source, ContentConfig):
            popularity = np.bincount(lines.items, minlength=n_items).astype(np.float32)
            build_content(ItemTexts.load(texts), popularity, source).save(folder)
        elif isinstance(source, AlsConfig):
            fitted = fit_als(
                lines,
                len(known.customers),
                n_items,
                as_of,
                source,
                self.config.index,
                seed=self.seed(name),
                n_threads=self.config.training.n_threads,
                progress=self.stages.progress,
            )
            fitted.save(folder)


def purchases(known: Dataset, config: Config) -> Purchases:
    """The positive lines of known customers as segmentation reads them; topics are the categories of the items."""
    lines = positive_lines(known, config)
    lines = lines.take(lines.customers >= 0)
    catalogue = known.catalogue()
    topics = catalogue.codes("category")[lines.items]
    return Purchases(lines.customers, lines.times, lines.values, lines.baskets, topics, tuple(catalogue.category_names))


def customer_groups(profiles: Profiles) -> dict[str, CustomerGroups]:
    """Customers by segment and by tier."""
    return {
        "segment": CustomerGroups(tuple(profiles.segment_ids), np.asarray(profiles.segment, np.int32)),
        "tier": CustomerGroups(TIERS, np.asarray(profiles.tier, np.int32)),
    }


def load_bundle_parts(places: Mapping[str, Path], known: Dataset, config: Config, as_of: np.datetime64 | None) -> Bundle:
    """A bundle in memory from the folders of its parts, without rankers."""
    catalogue = Catalogue.load(places["catalogue"])
    texts = ItemTexts.load(places["texts"])
    sources: dict[str, CandidateSource] = {
        name: load_source(places[f"sources/{name}"], source, texts) for name, source in config.sources.items()
    }
    return Bundle(
        config=config,
        as_of=as_of,
        catalogue=catalogue,
        customers=known.customers,
        histories=Histories.load(places["history"]),
        profiles=Profiles.load(places["profiles"]),
        texts=texts,
        sources=sources,
        features=FeatureStore.load(places["features"], config, catalogue),
        rankers={},
        positive_events=known.event_codes(config.data.positive_events),
    )


def _save_history(known: Dataset, folder: Path) -> None:
    Histories.of_interactions(known.interactions, len(known.customers)).save(folder)
    Vocabulary(known.customers.ids).save(folder / "customer_ids.json")

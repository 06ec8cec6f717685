"""Fitting everything of a bundle but its rankers, on what was known at one time; each part is a stage of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import CUSTOMER_IDS, MENTIONS, Bundle, Histories, load_source
from recsys.candidates.affinity import fit_affinity
from recsys.candidates.content import ItemTexts, build_content
from recsys.candidates.popular import EVERYBODY, fit_popular
from recsys.config import Config
from recsys.data.buyers import Buyers
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.data.vocabulary import Vocabulary
from recsys.features.spec import GROUP_SCOPES
from recsys.features.store import NO_GROUPS, CustomerGroups, FeatureStore, fit_features
from recsys.protocols import CandidateSource
from recsys.ranking.lambdamart import LambdaMart
from recsys.ranking.mentions import Mentions
from recsys.source_config import (
    AffinityConfig,
    AlsConfig,
    ContentConfig,
    CovisitConfig,
    EaseConfig,
    PopularConfig,
    RepurchaseConfig,
    SequenceConfig,
    SourceConfig,
)
from recsys.text.encoder import TextEncoder
from recsys.text.index import VectorIndex, n_gpus
from recsys.training.als import fit_als, on_gpu
from recsys.training.covisit import fit_covisit
from recsys.training.customers import Customers
from recsys.training.ease import fit_ease
from recsys.training.repurchase import fit_repurchase
from recsys.training.runner import Runner
from recsys.training.sequence import CHECKPOINT, fit_sequence, sequence_device
from recsys.training.split import positive_lines
from recsys.training.stages import OUR_PACKAGES, source_digest
from recsys.training.texts import ReviewWeights, build_texts, encode_shop
from recsys.types import Interactions
from segmentation.profile import TIERS, Profiles


@dataclass(frozen=True)
class Seen:
    """What is known of the customers who ask, where it is not all that sources and features are fitted on.

    known: their past; profiles: folder of the profiles that follow from it
    """

    known: Dataset
    profiles: Path


@dataclass(frozen=True)
class AsOf:
    """What all parts of one bundle are fitted on.

    known:     all that is known by then
    time:      when; ages are counted from it
    customers: None = nobody has a segment or tier; sources and features that ask for one say nothing
    profiles, texts: folders of the profiles and of the embeddings, as of then
    seen:      what is known of those who ask, where it is less; None = all of it
    """

    known: Dataset
    time: np.datetime64
    customers: Customers | None
    profiles: Path
    texts: Path
    seen: Seen | None = None


@dataclass(frozen=True)
class BundleParts:
    """Where the parts of a bundle lie, and what makes one of them; small, so that other processes can open it too.

    places: folders of the parts by their place in a bundle; rankers may be among them
    as_of, positive_events: as of `Bundle`
    """

    places: Mapping[str, Path]
    config: Config
    as_of: np.datetime64 | None
    positive_events: NDArray[np.int8]

    def open(self) -> Bundle:
        """The bundle, in memory as far as its arrays are not mapped."""
        places, config = self.places, self.config
        catalogue = Catalogue.load(places["catalogue"])
        texts = ItemTexts.load(places["texts"])
        sources: dict[str, CandidateSource] = {
            name: load_source(places[f"sources/{name}"], source, texts) for name, source in config.sources.items()
        }
        return Bundle(
            config=config,
            as_of=self.as_of,
            catalogue=catalogue,
            customers=Vocabulary.load(places["history"] / CUSTOMER_IDS),
            histories=Histories.load(places["history"]),
            buyers=Buyers.load(places["buyers"]),
            profiles=Profiles.load(places["profiles"]),
            texts=texts,
            sources=sources,
            features=FeatureStore.load(places["features"], config, catalogue),
            rankers={name: LambdaMart.load(places[f"rankers/{name}"]) for name in config.rankers if f"rankers/{name}" in places},
            positive_events=self.positive_events,
            mentions=Mentions.load(places[MENTIONS]) if MENTIONS in places else None,
        )


@dataclass(frozen=True)
class Fitter(Runner):
    """Fits parts as stages. One fitter serves all times of one training."""

    def texts(self, known: Dataset, encoder: TextEncoder, weights: ReviewWeights) -> Path:
        """Embeddings and index of the item texts, with what customers had written by the end of the view."""
        config = self.config
        uses_reviews = weights.item > 0 or weights.customer > 0

        def make(folder: Path) -> None:
            shop = encode_shop(known, config.reviews, lambda texts: self.encode(encoder, texts), weights)
            build = partial(VectorIndex.build, config=config.index)
            build_texts(shop, weights, build, whiten=config.text.whiten).save(folder)

        inputs = {
            "encoder": (encoder.fingerprint, encoder.arithmetic),
            "texts": known.item_texts(),
            "index": config.index.model_dump(),
            "whiten": config.text.whiten,
            "weights": (weights.item, weights.customer),
            "reviews": (read_reviews(known).fingerprint, str(known.end), config.reviews.model_dump()) if uses_reviews else None,
        }
        return self.run("texts", inputs, make)

    def parts(self, at: AsOf) -> dict[str, Path]:
        """Folders of all parts but the rankers, by their place in a bundle."""
        known, data = at.known, {"data": at.known.fingerprint, "positive": self.config.data.positive_events, "as_of": at.time}
        places = {"texts": at.texts, "profiles": at.profiles if at.seen is None else at.seen.profiles}
        if at.customers is not None:
            places["segmentation"] = at.customers.segmentation
            if at.customers.voice is not None:
                places["voice"] = at.customers.voice
        groups = customer_groups(Profiles.load(at.profiles))
        places["catalogue"] = self.run("catalogue", data, lambda folder: known.catalogue().save(folder))
        of_whom = known if at.seen is None else at.seen.known
        places["history"] = self.run("history", {"data": of_whom.fingerprint}, lambda folder: _save_history(of_whom, folder))
        wanted = {"data": of_whom.fingerprint, "positive": self.config.data.positive_events}
        places["buyers"] = self.run("buyers", wanted, lambda folder: _save_buyers(of_whom, self.config, folder))
        catalogue = Catalogue.load(places["catalogue"])
        for name, source in self.config.sources.items():
            inputs = {**data, "source": source.model_dump()}
            if isinstance(source, AlsConfig | SequenceConfig):
                inputs["index"] = self.config.index.model_dump()
            if isinstance(source, ContentConfig | SequenceConfig):
                inputs["texts"] = at.texts.name
            if isinstance(source, PopularConfig) and source.within != "shop":
                inputs["profiles"] = at.profiles.name
            if (isinstance(source, AlsConfig) and on_gpu()) or (isinstance(source, SequenceConfig) and sequence_device() == "cuda"):
                inputs["device"] = "cuda"
            make = partial(self._source, name, source, at, groups)
            places[f"sources/{name}"] = self.run(f"source-{name}", inputs, make)
        features = {key: feature.model_dump() for key, feature in self.config.features.items()}
        inputs = {**data, "features": features, "sources": list(self.config.sources), "profiles": at.profiles.name}
        places["features"] = self.run(
            "features",
            inputs,
            lambda folder: fit_features(positive_lines(known, self.config), catalogue, groups, self.config, at.time).save(folder),
        )
        return places

    @property
    def n_processes(self) -> int:
        """Over how many processes a bundle may be asked: one where a GPU searches, for each would copy the vectors onto it."""
        return 1 if n_gpus() else self.config.training.n_threads

    def bundle(self, places: Mapping[str, Path], known: Dataset, as_of: np.datetime64 | None) -> BundleParts:
        """What makes a bundle of the folders of its parts."""
        return BundleParts(places, self.config, as_of, known.event_codes(self.config.data.positive_events))

    def _source(self, name: str, source: SourceConfig, at: AsOf, groups: Mapping[str, CustomerGroups], folder: Path) -> None:
        """Fit and save one source."""
        known, as_of = at.known, at.time
        lines, n_items = positive_lines(known, self.config), len(known.items)
        if isinstance(source, PopularConfig):
            fit_popular(lines, n_items, as_of, source, groups=groups.get(source.within, EVERYBODY)).save(folder)
        elif isinstance(source, RepurchaseConfig):
            fit_repurchase(lines, known.catalogue(), as_of, source).save(folder)
        elif isinstance(source, AffinityConfig):
            fit_affinity(lines, known.catalogue().codes(source.by), as_of, source).save(folder)
        elif isinstance(source, CovisitConfig):
            fit_covisit(lines, n_items, as_of, source, self.stages.progress).save(folder)
        elif isinstance(source, EaseConfig):
            fit_ease(lines, n_items, as_of, source, n_threads=self.config.training.n_threads, progress=self.stages.progress).save(folder)
        elif isinstance(source, ContentConfig):
            popularity = np.bincount(lines.items, minlength=n_items).astype(np.float32)
            build_content(ItemTexts.load(at.texts), popularity, source).save(folder)
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
        elif isinstance(source, SequenceConfig):
            self._sequence(name, source, lines, as_of, ItemTexts.load(at.texts), folder)

    def _sequence(
        self, name: str, source: SequenceConfig, lines: Interactions, as_of: np.datetime64 | None, texts: ItemTexts, folder: Path
    ) -> None:
        code = source_digest(*OUR_PACKAGES)[:8]  # other code does not go on with this code's checkpoint
        work = self.stages.folder / f"learning-{name}-{str(as_of)[:10]}-{code}"  # no stage: what is unfinished there must stay
        fitted = fit_sequence(
            lines,
            len(texts.text_of_item),
            texts.of_items(np.arange(len(texts.text_of_item), dtype=np.int32)),
            source,
            self.config.index,
            seed=self.seed(name),
            n_threads=self.config.training.n_threads,
            work=work,
            progress=self.stages.progress,
        )
        fitted.save(folder)
        (work / CHECKPOINT).unlink(missing_ok=True)  # three times as large as the model, and no longer needed


def customer_groups(profiles: Profiles) -> dict[str, CustomerGroups]:
    """Customers by segment, by tier and by the need that they speak of most; no group where there are no profiles."""
    if not len(profiles):
        return dict.fromkeys(GROUP_SCOPES, NO_GROUPS)
    return {
        "segment": CustomerGroups(tuple(profiles.segment_ids), np.asarray(profiles.segment, np.int32)),
        "tier": CustomerGroups(TIERS, np.asarray(profiles.tier, np.int32)),
        "need": CustomerGroups(profiles.voices.aspects, profiles.voices.main_needs()),
    }


def _save_history(known: Dataset, folder: Path) -> None:
    Histories.of_interactions(known.interactions, len(known.customers)).save(folder)
    Vocabulary(known.customers.ids).save(folder / CUSTOMER_IDS)


def _save_buyers(known: Dataset, config: Config, folder: Path) -> None:
    lines = known.interactions
    wanted = np.isin(lines.events, known.event_codes(config.data.positive_events))
    Buyers.of_interactions(lines.take(wanted), len(known.items)).save(folder)

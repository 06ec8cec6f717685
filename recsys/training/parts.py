"""Fitting everything of a bundle but its rankers, on what was known at one time; each part is a stage of its own."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import Bundle, Histories, load_source
from recsys.candidates.content import ItemTexts, build_content
from recsys.candidates.popular import fit_popular
from recsys.config import AlsConfig, Config, ContentConfig, CovisitConfig, PopularConfig, SourceConfig
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.data.vocabulary import Vocabulary
from recsys.errors import LeakError
from recsys.features.store import CustomerGroups, FeatureStore, fit_features
from recsys.protocols import CandidateSource
from recsys.text.encoder import TextEncoder, encode_texts, load_encoder
from recsys.text.finetune import CHECKPOINT, REPORT
from recsys.text.index import VectorIndex
from recsys.training.als import fit_als, on_gpu
from recsys.training.covisit import fit_covisit
from recsys.training.finetuning import fit_trunk
from recsys.training.split import positive_lines
from recsys.training.stages import OUR_PACKAGES, Stages, source_digest, stage_seed
from recsys.training.texts import Encode, ReviewWeights, build_texts, choose_weights, encode_shop
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.profile import TIERS, Profiles
from segmentation.purchases import Purchases

LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "lightgbm", "faiss-cpu", "faiss-gpu", "torch", "transformers", "peft")


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
class Reading:
    """How texts are read. trunk: folder of the fine-tuned one, None = as it came."""

    encoder: TextEncoder
    trunk: Path | None
    weights: ReviewWeights

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        report = None if self.trunk is None else json.loads((self.trunk / REPORT).read_text(encoding="utf-8"))
        read = {"fingerprint": self.encoder.fingerprint, "precision": self.encoder.precision}
        return {**read, "finetuning": report, "review_weights": asdict(self.weights)}


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

    def reading(self, known: Dataset) -> Reading:
        """What reads texts: the trunk, fine-tuned on what was known where the configuration asks for it, and what reviews weigh.

        The weights are chosen with the trunk as the configuration names it: a tuned one has learnt the very items that they are tried on.

        Raises:
            LeakError: the trunk that the configuration names was fine-tuned on what came after the view.
        """
        finetuning, text = self.config.finetune, self.config.text
        base = load_encoder(text, self.config.training.n_threads)
        trunk = tuned_folder(text.trunk, known.end)
        seed = self.seed("review-weights")

        def make(folder: Path) -> None:
            chosen = choose_weights(known, self.config, self._encode(base), np.random.default_rng(seed))
            (folder / "weights.json").write_text(json.dumps(asdict(chosen)))

        inputs = {
            "encoder": (base.fingerprint, base.arithmetic),
            "data": known.fingerprint,
            "positive": self.config.data.positive_events,
            "reviews": read_reviews(known).fingerprint,
            "settings": self.config.reviews.model_dump(),
            "period": self.config.training.ranking_period_days,
            "n_validation": finetuning.n_validation,
        }
        folder = self.run("review-weights", inputs, make)
        weights = ReviewWeights(**json.loads((folder / "weights.json").read_text()))
        if not finetuning.n_steps:
            return Reading(base, trunk, weights)
        trunk = self._trunk(known, base)
        tuned = load_encoder(text.model_copy(update={"trunk": str(trunk)}), self.config.training.n_threads)
        return Reading(tuned, trunk, weights)

    def _trunk(self, known: Dataset, base: TextEncoder) -> Path:
        """The folder of the fine-tuned trunk, which began as `base`."""
        config = self.config
        inputs = {
            "encoder": (base.fingerprint, base.arithmetic),
            "data": known.fingerprint,
            "reviews": read_reviews(known).fingerprint,
            "settings": config.finetune.model_dump(),
            "positive": config.data.positive_events,
        }
        code = source_digest(*OUR_PACKAGES)[:8]  # other code does not go on with this code's checkpoint
        work = self.stages.folder / f"finetuning-{str(known.end)[:10]}-{code}"  # no stage: what is unfinished there must stay

        def make(folder: Path) -> None:
            fit_trunk(known, config, work, folder, seed=self.seed("trunk"), progress=self.stages.progress)
            (work / CHECKPOINT).unlink(missing_ok=True)  # as large as four models, and no longer needed

        return self.run("trunk", inputs, make)

    def _encode(self, encoder: TextEncoder) -> Encode:
        return lambda texts: encode_texts(encoder, texts, self.stages.folder / "encoded", self.stages.progress)

    def texts(self, known: Dataset, reading: Reading) -> Path:
        """Embeddings and index of the item texts, with what customers had written by the end of the view."""
        config, encoder, weights = self.config, reading.encoder, reading.weights
        uses_reviews = weights.item > 0 or weights.customer > 0

        def make(folder: Path) -> None:
            shop = encode_shop(known, config.reviews, self._encode(encoder), weights)
            build_texts(shop, weights, lambda embeddings: VectorIndex.build(embeddings, config.index)).save(folder)

        inputs = {
            "encoder": (encoder.fingerprint, encoder.arithmetic),
            "texts": known.item_texts(),
            "index": config.index.model_dump(),
            "weights": (weights.item, weights.customer),
            "reviews": (read_reviews(known).fingerprint, str(known.end), config.reviews.model_dump()) if uses_reviews else None,
        }
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
                stage_rules=settings.stages.rules(),
                titles=dict(zip(known.item_ids.ids, known.catalogue().titles, strict=True)),
            )
            model.save(folder)

        data = {"data": known.fingerprint, "positive": self.config.data.positive_events, "as_of": as_of}
        return self.run("segmentation", {**data, "settings": settings.model_dump()}, make)

    def parts(self, known: Dataset, as_of: np.datetime64, reading: Reading, segmentation: Path) -> dict[str, Path]:
        """Folders of all parts but the rankers, by their place in a bundle."""
        texts = self.texts(known, reading)
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
            if isinstance(source, AlsConfig) and on_gpu():
                inputs["device"] = "cuda"
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


def tuned_folder(trunk: str, end: np.datetime64) -> Path | None:
    """The folder of a trunk that `finetune` wrote; None where it is another one.

    Raises:
        LeakError: it was fine-tuned on what came at `end` or later.
    """
    folder = Path(trunk).expanduser()
    if not (folder / REPORT).is_file():
        return None
    known_until = json.loads((folder / REPORT).read_text(encoding="utf-8"))["known_until"]
    if known_until is None or np.datetime64(known_until) > end:
        raise LeakError(
            f"text.trunk {trunk!r} was fine-tuned on what was known until {known_until}, but the ranker's first period begins at {end}: it "
            "would know the answers; fine-tune one with --as-of that time, or set finetune.n_steps, which tunes one for every cut"
        )
    return folder


def purchases(known: Dataset, config: Config) -> Purchases:
    """The positive lines of known customers as segmentation reads them: the items, and their categories as topics."""
    lines = positive_lines(known, config)
    lines = lines.take(lines.customers >= 0)
    catalogue = known.catalogue()
    topics = catalogue.codes("category")[lines.items]
    what = topics, tuple(catalogue.category_names), lines.items, catalogue.items.ids
    return Purchases(lines.customers, lines.times, lines.values, lines.baskets, *what)


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

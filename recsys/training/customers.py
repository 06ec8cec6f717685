"""Who the customers are, in stages: what reads what they write, their segments, both fitted once, and their profiles as of each time.

Order: the language model labels a sample of texts, the trunk is fine-tuned with heads for these labels, `fit_voice` learns to read moods,
intents and needs, and segments are found and named. Nothing of it knows the ranker's periods. At each time after that, what customers had
written by then is read, and segments, tiers and stages are assigned. A customer leaves its segment only for one likelier by a margin.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.messages import read_messages
from recsys.data.reviews import read_reviews
from recsys.text.heads import Heads
from recsys.training.former import Former, HeldSegments
from recsys.training.reading import Labels, Reading
from recsys.training.runner import Asked, Runner
from recsys.training.split import positive_lines
from recsys.training.stages import contents_of
from recsys.types import Floats
from segmentation.entities import Gazetteer
from segmentation.labelling import label_writings
from segmentation.llm.masking import Masker
from segmentation.llm.naming import WrittenNames
from segmentation.model import SegmentationModel, fit_segmentation
from segmentation.profile import Profiles
from segmentation.purchases import Purchases
from segmentation.reading import VoiceModel, fit_voice
from segmentation.teaching import believed
from segmentation.voice import Voices
from segmentation.writings import KINDS, Writings

NAMING, SUCCESSION = "naming.json", "succession.json"
"""Beside the segmentation model: what naming took, and what became of the segments of a former bundle."""
BLOCK = 2048


@dataclass(frozen=True)
class Customers:
    """What was fitted once.

    reading: what reads texts; voice: folder of what understands them; None = no texts are read
    former:  the bundle whose segments go on; None = nobody's
    """

    reading: Reading | None
    voice: Path | None
    segmentation: Path
    former: Former | None


@dataclass(frozen=True)
class ShopReader:
    """A `segmentation.writings.Reader`, in blocks of the texts as they come: oldest first, so that a later time finds most of them known.

    embed: embeddings of a block, (n, dim)
    """

    embed: Callable[[Sequence[str]], Floats]
    heads: Heads
    dim: int

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each head."""
        return self.heads.classes

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings, float32 (n, dim), unit norm."""
        blocks = [self.embed(texts[start : start + BLOCK]) for start in range(0, len(texts), BLOCK)]
        return np.concatenate([np.empty((0, self.dim), np.float32), *blocks])

    def classify(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Probabilities by head, float32 (n, n_classes)."""
        return self.heads.classify(self.encode(texts))


def reader_of(runner: Runner, reading: Reading) -> ShopReader:
    """What reads customers' texts in this training."""
    return ShopReader(lambda texts: runner.encode(reading.encoder, texts), reading.heads, reading.encoder.dim)


def writings_of(known: Dataset) -> Writings:
    """All that known customers had written by the end of the view, since what is known of each begins; reviews and messages."""
    reviews, messages = read_reviews(known), read_messages(known)
    reviews, messages = reviews.take(reviews.customers >= 0), messages.take(messages.customers >= 0)
    kinds = np.repeat(np.arange(len(KINDS)), [len(reviews), len(messages)])
    writings = Writings.in_order(
        np.concatenate([reviews.customers, messages.customers]),
        [*reviews.texts, *messages.texts],
        np.concatenate([reviews.times, messages.times]),
        np.concatenate([reviews.stars, np.full(len(messages), np.nan, np.float32)]),
        kinds,
    )
    return writings if known.since is None else writings.take(writings.times >= known.since[writings.customers])


def fingerprint_of(writings: Writings) -> str:
    """sha256 over all of it."""
    digest = hashlib.sha256()
    for column in (writings.customers, writings.times, writings.stars, writings.kinds):
        digest.update(column.tobytes())
    for text in writings.texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def llm_labels(runner: Runner, known: Dataset, as_of: np.datetime64) -> Labels:
    """What the language model says of a sample of texts, for the heads of the trunk; nothing where there is none, or no fine-tuning.

    Labels that `fit_voice` would refuse do not teach the trunk. Not a stage: the answers are kept one by one, and those that failed are
    asked for again next time.
    """
    writings = writings_of(known)
    if runner.language is None or not runner.config.finetune.n_steps or not len(writings):
        return {}
    settings, seed = runner.config.segmentation.voice.settings(), runner.seed("voice")
    told = label_writings(
        writings,
        as_of,
        settings,
        model=runner.language.model,
        cache=runner.language.cache,
        seed=seed,
        progress=runner.stages.progress,
    )
    return believed(told, writings.before(as_of), settings, seed, runner.config.training.n_threads)


def fit_customers(runner: Runner, known: Dataset, as_of: np.datetime64, reading: Reading | None, former: Former | None) -> Customers:
    """What understands texts, and the segments with the tiers' cut points: fitted once, before the ranker's first period.

    reading: None = no texts are read; former: counts where it was not fitted later than `as_of`
    """
    voice = _voice(runner, known, as_of, reading)
    if former is not None and former.model.fitted_as_of > as_of:
        former = None  # it has seen what followed
    segmentation = _segmentation(runner, known, as_of, reading, voice, former)
    return Customers(reading, voice, segmentation, former)


def _voice(runner: Runner, known: Dataset, as_of: np.datetime64, reading: Reading | None) -> Path | None:
    writings, settings, asked = writings_of(known), runner.config.segmentation.voice.settings(), runner.language
    if reading is None or not len(writings):
        return None
    brands, titles = called(known)

    def make(folder: Path) -> None:
        fit_voice(
            writings,
            as_of,
            reader_of(runner, reading),
            settings,
            model=None if asked is None else asked.model,
            cache=None if asked is None else asked.cache,
            seed=runner.seed("voice"),
            n_threads=runner.config.training.n_threads,
            progress=runner.stages.progress,
            gazetteer=Gazetteer(brands, titles),
        ).save(folder)

    inputs = {
        **_read_by(reading),
        "writings": fingerprint_of(writings),
        "things": (brands, titles),
        "as_of": as_of,
        "settings": asdict(settings),
        **_asked_of(asked),
    }
    return runner.run("voice", inputs, make, lambda folder: VoiceModel.load(folder).is_complete)


def called(known: Dataset) -> tuple[list[str], list[str]]:
    """Brands and titles of the items that were there by the end of the view."""
    catalogue, is_there = known.catalogue(), known.existing()
    is_there[known.interactions.items] = True
    rows = np.flatnonzero(is_there).tolist()
    brands = {catalogue.brand_names[code] for code in catalogue.codes("brand")[rows].tolist() if code >= 0}
    return sorted(brands), sorted({catalogue.titles[row] for row in rows})


def voices_of(runner: Runner, known: Dataset, as_of: np.datetime64, reading: Reading | None, voice: Path | None) -> Path | None:
    """The folder of what customers say as of a time; None = no texts are read."""
    if reading is None or voice is None:
        return None
    writings, things = writings_of(known), called(known)

    def make(folder: Path) -> None:
        reader = reader_of(runner, reading)
        VoiceModel.load(voice).read(writings, len(known.customers), as_of, reader, Gazetteer(*things)).save(folder)

    inputs = {
        **_read_by(reading),
        "voice": contents_of(voice),
        "writings": fingerprint_of(writings),
        "things": things,
        "as_of": as_of,
        "n_customers": len(known.customers),
    }
    return runner.run("voices", inputs, make)


def _segmentation(
    runner: Runner, known: Dataset, as_of: np.datetime64, reading: Reading | None, voice: Path | None, former: Former | None
) -> Path:
    settings, asked = runner.config.segmentation, runner.language
    voices = voices_of(runner, known, as_of, reading, voice)

    def make(folder: Path) -> None:
        namer = None if asked is None else WrittenNames(asked.model, asked.cache, Masker(), runner.stages.progress)
        lines, n_customers = purchases(known, runner.config), len(known.customers)
        remembering = None
        if reading is not None and voice is not None:
            remembering = VoiceModel.load(voice).remembering(writings_of(known), n_customers, reader_of(runner, reading))
        model = fit_segmentation(
            lines,
            n_customers,
            as_of,
            n_segments=settings.n_segments,
            tier_quantiles=settings.tier_quantiles,
            horizon_days=settings.horizon_days,
            seed=runner.seed("segmentation"),
            n_threads=runner.config.training.n_threads,
            stage_rules=settings.stages.rules(),
            titles=dict(zip(known.item_ids.ids, known.catalogue().titles, strict=True)),
            wrote=None if voices is None else Voices.load(voices).wrote(),
            voices_as_of=remembering,
            namer=namer,
        )
        if former is not None:
            model, succession = model.succeeding(former.model, lines, n_customers)
            told = {"former": former.version, **asdict(succession), "moved_share": succession.moved_share}
            (folder / SUCCESSION).write_text(json.dumps(told, indent=1), encoding="utf-8")
        model.save(folder)
        if namer is not None:
            (folder / NAMING).write_text(json.dumps(namer.facts(), ensure_ascii=False, indent=1), encoding="utf-8")

    inputs = {
        "data": known.fingerprint,
        "positive": runner.config.data.positive_events,
        "as_of": as_of,
        "settings": settings.model_dump(exclude={"voice", "margin"}),
        "voices": None if voices is None else contents_of(voices),
        "former": None if former is None else former.version,
        **_asked_of(asked),
    }
    return runner.run("segmentation", inputs, make, _is_named)


def _is_named(segmentation: Path) -> bool:
    """Whether a language model could be asked for every name, where there was one."""
    path = segmentation / NAMING
    return not path.is_file() or not json.loads(path.read_text(encoding="utf-8"))["failed"]


def profiles_of(runner: Runner, known: Dataset, as_of: np.datetime64, customers: Customers, previous: Path | None) -> Path:
    """The folder of the profiles as of a time.

    previous: folder of the profiles of an earlier time of this training. A customer keeps the segment of these, or of the former bundle
        where that is later, unless another is likelier by the margin.
    """
    voices = voices_of(runner, known, as_of, customers.reading, customers.voice)
    former, margin = customers.former, runner.config.segmentation.margin

    def held() -> Profiles | HeldSegments | None:
        earlier = None if previous is None else Profiles.load(previous)
        if former is None or former.as_of > as_of or (earlier is not None and earlier.as_of >= former.as_of):
            return earlier
        return former.held(known.customers)

    def make(folder: Path) -> None:
        SegmentationModel.load(customers.segmentation).assign(
            purchases(known, runner.config),
            len(known.customers),
            as_of,
            previous=held(),
            margin=margin,
            voices=None if voices is None else Voices.load(voices),
        ).save(folder)

    inputs = {
        "data": known.fingerprint,
        "positive": runner.config.data.positive_events,
        "as_of": as_of,
        "segmentation": contents_of(customers.segmentation),
        "voices": None if voices is None else contents_of(voices),
        "previous": None if previous is None else contents_of(previous),
        "former": None if former is None else former.version,
        "margin": margin,
    }
    return runner.run("profiles", inputs, make)


def purchases(known: Dataset, config: Config) -> Purchases:
    """The positive lines of known customers as segmentation reads them: the items, and their categories as topics."""
    lines = positive_lines(known, config)
    lines = lines.take(lines.customers >= 0)
    catalogue = known.catalogue()
    topics = catalogue.codes("category")[lines.items]
    what = topics, tuple(catalogue.category_names), lines.items, catalogue.items.ids
    return Purchases(lines.customers, lines.times, lines.values, lines.baskets, *what)


def _read_by(reading: Reading) -> dict[str, Any]:
    return {"encoder": (reading.encoder.fingerprint, reading.encoder.arithmetic), "heads": reading.heads.fingerprint}


def _asked_of(asked: Asked | None) -> dict[str, Any]:
    """The model that a stage asks; its prompts are in the code, which every stage depends on."""
    return {"language_model": None if asked is None else asked.model.model}

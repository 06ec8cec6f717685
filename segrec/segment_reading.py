"""Fitting a segmentation as a training fits it, and profiles by it, with what customers wrote where they wrote something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import ENCODER, text_config
from recsys.config import Config, to_json
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError
from recsys.text.encoder import load_encoder
from recsys.text.heads import FOLDER, Heads
from recsys.threads import limit_threads
from recsys.training.customers import ShopReader, called, fit_customers, llm_labels, purchases, voices_of, writings_of
from recsys.training.former import HeldSegments
from recsys.training.reading import fit_reading
from recsys.training.runner import Runner, answering
from recsys.training.stages import Progress, Stages
from segmentation.entities import Gazetteer
from segmentation.model import SegmentationModel
from segmentation.profile import Profiles
from segmentation.reading import VoiceModel
from segmentation.voice import Voices
from segrec.language_model import language_model
from segrec.segment_folder import Fitted, Parts, name_of, told_of
from segrec.segment_report import followed, report_of


def fit_anew(
    known: Dataset, end: np.datetime64, config: Config, work: Path, progress: Progress, former: Fitted | None
) -> tuple[Fitted, Parts]:
    """A segmentation of what was known before `end`; stages are kept in `work`, so a run that was killed goes on where it was."""
    with limit_threads(config.training.n_threads), language_model(config, known) as model, answering(model, work) as asked:
        runner = Runner(config, Stages(work, progress), language=asked)
        reading = None
        if len(writings_of(known)):
            base = load_encoder(config.text, config.training.n_threads)
            reading = fit_reading(runner, known, base, llm_labels(runner, known, end))
        customers = fit_customers(runner, known, end, reading, None)
        folder = voices_of(runner, known, end, reading, customers.voice)
    lines, n_customers = purchases(known, config), len(known.customers)
    segmentation, succession = SegmentationModel.load(customers.segmentation), None
    if former is not None:
        segmentation, moves = segmentation.succeeding(former.model, lines, n_customers)
        succession = told_of(moves, former.model)
    profiles = segmentation.assign(lines, n_customers, end, voices=None if folder is None else Voices.load(folder))
    texts = None if reading is None else {"fingerprint": reading.encoder.fingerprint, "precision": reading.encoder.precision}
    voice = None if customers.voice is None else VoiceModel.load(customers.voice).facts()
    facts = {"data": known.fingerprint, "config": to_json(config), "texts": texts, "voice": voice}
    report = report_of(segmentation, profiles, lines, titles_of(known), voice=voice, n_asked=config.segmentation.n_segments)
    lineage = name_of(segmentation), *(() if former is None else former.lineage)
    fitted = Fitted(customers.segmentation, segmentation, config, facts, lineage, succession, report)
    return fitted, Parts(customers.voice, None if reading is None else reading.trunk)


def profiles_by(fitted: Fitted, known: Dataset, end: np.datetime64, progress: Progress, held: HeldSegments | None = None) -> Profiles:
    """Profiles of all customers of a view; nothing is fitted.

    held: the segments that customers had, which they leave only for likelier ones by the margin of the configuration

    Raises:
        ConfigError: the BERT that the segmentation was fitted with is not there any more.
    """
    config = fitted.config
    with limit_threads(config.training.n_threads):
        voices = voices_by(fitted, known, end, reader_by(fitted), progress) if len(writings_of(known)) else None
        lines, margin = purchases(known, config), config.segmentation.margin
        return fitted.model.assign(lines, len(known.customers), end, previous=held, margin=margin, voices=voices)


def report_by(fitted: Fitted, shop: Dataset, end: np.datetime64, progress: Progress) -> dict[str, Any]:
    """The report as of a time, with what came true where the shop's data go on for a horizon."""
    known = shop.before(end)
    profiles = profiles_by(fitted, known, end, progress)
    later = followed(purchases(shop, fitted.config), end, profiles.horizon_days, shop.interactions.times[-1])
    voice, n_asked = fitted.facts.get("voice"), fitted.config.segmentation.n_segments
    lines = purchases(known, fitted.config)
    return report_of(fitted.model, profiles, lines, titles_of(known), later, voice=voice, n_asked=n_asked)


def titles_of(known: Dataset) -> dict[str, str]:
    """Titles of items, by id."""
    return dict(zip(known.item_ids.ids, known.catalogue().titles, strict=True))


def reader_by(fitted: Fitted) -> ShopReader | None:
    """What reads texts as the fit read them; None = it read none.

    Raises:
        ConfigError: the BERT that the segmentation was fitted with is not there any more.
    """
    if fitted.voice is None:
        return None
    encoder = load_encoder(text_config(fitted.folder, fitted.facts), fitted.config.training.n_threads)
    if encoder.fingerprint != fitted.facts["texts"]["fingerprint"]:
        raise ConfigError(
            f"{fitted.folder} was fitted with another BERT than {fitted.config.text.trunk!r} is now; put that back, or fit it again"
        )
    heads = fitted.folder / ENCODER / FOLDER
    return ShopReader(encoder.encode, Heads.load(heads) if heads.is_dir() else Heads({}), encoder.dim)


def voices_by(fitted: Fitted, known: Dataset, end: np.datetime64, reader: ShopReader | None, progress: Progress) -> Voices | None:
    """What the customers of a view say; None = no texts are read."""
    if fitted.voice is None or reader is None:
        return None
    writings, what = writings_of(known), "reading what customers wrote"
    progress(0, 1, what)
    voices = VoiceModel.load(fitted.voice).read(writings, len(known.customers), end, reader, Gazetteer(*called(known)))
    progress(1, 1, what)
    return voices

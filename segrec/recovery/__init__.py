"""How much of a planted world's truth each part of the product recovers: it trains on the shop alone and is scored on what followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsys.bundle import Bundle
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.errors import DataError
from recsys.synthetic.writing import SHOP
from recsys.training.pipeline import train
from recsys.training.stages import Progress
from segrec.planted import open_world
from segrec.recovery.customers import score_customers
from segrec.recovery.items import LOOKS_AT, TOP, score_cold_items, score_price, score_reasons
from segrec.recovery.lists import answers, score_discovery, score_ranking
from segrec.recovery.score import Score
from segrec.recovery.subject import Subject
from segrec.recovery.table import score_notes, score_table, scores_to_json, scores_to_markdown
from segrec.recovery.texts import score_texts
from segrec.recovery.voices import score_voices

__all__ = ["Score", "score_notes", "score_subject", "score_table", "score_world", "scores_to_json", "scores_to_markdown"]

WORK = ".work"


def score_world(folder: Path, out: Path, config: Config, progress: Progress) -> tuple[Score, ...]:
    """Train a bundle as of one evaluation period before the world's end, and score it on that period.

    Training reads the imported shop and nothing of the truth.

    Args:
        folder: of a world, with ``truth/`` and the imported ``shop/``
        out: where the bundle goes; stages of the training and embeddings of reviews are kept in ``out/.work``
        config: of the training; ``evaluation`` names the period and the strategies that are scored

    Raises:
        DataError: the folder holds no planted world or no shop imported from it, or the history is too short to train on.
    """
    world = open_world(folder)
    dataset = Dataset.load(folder / SHOP)
    calendar, period = world.model.calendar, config.evaluation.period_days
    if period >= calendar.n_days:
        raise DataError(
            f"the world in {folder} is {calendar.n_days} days long, and evaluation.period_days is {period:g}: nothing is left to learn from"
        )
    as_of = calendar.times(np.array([calendar.n_days - period]))[0]
    bundle = Bundle.load(train(dataset, config, as_of, out, work=out / WORK, progress=progress))
    subject = Subject.of(world, dataset, bundle)
    return score_subject(subject, folder / SHOP, out / WORK / "encoded", progress)


def score_subject(subject: Subject, shop: Path, cache: Path, progress: Progress) -> tuple[Score, ...]:
    """All rows that the bundle and the shop allow; shop: of the reviews; cache: for their embeddings."""
    config = subject.bundle.config
    rng = np.random.default_rng(config.training.seed)
    home = answers(subject, config.evaluation.strategy, LOOKS_AT, progress)
    scores = [*score_customers(subject, rng), *score_texts(subject, shop, cache, rng, progress), *score_voices(subject, rng)]
    scores += score_ranking(subject, home, rng)
    if config.evaluation.discovery_strategy is not None:
        discovery = answers(subject, config.evaluation.discovery_strategy, LOOKS_AT, progress)
        scores += [*score_discovery(subject, discovery, rng), score_price(subject, discovery, rng)]
    scores += [*score_cold_items(subject, rng), *score_reasons("reasons", subject, home, rng)]
    explained = answers(subject, config.evaluation.strategy, TOP, progress, explain=True)
    return (*scores, *score_reasons("reasons, explained", subject, explained, rng))

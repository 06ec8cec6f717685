"""What reads a shop's texts: the trunk, fine-tuned where the configuration asks for it, and its heads; and what reviews weigh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.errors import LeakError
from recsys.text.encoder import TextEncoder, load_encoder
from recsys.text.finetune import CHECKPOINT, REPORT
from recsys.text.heads import FOLDER, Heads
from recsys.training.finetuning import fit_trunk
from recsys.training.runner import Runner
from recsys.training.stages import OUR_PACKAGES, key_of, source_digest
from recsys.training.texts import ReviewWeights, choose_weights

Labels: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]
"""Texts and their class, by the name of a classification head."""


@dataclass(frozen=True)
class Reading:
    """How texts are read. trunk: folder of the fine-tuned one, None = as it came; heads: its own, none where it has none."""

    encoder: TextEncoder
    heads: Heads
    trunk: Path | None

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        report = None if self.trunk is None else json.loads((self.trunk / REPORT).read_text(encoding="utf-8"))
        return {"fingerprint": self.encoder.fingerprint, "precision": self.encoder.precision, "finetuning": report}


def fit_reading(runner: Runner, known: Dataset, base: TextEncoder, labels: Labels) -> Reading:
    """The trunk as it is, or fine-tuned on what was known where the configuration asks for it.

    Args:
        base: reads with the trunk that the configuration names
        labels: what else the trunk's heads learn, of before the end of the view; counts only where the trunk is fine-tuned

    Raises:
        LeakError: the trunk that the configuration names was fine-tuned on what came after the view.
    """
    text = runner.config.text
    trunk = tuned_folder(text.trunk, known.end)
    if not runner.config.finetune.n_steps:
        return Reading(base, _heads_in(trunk), trunk)
    trunk = _trunk(runner, known, base, labels)
    tuned = load_encoder(text.model_copy(update={"trunk": str(trunk)}), runner.config.training.n_threads)
    return Reading(tuned, _heads_in(trunk), trunk)


def fit_review_weights(runner: Runner, known: Dataset, base: TextEncoder) -> ReviewWeights:
    """What reviews weigh in the embeddings of items and customers.

    Chosen with the trunk as the configuration names it: a tuned one has learnt the very items that they are tried on.
    """
    config, seed = runner.config, runner.seed("review-weights")

    def make(folder: Path) -> None:
        chosen = choose_weights(known, config, lambda texts: runner.encode(base, texts), np.random.default_rng(seed))
        (folder / "weights.json").write_text(json.dumps(asdict(chosen)))

    inputs = {
        "encoder": (base.fingerprint, base.arithmetic),
        "data": known.fingerprint,
        "positive": config.data.positive_events,
        "reviews": read_reviews(known).fingerprint,
        "settings": config.reviews.model_dump(),
        "whiten": config.text.whiten,
        "period": config.training.ranking_period_days,
        "n_validation": config.finetune.n_validation,
    }
    folder = runner.run("review-weights", inputs, make)
    return ReviewWeights(**json.loads((folder / "weights.json").read_text()))


def _trunk(runner: Runner, known: Dataset, base: TextEncoder, labels: Labels) -> Path:
    """The folder of the fine-tuned trunk, which began as `base`."""
    config = runner.config
    inputs = {
        "encoder": (base.fingerprint, base.arithmetic),
        "data": known.fingerprint,
        "reviews": read_reviews(known).fingerprint,
        "settings": config.finetune.model_dump(),
        "positive": config.data.positive_events,
        "labels": key_of(dict(labels)),
    }
    code = source_digest(*OUR_PACKAGES)[:8]  # other code does not go on with this code's checkpoint
    work = runner.stages.folder / f"finetuning-{str(known.end)[:10]}-{code}"  # no stage: what is unfinished there must stay

    def make(folder: Path) -> None:
        fit_trunk(known, config, work, folder, labels=labels, seed=runner.seed("trunk"), progress=runner.stages.progress)
        (work / CHECKPOINT).unlink(missing_ok=True)  # as large as four models, and no longer needed

    return runner.run("trunk", inputs, make)


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
            f"text.trunk {trunk!r} was fine-tuned on what was known until {known_until}, but the ranker's first query is of {end}: "
            "it would know the answers; fine-tune one with --as-of that time, or, for a training by time, set finetune.n_steps, "
            "which tunes one for every cut"
        )
    return folder


def _heads_in(trunk: Path | None) -> Heads:
    return Heads({}) if trunk is None or not (trunk / FOLDER).is_dir() else Heads.load(trunk / FOLDER)

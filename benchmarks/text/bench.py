"""What every measurement is given, and the two things all of them do: tune a trunk, and encode with one."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.config import FinetuneConfig, TextConfig
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import load_encoder
from recsys.text.finetune import finetune
from recsys.threads import limit_threads
from recsys.training.finetuning import Material, make_lesson
from recsys.types import Floats
from segrec.console import output, steps

SEED = 11


@dataclass(frozen=True)
class Bench:
    """Settings of one command.

    trunk:    the BERT as it comes
    settings: fields of `FinetuneConfig` that were asked for; they win over a measurement's own
    """

    data: Path
    work: Path
    shop: str
    n_threads: int
    trunk: str
    settings: Mapping[str, object]

    def plan(self, **own: object) -> FinetuneConfig:
        """A measurement's own settings, and what was asked for; everything fits into memory here, so gradients are not cached."""
        return FinetuneConfig.model_validate({"cache_gradients": False, **own, **self.settings})

    def untuned(self, max_tokens: int = 64) -> TextConfig:
        """The trunk as it comes."""
        return TextConfig(trunk=self.trunk, max_tokens=max_tokens)

    def tuned(self, material: Material, config: FinetuneConfig, max_tokens: int = 64, trunk: str | None = None) -> TextConfig:
        """Settings that name the trunk that learnt from the material; where some was held out, with the weights that validated best.

        Args:
            trunk: what to begin with in the trunk's stead.
        """
        lesson = make_lesson(material, config, np.random.default_rng(SEED))
        text = TextConfig(trunk=trunk or self.trunk, max_tokens=max_tokens)
        key = hashlib.sha256(repr((lesson.fingerprint(SEED), text, config)).encode()).hexdigest()
        folder = self.work / f"tuned-{key[:10]}"
        with steps() as progress:
            report = finetune(lesson, text, config, folder / "work", folder / "out", seed=SEED, n_threads=self.n_threads, progress=progress)
        recalls = ", ".join(f"{recall:.4f}" for recall in report["Recall@20"])
        output().print(
            f"{report['n_steps']} steps, kept {report['best_step']}; Recall@20 in validation, from the untuned on: {recalls or 'none'}"
        )
        return text.model_copy(update={"trunk": str(folder / "out")})

    def encode(self, text: TextConfig, texts: Sequence[str]) -> Floats:
        """Embeddings, unit norm, float32 (n, dim)."""
        with steps() as progress:
            return encode_texts(load_encoder(text, self.n_threads), texts, self.work / "encoded", progress)


def settings_of(given: Sequence[str]) -> dict[str, object]:
    """Settings from arguments of the form KEY=VALUE, values in JSON."""
    return {name: json.loads(value) for name, value in (setting.split("=", 1) for setting in given)}


def run_on(bench: Bench, measure: Callable[[Bench], None]) -> int:
    """Measure; exit status: 0, or 1 where the public data are not there."""
    try:
        with limit_threads(bench.n_threads):
            measure(bench)
    except FileNotFoundError as error:
        print(f"--data must name the folder of the public data sets: {error}", file=sys.stderr)
        return 1
    return 0

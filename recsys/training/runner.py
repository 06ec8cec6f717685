"""What every stage of one training shares: its configuration, its folder, its seed, and the language model where there is one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.config import Config
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import TextEncoder
from recsys.training.stages import Stages, always, stage_seed
from recsys.types import Floats
from segmentation.llm.cache import LabelCache
from segmentation.llm.language_model import LanguageModel

LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "lightgbm", "faiss-cpu", "faiss-gpu", "torch", "transformers", "peft")

ANSWERS = "answers.sqlite"
"""What language models have answered, in a work folder."""


@cache
def library_versions() -> Mapping[str, str]:
    """Versions of the libraries that results depend on; part of every stage's inputs and of the manifest."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return MappingProxyType(found)


@dataclass(frozen=True)
class Asked:
    """A language model and what it has answered before."""

    model: LanguageModel
    cache: LabelCache


@contextmanager
def answering(model: LanguageModel | None, work: Path) -> Iterator[Asked | None]:
    """The model with the answers that are kept in a work folder; None = there is no model."""
    if model is None:
        yield None
        return
    with LabelCache(work / ANSWERS) as cache:
        yield Asked(model, cache)


@dataclass(frozen=True)
class Runner:
    """Runs stages. language: None = there is no language model."""

    config: Config
    stages: Stages
    language: Asked | None = field(default=None, kw_only=True)

    def run(self, name: str, inputs: dict[str, Any], make: Callable[[Path], None], is_whole: Callable[[Path], bool] = always) -> Path:
        """A stage whose inputs include the seed, the thread count and the libraries."""
        training = self.config.training
        common = {"seed": training.seed, "n_threads": training.n_threads, "libraries": dict(library_versions())}
        return self.stages.run(name, {**common, **inputs}, make, is_whole)

    def seed(self, name: str) -> int:
        """The named stage's own seed."""
        return stage_seed(self.config.training.seed, name)

    def encode(self, encoder: TextEncoder, texts: Sequence[str]) -> Floats:
        """Embeddings of texts; what an earlier stage or run encoded is not encoded again."""
        return encode_texts(encoder, texts, self.stages.folder / "encoded", self.stages.progress)

"""Classification heads on embeddings: what texts say of sentiment and whatever else was labelled; numpy alone at inference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.config import TextConfig
from recsys.errors import BundleError, ConfigError
from recsys.text.encoder import TextEncoder, load_encoder
from recsys.types import Floats

FOLDER = "heads"
"""Where the heads lie inside the folder of the model that they were trained with."""


@dataclass(frozen=True)
class Head:
    """One linear classifier. classes: names, in the order of the columns; weights: float32 (dim, n_classes); bias: float32 (n_classes,)."""

    classes: tuple[str, ...]
    weights: Floats
    bias: Floats

    def __post_init__(self) -> None:
        n = len(self.classes)
        if n < 2 or self.weights.ndim != 2 or self.weights.shape[1] != n or self.bias.shape != (n,):
            raise ValueError(f"{n} classes, but weights {self.weights.shape} and bias {self.bias.shape}; two classes are the least")


@dataclass(frozen=True)
class Heads:
    """Heads by name."""

    by_name: Mapping[str, Head]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each head, in the order of its columns."""
        return {name: head.classes for name, head in self.by_name.items()}

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for head in self.by_name.values():
            digest.update(np.ascontiguousarray(head.weights).tobytes())
            digest.update(head.bias.tobytes())
        return digest.hexdigest()

    def classify(self, embeddings: Floats) -> dict[str, Floats]:
        """Probabilities of each head's classes, rows sum to 1; float32 (n, n_classes).

        They hold for texts whose classes are as frequent as among the labels. Where a rare class must not be missed, divide by its
        share of the labels before comparing.

        Args:
            embeddings: of the encoder that the heads were trained with; (n, dim).

        Raises:
            ValueError: the embeddings have another width.
        """
        return {name: _softmax(_logits(name, head, embeddings)) for name, head in self.by_name.items()}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "heads.json").write_text(json.dumps(self.classes, ensure_ascii=False), encoding="utf-8")
        for at, head in enumerate(self.by_name.values()):
            np.save(folder / f"{at}.npy", np.vstack([head.weights, head.bias]).astype(np.float32))

    @staticmethod
    def load(folder: Path) -> Heads:
        """Raises BundleError where a file is missing, cut off or does not fit its classes."""
        try:
            classes = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
            tables = [np.load(folder / f"{at}.npy") for at in range(len(classes))]
            return Heads(
                {name: Head(tuple(names), table[:-1], table[-1]) for (name, names), table in zip(classes.items(), tables, strict=True)}
            )
        except (OSError, ValueError, EOFError, AttributeError, IndexError) as error:
            raise BundleError(f"the classification heads in {folder} cannot be read: {error}; train them again") from error


@dataclass(frozen=True)
class Reader:
    """An encoder with its heads: all that a text tells."""

    encoder: TextEncoder
    heads: Heads

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each head, in the order of its columns."""
        return self.heads.classes

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings, float32 (n, dim), unit norm."""
        return self.encoder.encode(texts)

    def classify(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Probabilities by head, float32 (n, n_classes)."""
        return self.heads.classify(self.encoder.encode(texts))


def load_reader(config: TextConfig, n_threads: int) -> Reader:
    """The encoder that the configuration names, with the heads that lie in its folder.

    Raises:
        ConfigError: as `load_encoder`; or the trunk is no folder with heads.
    """
    folder = Path(config.trunk).expanduser() / FOLDER
    if not folder.is_dir():
        raise ConfigError(f"text.trunk {config.trunk!r} has no classification heads; fine-tune it with labelled texts")
    return Reader(load_encoder(config, n_threads), Heads.load(folder))


def _logits(name: str, head: Head, embeddings: Floats) -> Floats:
    if embeddings.ndim != 2 or embeddings.shape[1] != len(head.weights):
        raise ValueError(f"head {name!r} reads embeddings of width {len(head.weights)}, got an array of shape {embeddings.shape}")
    logits: Floats = embeddings @ head.weights + head.bias
    return logits


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares

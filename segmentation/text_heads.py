"""What answers one question about any text: a head that the encoder was trained with, or a probe that was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmentation.probes import BOTH, Probe
from segmentation.purchases import Floats
from segmentation.writings import Reader

TRUNK = "encoder"
"""How a head reads that was trained with the encoder; the others as `Probe.by` says."""


class Eye:
    """A reader that looks at each distinct text once; for a block of texts, since it keeps what it saw."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._row_of: dict[str, int] = {}
        self._embeddings: list[Floats] = []
        self._likely: dict[str, dict[str, Floats]] = {}

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings, float32 (n, dim)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._row_of]
        if new or not self._embeddings:
            self._embeddings.append(np.asarray(self._reader.encode(new), np.float32))
            self._row_of |= {text: len(self._row_of) + at for at, text in enumerate(new)}
        if len(self._embeddings) > 1:
            self._embeddings = [np.vstack(self._embeddings)]
        return self._embeddings[0][[self._row_of[text] for text in texts]]

    def classify(self, texts: Sequence[str], head: str) -> Floats:
        """Probabilities of the classes of one of the reader's heads, float32 (n, n_classes)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._likely]
        if new:
            found = self._reader.classify(new)
            self._likely |= {text: {name: rows[at] for name, rows in found.items()} for at, text in enumerate(new)}
        n_classes = len(self._reader.classes[head])
        return np.array([self._likely[text][head] for text in texts], np.float32).reshape(len(texts), n_classes)


@dataclass(frozen=True)
class TextHead:
    """Reads one thing of texts.

    name:    also of the encoder's head, where there is no probe
    classes: in the order of the columns
    shares:  of the classes among the texts that it was taught by, sum 1; float32 (n_classes,)
    kinds:   rows of KINDS: the kinds of texts that it was taught by, and reads
    """

    name: str
    classes: tuple[str, ...]
    shares: Floats
    kinds: tuple[int, ...]
    probe: Probe | None

    @property
    def by(self) -> str:
        """How it reads: TRUNK, or as `Probe.by`."""
        return TRUNK if self.probe is None else self.probe.by

    def read(self, texts: Sequence[str], eye: Eye) -> Floats:
        """Calibrated probabilities of the classes, float32 (n, n_classes)."""
        if self.probe is None:
            return eye.classify(texts, self.name)
        return self.probe.read(texts, eye.encode(texts) if self.probe.by == BOTH else None)

    def even(self, probabilities: Floats) -> Floats:
        """What the probabilities would be, were each class equally frequent: even for a text that says nothing; rows sum to 1."""
        found = probabilities / np.maximum(self.shares, 1e-6)
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float32)

    def facts(self) -> dict[str, Any]:
        """For a manifest."""
        return {"by": self.by, "classes": list(self.classes), "shares": [round(float(share), 4) for share in self.shares]}


def sureness(even: Floats) -> Floats:
    """How far from even rows of probabilities are: 0 = even, 1 = certain; 1 less the entropy over that of an even row; float32 (n,)."""
    entropy = -(even * np.log(np.maximum(even, 1e-12))).sum(axis=1)
    return np.asarray(np.clip(1 - entropy / np.log(max(even.shape[1], 2)), 0, 1), np.float32)

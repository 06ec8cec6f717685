"""From a ranker's score to a probability that can be shown: of all candidates with such a score, the share that was bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError
from recsys.types import Floats


@dataclass(frozen=True)
class Calibration:
    """Lines between knots, level beyond the first and the last; never falls.

    scores:        of the knots, rising; float64 (n_knots,), one at least
    probabilities: there, never falling, in (0, 1); float64 (n_knots,)
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.probabilities) or not len(self.scores):
            raise ValueError(f"{len(self.scores)} scores and {len(self.probabilities)} probabilities; as many are needed, one at least")
        if not (np.diff(self.scores) > 0).all() or not (np.diff(self.probabilities) >= 0).all():
            raise ValueError("scores of a calibration must rise, and probabilities never fall")
        if not ((self.probabilities > 0) & (self.probabilities < 1)).all():
            raise ValueError("probabilities of a calibration must be above 0 and below 1")

    def of(self, scores: Floats) -> Floats:
        """Probabilities of scores, float32, shape as given; NaN stays NaN."""
        return np.interp(scores, self.scores, self.probabilities).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write one file."""
        np.save(path, np.stack([self.scores, self.probabilities]))

    @staticmethod
    def load(path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            BundleError: there is no such file, or it is no calibration.
        """
        try:
            scores, probabilities = np.load(path)
            return Calibration(scores, probabilities)
        except (ValueError, OSError, EOFError) as error:
            raise BundleError(f"{path} is not a calibration: {error}") from error

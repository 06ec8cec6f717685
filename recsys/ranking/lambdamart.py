"""LambdaMART at request time: LightGBM inference through its C interface.

LightGBM's Python package imports scikit-learn and pandas, which a server has no use for and which take a second and a half to load;
its shared library alone reads the model and scores rows.
"""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError
from recsys.ranking.calibration import Calibration
from recsys.types import Floats

CALIBRATION = "calibration.npy"
_FLOAT32, _ROW_MAJOR, _RAW_SCORE, _CONTRIBUTIONS, _ALL_TREES = 0, 1, 1, 3, -1


class LambdaMart:
    """A boosted tree ranker; scores may be negative and compare within one query only.

    model:       LightGBM's own text format
    calibration: what the scores mean; None = nobody can tell
    n_threads:   threads of one call; more than one rarely helps below some thousand rows

    Raises:
        ValueError: LightGBM cannot read the model.
    """

    def __init__(self, model: str, calibration: Calibration | None = None, n_threads: int = 1) -> None:
        self.model = model
        self.calibration = calibration
        self._handle = ctypes.c_void_p()
        self._parameters = f"num_threads={n_threads}".encode()
        n_trees, n_features = ctypes.c_int(), ctypes.c_int()
        _call("LGBM_BoosterLoadModelFromString", model.encode(), ctypes.byref(n_trees), ctypes.byref(self._handle))
        weakref.finalize(self, _call, "LGBM_BoosterFree", self._handle)
        _call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(n_features))
        self.n_features = n_features.value

    def score(self, features: Floats) -> Floats:
        """Raw scores of shape (n,) for features (n, n_features); NaN counts as missing."""
        return self._predict(features, _RAW_SCORE, 1)[:, 0].astype(np.float32)

    def probabilities(self, scores: Floats) -> Floats:
        """How probable it is that a customer buys a candidate of such a score, float32 (n,), see `Calibration`; NaN = nobody can tell.

        In the time of one ranking period, for a customer who buys anything in it.
        """
        return np.full(len(scores), np.nan, np.float32) if self.calibration is None else self.calibration.of(scores)

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        """What each feature adds to each row's score, (n, n_features): TreeSHAP.

        The sum over a row is its score less the mean score of the training rows. Takes some 17 microseconds per row and tree.

        Source: Lundberg et al. (2020), Nature Machine Intelligence 2, path-dependent; by LightGBM.
        """
        return self._predict(features, _CONTRIBUTIONS, self.n_features + 1)[:, :-1]

    def _predict(self, features: Floats, what: int, width: int) -> NDArray[np.float64]:
        """One of LightGBM's predictions, `width` numbers of each row; (n, width)."""
        rows = np.ascontiguousarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ValueError(f"the ranker reads {self.n_features} features, got an array of shape {rows.shape}")
        found = np.empty((len(rows), width), np.float64)
        written = ctypes.c_int64()
        _call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            rows.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(_FLOAT32),
            ctypes.c_int32(len(rows)),
            ctypes.c_int32(self.n_features),
            ctypes.c_int(_ROW_MAJOR),
            ctypes.c_int(what),
            ctypes.c_int(0),
            ctypes.c_int(_ALL_TREES),
            self._parameters,
            ctypes.byref(written),
            found.ctypes.data_as(ctypes.c_void_p),
        )
        return found

    def save(self, folder: Path) -> None:
        """Write into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(self.model, encoding="utf-8")
        if self.calibration is not None:
            self.calibration.save(folder / CALIBRATION)

    @staticmethod
    def load(folder: Path) -> LambdaMart:
        """Read what `save` wrote; without a calibration file there is no calibration.

        Raises:
            BundleError: there is no model, LightGBM cannot read it, or the calibration is damaged.
        """
        path, calibration = folder / "model.txt", folder / CALIBRATION
        known = Calibration.load(calibration) if calibration.is_file() else None
        try:
            return LambdaMart(path.read_text(encoding="utf-8"), known)
        except (ValueError, OSError) as error:
            raise BundleError(f"{path} is not a LightGBM model: {error}") from error


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("lightgbm")  # finds the package without importing it
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for folder in folders for path in sorted(Path(folder).glob("**/lib_lightgbm.*"))]
    if not found:
        raise ImportError("LightGBM's shared library was not found; install the package lightgbm")
    library = ctypes.CDLL(str(found[0]))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


def _call(name: str, *arguments: object) -> None:
    if getattr(_library(), name)(*arguments) != 0:
        raise ValueError(f"LightGBM: {_library().LGBM_GetLastError().decode()}")

"""Arrays of a bundle on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapped(path: Path) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped and read-only.

    A plain view of the mapping: numpy's own class for mapped files costs some microseconds at every index.
    """
    return np.asarray(np.load(path, mmap_mode="r"))

"""Metrics of a training: one JSON object a line, and event files for TensorBoard where that is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class MetricLog:
    """Appends metrics by step; what a killed run wrote after the step that it goes on from is taken back, for it will be written again.

    resumed_at: that step; None = a new run, which begins a new file.
    """

    def __init__(self, path: Path, resumed_at: int | None) -> None:
        kept = [] if resumed_at is None else [line for line in _lines(path) if json.loads(line)["step"] <= resumed_at]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._events: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(path.parent / "tensorboard"), purge_step=None if resumed_at is None else resumed_at + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()


def _lines(path: Path) -> list[str]:
    """Whole lines; the last one may have been cut off."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line for line in lines[:-1] if line]

"""What a person sees while waiting, and how long each part took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

MIN_SECONDS = 0.5
"""Steps shorter than this are not worth a line."""


class Steps:
    """Shows long steps on stderr: a bar with the time left while one runs, a line with its duration when it is done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Told by training, imports and evaluation; see `recsys.training.stages.Progress`."""
        if what not in self._tasks:
            if total is not None and done >= total:
                return
            self._tasks[what] = self._bars.add_task(what, total=total), time.monotonic()
        task, since = self._tasks[what]
        self._bars.update(task, completed=done, total=total)
        if total is not None and done >= total:
            self._bars.remove_task(task)
            del self._tasks[what]
            seconds = time.monotonic() - since
            if seconds >= MIN_SECONDS:
                self._bars.console.print(f"  {what}: {seconds:.1f} s", style="dim", highlight=False)


@contextmanager
def steps() -> Iterator[Steps]:
    """Progress on stderr for the time of the block; nothing but finished steps where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Steps(bars)


def say(text: str) -> None:
    """One line to a waiting person, on stderr: results alone go to stdout."""
    Console(stderr=True, highlight=False).print(text)


def output() -> Console:
    """Where results go: stdout, as wide as the terminal, 120 columns in a file."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class Stopwatch:
    """A budget that never expires and notes how long each stage took, in milliseconds."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []
        self._last = time.perf_counter()

    def expired(self) -> bool:
        return False

    def finished(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages.append((stage, 1000 * (now - self._last)))
        self._last = now

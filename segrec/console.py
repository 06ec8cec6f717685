"""What a person sees while waiting, and how long each part took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

MIN_SECONDS = 0.5
"""Steps shorter than this are not worth a line."""


class Steps:
    """Shows steps on stderr: a bar with the time left while a long one runs, a line with its duration when it is done.

    A step of one part has no share that could be shown: its bar only moves, and says how long it has been.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Told by training, imports and evaluation; see `recsys.training.stages.Progress`."""
        if what not in self._tasks:
            if total is not None and done >= total:
                return
            self._tasks[what] = self._bars.add_task(what, total=None), time.monotonic()
        task, since = self._tasks[what]
        self._bars.update(task, completed=done, total=None if total == 1 else total)
        if total is not None and done >= total:
            self._bars.remove_task(task)
            del self._tasks[what]
            seconds = time.monotonic() - since
            if seconds >= MIN_SECONDS:
                self._bars.console.print(f"  {what}: {seconds:.1f} s", style="dim", highlight=False)


class _Time(ProgressColumn):
    """The time left where it can be told, else the time spent."""

    def render(self, task: Task) -> Text:
        return TimeElapsedColumn().render(task) if task.total is None else Text("left ") + TimeRemainingColumn().render(task)


@contextmanager
def steps() -> Iterator[Steps]:
    """Progress on stderr for the time of the block; nothing but finished steps where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn("{task.percentage:>3.0f} %"), _Time())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield Steps(bars)


def say(text: str) -> None:
    """One line to a waiting person, on stderr: results alone go to stdout. Rich's markup counts."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def fail(text: str) -> None:
    """Why a command failed, on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"segrec: {text}", style="red"))


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

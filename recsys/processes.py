"""Many queries over several processes: one query is much Python and little arithmetic, so threads would only wait for each other."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from recsys.errors import RecsysError
from recsys.threads import limit_threads

State = TypeVar("State")
Task = TypeVar("Task")
Result = TypeVar("Result")

_IDLE_SECONDS = 10
_WATCH_SECONDS = 0.5
_jobs = itertools.count()
_opened: dict[int, Any] = {}
"""In a process of its own: the state of the job that it works at."""


def over_processes(
    open_state: Callable[[], State], work: Callable[[State, Task], Result], tasks: Sequence[Task], n_processes: int
) -> Iterator[Result]:
    """The result of `work` on each task, in their order, with one numeric thread in each process.

    With one process, or one task, all is done in this one. Else `open_state`, `work` and the tasks travel: they have to be small, and
    to be found by import. Each process opens a state of its own, once, and ends when it has been idle for ten seconds, or with this one.

    Raises:
        RecsysError: a process was ended from outside.
    """
    n = min(n_processes, len(tasks))
    if n > 1:
        job = next(_jobs), os.getpid()
        share = Parallel(n_jobs=n, batch_size=1, max_nbytes=None, return_as="generator", idle_worker_timeout=_IDLE_SECONDS)
        try:
            yield from share(delayed(_done)(*job, open_state, work, task) for task in tasks)
        except TerminatedWorkerError as error:
            raise RecsysError(f"one of {n} processes was ended from outside, most likely for want of memory; try fewer of them") from error
    elif len(tasks):
        with limit_threads(1):
            state = open_state()
            yield from (work(state, task) for task in tasks)


def _done(job: int, parent: int, open_state: Callable[[], State], work: Callable[[State, Task], Result], task: Task) -> Result:
    with limit_threads(1):
        if job not in _opened:
            if not _opened:
                threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            _opened.clear()  # what an earlier job left
            _opened[job] = open_state()
        return work(_opened[job], task)


def _end_with(parent: int) -> None:
    """A process whose parent was killed would wait for work, with all that it holds."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)

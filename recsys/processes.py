"""Many queries over several processes: one query is much Python and little arithmetic, so threads would only wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from joblib import Parallel, delayed

from recsys.threads import limit_threads

State = TypeVar("State")
Task = TypeVar("Task")
Result = TypeVar("Result")

_opened: dict[str, Any] = {}
"""In a process of its own: the state of the job that it works at."""


def over_processes(
    open_state: Callable[[], State], work: Callable[[State, Task], Result], tasks: Sequence[Task], n_processes: int
) -> Iterator[Result]:
    """The result of `work` on each task, in their order, with one numeric thread in each process.

    With one process, or one task, all is done in this one. Else `open_state`, `work` and the tasks travel: they have to be small, and
    to be found by import. Each process opens a state of its own, once.
    """
    n = min(n_processes, len(tasks))
    if n > 1:
        job = uuid4().hex
        share = Parallel(n_jobs=n, batch_size=1, max_nbytes=None, return_as="generator")
        yield from share(delayed(_done)(job, open_state, work, task) for task in tasks)
    else:
        with limit_threads(1):
            state = open_state()
            yield from (work(state, task) for task in tasks)


def _done(job: str, open_state: Callable[[], State], work: Callable[[State, Task], Result], task: Task) -> Result:
    if job not in _opened:
        _opened.clear()  # what an earlier job left
        _opened[job] = open_state()
    with limit_threads(1):
        return work(_opened[job], task)

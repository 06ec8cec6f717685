"""A job over several processes gives what it gives in one."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from threadpoolctl import threadpool_info

from recsys.errors import RecsysError
from recsys.processes import over_processes

OPENED: list[int] = []


def opened(seat: int) -> tuple[int, int]:
    OPENED.append(seat)
    return seat, len(OPENED)


def told(state: tuple[int, int], task: int) -> tuple[int, int, int, int, int]:
    """The seat and the how-manieth of this process it is, the task squared, the process, and the most threads that a library has."""
    return (*state, task**2, os.getpid(), max(library["num_threads"] for library in threadpool_info()))


def refused(state: tuple[int, int], task: int) -> int:
    if task == 3:
        raise ValueError(f"no task {task}")
    return task


def test_results_come_in_order_and_each_process_opens_one_state() -> None:
    found = list(over_processes(partial(opened, 7), told, range(20), 2))
    assert [square for _, _, square, *_ in found] == [task**2 for task in range(20)]
    assert {seat for seat, *_ in found} == {7}
    assert {threads for *_, threads in found} == {1}
    processes = {process for *_, process, _ in found}
    assert os.getpid() not in processes
    assert len({(times, process) for _, times, _, process, _ in found}) == len(processes) <= 2


def test_another_job_opens_another_state() -> None:
    for seat in (1, 2):
        assert {found[0] for found in over_processes(partial(opened, seat), told, range(4), 2)} == {seat}


@pytest.mark.parametrize(("tasks", "n_processes"), [(range(3), 1), (range(1), 2)])
def test_what_is_little_stays_in_this_process(tasks: range, n_processes: int) -> None:
    assert {process for *_, process, _ in over_processes(partial(opened, 1), told, tasks, n_processes)} == {os.getpid()}
    assert list(over_processes(partial(opened, 1), told, range(0), n_processes)) == []


@pytest.mark.parametrize("n_processes", [1, 2])
def test_what_fails_in_a_process_fails_here(n_processes: int) -> None:
    found = over_processes(partial(opened, 1), refused, range(6), n_processes)
    with pytest.raises(ValueError, match="no task 3"):
        list(found)


def killed(state: tuple[int, int], task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_a_process_that_is_killed_is_told_of() -> None:
    with pytest.raises(RecsysError, match="one of 2 processes was ended from outside"):
        list(over_processes(partial(opened, 1), killed, range(6), 2))
    assert len(list(over_processes(partial(opened, 1), told, range(6), 2))) == 6

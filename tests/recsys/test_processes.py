"""A job over several processes gives what it gives in one."""

from __future__ import annotations

import os
from functools import partial

import pytest

from recsys.processes import over_processes

OPENED: list[int] = []


def opened(seat: int) -> tuple[int, int]:
    OPENED.append(seat)
    return seat, len(OPENED)


def told(state: tuple[int, int], task: int) -> tuple[int, int, int, str]:
    """The state, how often this process has opened one, the task squared, the process and the threads that OpenMP gives it."""
    return (*state, task**2, f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")


def refused(state: tuple[int, int], task: int) -> int:
    if task == 3:
        raise ValueError(f"no task {task}")
    return task


def test_results_come_in_order_and_each_process_opens_one_state() -> None:
    found = list(over_processes(partial(opened, 7), told, range(20), 2))
    assert [square for _, _, square, _ in found] == [task**2 for task in range(20)]
    assert {state for state, *_ in found} == {7}
    assert {times for _, times, *_ in found} == {1}
    processes = {process for *_, process in found}
    assert len(processes) <= 2
    assert not any(process.startswith(f"{os.getpid()} ") for process in processes)


def test_another_job_opens_another_state() -> None:
    for seat in (1, 2):
        assert {state for state, *_ in over_processes(partial(opened, seat), told, range(4), 2)} == {seat}


@pytest.mark.parametrize(("tasks", "n_processes"), [(range(3), 1), (range(1), 2)])
def test_what_is_little_stays_in_this_process(tasks: range, n_processes: int) -> None:
    assert {process.split()[0] for *_, process in over_processes(partial(opened, 1), told, tasks, n_processes)} == {str(os.getpid())}
    assert list(over_processes(partial(opened, 1), told, range(0), n_processes)) == []


@pytest.mark.parametrize("n_processes", [1, 2])
def test_what_fails_in_a_process_fails_here(n_processes: int) -> None:
    found = over_processes(partial(opened, 1), refused, range(6), n_processes)
    with pytest.raises(ValueError, match="no task 3"):
        list(found)

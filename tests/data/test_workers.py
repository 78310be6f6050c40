"""Worker processes: order, errors, and what is left when somebody is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from abn.data import workers
from abn.errors import AbnError


def _slow_square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)
    return number**2


def _fails_at_five(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    return number


def _ends_itself(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_order(processes: int) -> None:
    """Whatever takes how long, on however many processes."""
    found = list(workers.in_order(_slow_square, range(50), processes))
    assert found == [number**2 for number in range(50)]


def test_no_more_is_taken_than_is_worked_on() -> None:
    """The memory does not grow with the number of tasks."""
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = workers.in_order(_slow_square, tasks(), 2)
    next(results)
    assert len(taken) <= workers.AHEAD * 2 + 1
    results.close()  # type: ignore[attr-defined]


def test_what_a_task_raises_is_raised() -> None:
    """At its place, after the results before it."""
    results = workers.in_order(_fails_at_five, range(10), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_a_worker_that_is_killed_ends_the_work_with_a_message() -> None:
    """As the kernel does when memory is short: an error, no hang."""
    with pytest.raises(AbnError, match="was killed; free memory"):
        list(workers.in_order(_ends_itself, range(10), 2))


def test_workers_end_with_their_parent() -> None:
    """A killed prepare leaves no process behind."""
    code = (
        "import time\n"
        "from abn.data import workers\n"
        "results = workers.in_order(time.sleep, iter([0, 0, *[1] * 1000]), 2)\n"
        "next(results); print('on', flush=True); list(results)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "on\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive

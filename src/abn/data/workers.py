"""Work on many things in worker processes, the results in order."""

import gc
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from abn.errors import AbnError

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Tasks a worker that are given out before the first result is taken: what bounds the memory."""


def processors() -> int:
    """Give the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """Yield ``function`` of each task, in their order; one that raises ends it.

    Args:
        function: Of a module, or a partial of one: it is sent to the workers.
        tasks: Taken from as workers become free.
        workers: Number of processes; the results do not depend on it.

    Raises:
        AbnError: A worker was killed, as for want of memory.
    """
    # A forked worker starts at once and shares what is imported; elsewhere the default serves.
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(kind)
    with ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise AbnError(
                "a process that decodes images was killed; free memory, or look among the files "
                "for one that is damaged or huge, and run again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Make a worker leave Ctrl-C to its parent, end with it, and be quiet."""
    gc.freeze()  # a collection would copy every page that it shares with its parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

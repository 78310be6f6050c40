"""Runs a stage's script and tells where its time went; pipeline.py has DVC run stages this way.

    python timed_stage.py stages/prepare.py    with TIMES naming the file to add a line to

Every moment between the first line here and the end of the stage is booked once: to imports (also
those that main comes to later), to tracking (MLflow as the stage sees it), to computing (the rest
of main, its reads and writes included) or to other things (params, key, git).
"""

import builtins
import functools
import importlib
import json
import os
import resource
import runpy
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Clock:
    """Books time to what is on top of a stack."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._stack = ["other"]
        self._since = time.perf_counter()

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function, its time booked to ``what``."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            self.book()
            self._stack.append(what)
            try:
                return function(*args, **kwargs)
            finally:
                self.book()
                self._stack.pop()

        return run

    def book(self) -> None:
        """Book the time since the last booking."""
        now = time.perf_counter()
        self.spent[self._stack[-1]] += now - self._since
        self._since = now


def main(script: str) -> None:
    """Run the script with its clock."""
    clock = Clock()
    builtins.__import__ = clock.timed("imports", builtins.__import__)
    importlib.import_module = clock.timed("imports", importlib.import_module)

    from abn import stage  # noqa: PLC0415
    from abn.tracking.run import Run  # noqa: PLC0415

    for name in ("__init__", "tag", "log", "log_artifact", "log_pipeline", "close"):
        setattr(Run, name, clock.timed("tracking", getattr(Run, name)))
    run = stage.run
    stage.run = lambda name, main: run(name, clock.timed("computing", main))
    runpy.run_path(script, run_name="__main__")
    clock.book()
    # By now the sender has been waited for; git, asked for the commit, hardly counts.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = {"stage": Path(script).stem, **clock.spent}
    times["sender_cpu"] = children.ru_utime + children.ru_stime
    with Path(os.environ["TIMES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(times) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""Progress of long work: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield ``items``, showing how many of ``total`` are done."""
    if sys.stderr.isatty():
        yield from _with_bar(items, what, total)
    else:
        yield from _with_lines(items, what, total)


def say(line: str) -> None:
    """Print one line of news, at once."""
    print(line, file=sys.stderr, flush=True)


def _with_bar(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        yield from bar.track(items, total=total, description=what)


def _with_lines(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            say(f"{what}: {done} of {total}")

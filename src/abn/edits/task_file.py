"""A JSON list of tasks, Label Studio's format of import and export, read one task at a time.

A soft map is up to 137,000 integers; what is in memory is one task, however many there are.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from abn import atomic
from abn.errors import AbnError

CHUNK = 1 << 20
"""Characters read at once."""


def write(path: Path, tasks: Iterable[Any]) -> None:
    """Write ``tasks``, each on a line of its own."""
    with atomic.file(path) as aside, aside.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for n, task in enumerate(tasks):
            stream.write(",\n" if n else "\n")
            stream.write(
                json.dumps(task, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            )
        stream.write("\n]\n")


def read(path: Path) -> Iterator[Any]:
    """Yield what the list in a file holds, one by one.

    Raises:
        AbnError: There is no such file, or it isn't a JSON list; names file, line and column.
            May come after whole tasks were given: whoever keeps them must not before the end.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from _Text(path, stream).items()
    except OSError as error:
        raise AbnError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AbnError(f"{path}: not UTF-8 text ({error.reason}); export it anew") from None


class _Text:
    """The part of a JSON text that is being read."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._text = ""
        self._at = 0
        self._line, self._column = 1, 1
        self._decoder = json.JSONDecoder()

    def items(self) -> Iterator[Any]:
        """Yield the items of the one list that the text is."""
        if self._next() != "[":
            raise self._error(
                "a list of tasks must begin here: export as JSON, not as another format"
            )
        self._at += 1
        if self._next() == "]":
            self._at += 1
        else:
            yield from self._values()
        if self._next():
            raise self._error("something stands after the list of tasks")

    def _values(self) -> Iterator[Any]:
        while True:
            yield self._value()
            separator = self._next()
            self._at += 1
            if separator == "]":
                return

    def _value(self) -> Any:
        """Read one value, and as much text as it needs: up to the comma or bracket after it."""
        self._next()
        self._drop()
        start = self._at
        while True:
            tried = len(self._text)
            try:
                value, self._at = self._decoder.raw_decode(self._text, start)
                if self._next() in (",", "]"):
                    return value
                mistake = self._error("a comma or the end of the list must stand here")
            except json.JSONDecodeError as error:
                self._at = error.pos
                mistake = self._error(f"malformed JSON or truncated ({error.msg})")
            except (ValueError, RecursionError) as error:
                raise self._error(f"no task of Label Studio's ({error})") from None
            if len(self._text) == tried and not self._more():
                raise mistake

    def _next(self) -> str:
        """Give the next character that isn't blank, empty at the end of the text."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on, as much as there is already, so that a long value is tried only a few times."""
        more = self._stream.read(max(CHUNK, len(self._text)))
        self._text += more
        return bool(more)

    def _drop(self) -> None:
        """Forget what was read, once it is enough to be worth the copy of the rest."""
        if self._at > CHUNK:
            self._line, self._column = self._place()
            self._text, self._at = self._text[self._at :], 0

    def _place(self) -> tuple[int, int]:
        before = self._text[: self._at]
        lines = before.count("\n")
        column = self._at - before.rfind("\n") if lines else self._column + self._at
        return self._line + lines, column

    def _error(self, what: str) -> AbnError:
        line, column = self._place()
        return AbnError(f"{self._path}: line {line}, column {column}: {what}")

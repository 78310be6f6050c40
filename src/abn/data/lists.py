"""Text files of a data set's lists: a line an entry, its fields between spaces."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from abn.errors import AbnError


def read(path: Path, *kinds: type) -> Iterator[list[Any]]:
    """Give the fields of each line.

    Args:
        path: The file, in UTF-8.
        kinds: What each field is read as: str, int or float.

    Raises:
        AbnError: It is missing, or a line is not of such fields; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; see data.root in params.yaml") from None
    except UnicodeDecodeError:
        raise AbnError(f"{path}: not a text in UTF-8; fetch the file anew") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        try:
            yield [kind(field) for kind, field in zip(kinds, fields, strict=True)]
        except ValueError:
            shape = " ".join(kind.__name__ for kind in kinds)
            raise AbnError(
                f"{path}, line {number}: {line[:80]!r} is not of the shape '{shape}'"
            ) from None

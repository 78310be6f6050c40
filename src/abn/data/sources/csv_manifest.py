"""A list of images with their labels: a CSV file below data.root.

Columns ``path`` and ``label``, perhaps ``mask`` (a PNG, empty where an image has none) and
``split`` (train, val or test). Paths are relative to data.root and stay inside it.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from abn.data import files, masks, splits
from abn.data.listing import Item, Listing
from abn.data.pictures import Picture
from abn.data.source import Source
from abn.errors import AbnError
from abn.params import Data

NEEDED, OPTIONAL = ("path", "label"), ("mask", "split")
LICENCE = "the owner's"
TOLD = 10
"""Mistakes of a manifest that are told at once."""


def open_source(data: Data, seed: int) -> Source:
    """Open the list; raise ``AbnError`` with the lines of everything wrong with it."""
    root = Path(data.root)
    path = root / data.csv.manifest
    rows = _read(path)
    mistakes = list(_mistakes(root, rows))
    if mistakes:
        more = f"\n  and {len(mistakes) - TOLD} more" if len(mistakes) > TOLD else ""
        raise AbnError(f"{path}: {len(mistakes)} mistake(s)\n" + "\n".join(mistakes[:TOLD]) + more)
    classes = sorted({row["label"] for row in rows})
    label_of = {name: label for label, name in enumerate(classes)}
    items = [
        Item(row["path"], label_of[row["label"]], row.get("split", ""), row.get("mask", ""))
        for row in rows
    ]
    listing = Listing(
        name="csv",
        licence=LICENCE,
        root=root,
        classes=classes,
        items=items,
        read_mask=_mask if any(item.mask for item in items) else None,
    )
    return files.open_files(listing, data, seed)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _check_header(path, reader.fieldnames or ())
            return [{**row, "line": str(reader.line_num)} for row in reader]
    except FileNotFoundError:
        raise AbnError(
            f"{path}: not found; see data.root and data.csv.manifest in params.yaml"
        ) from None
    except UnicodeDecodeError:
        raise AbnError(f"{path}: not a text in UTF-8; save it as such") from None
    except csv.Error as error:
        raise AbnError(f"{path}: not valid CSV: {error}") from None


def _check_header(path: Path, columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in NEEDED + OPTIONAL]
    missing = [name for name in NEEDED if name not in columns]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if unknown or missing or twice:
        raise AbnError(
            f"{path}: its header is {', '.join(columns) or 'empty'}; it takes path and label, and "
            "may have mask and split"
        )


def _mistakes(root: Path, rows: list[dict[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for row in rows:
        line = row["line"]
        if None in row or None in row.values():
            yield f"  line {line}: more or fewer fields than the header has"
            continue
        if not row["label"].strip():
            yield f"  line {line}: no label"
        if row.get("split", "train") not in splits.NAMES:
            yield f"  line {line}: split is {row['split']!r}, expected train, val or test"
        for column in ("path", "mask"):
            if wrong := _wrong_path(root, row.get(column, ""), needed=column == "path"):
                yield f"  line {line}: {column} {row[column]!r} {wrong}"
        if row["path"] in first:
            yield f"  line {line}: path {row['path']!r} stands on line {first[row['path']]} too"
        first.setdefault(row["path"], line)


def _wrong_path(root: Path, path: str, *, needed: bool) -> str:
    if not path:
        return "is empty" if needed else ""
    try:
        found = files.inside(root, path).is_file()
    except ValueError as error:
        return str(error)
    return "" if found else "is no file"


def _mask(picture: Picture, root: Path, item: Item) -> Image.Image | None:
    return masks.from_file(files.inside(root, item.mask), picture) if item.mask else None

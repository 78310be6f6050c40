"""What a source of files lists, held in so few bytes that a million images are no burden."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from abn.data import splits
from abn.data.pictures import Picture


class Item(NamedTuple):
    """One image that a source lists."""

    file: str
    """Relative to the root, with slashes."""
    label: int
    split: str = ""
    """train, val or test; empty where the source leaves it open, then for all."""
    mask: str = ""
    """What the source's reader of masks needs: a path, a box."""


MaskReader = Callable[[Picture, Path, Item], Image.Image | None]
"""Gives an item's mask as L, object bright, of the picture's proportions; from the root's folder.

None where the item has no mask; anything raised rejects the item.
"""


@dataclass(frozen=True)
class Listing:
    """What a source of files gives."""

    name: str
    licence: str
    root: Path
    classes: list[str]
    items: Iterable[Item]
    """Gone through once."""
    read_mask: MaskReader | None
    """Of a module, since worker processes look it up by its name; none without masks."""
    alpha_is_mask: bool = False


class Items:
    """Items in a row: texts as bytes end to end, numbers in arrays."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._texts = bytearray()
        self._ends = array("q", [0])
        labels, given = array("i"), array("b")
        for item in items:
            for text in (item.file, item.mask):
                # What of a file's name is no UTF-8 stays as it is on the disk.
                self._texts += text.encode("utf-8", "surrogateescape")
                self._ends.append(len(self._texts))
            labels.append(item.label)
            given.append(splits.NAMES.index(item.split) if item.split else splits.NONE)
        self.labels: NDArray[np.int32] = np.array(labels, np.int32)
        self.given: NDArray[np.int8] = np.array(given, np.int8)
        """Place of the source's own split in ``splits.NAMES``, or ``splits.NONE``."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> Item:
        given = self.given[place]
        split = "" if given == splits.NONE else splits.NAMES[given]
        return Item(
            self._text(2 * place), int(self.labels[place]), split, self._text(2 * place + 1)
        )

    def files(self, start: int, stop: int) -> Iterator[str]:
        """Give the files of a range of places, as far as there are any."""
        return (self._text(2 * place) for place in range(start, min(stop, len(self))))

    def _text(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return self._texts[start:end].decode("utf-8", "surrogateescape")

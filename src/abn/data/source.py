"""What a data source gives: its classes and a stream of samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """One image as it goes into the prepared set."""

    image_id: str
    """Unique; letters, digits, dot, underscore, hyphen."""
    split: str
    """train, val, test or test_shifted."""
    label: int
    file: str
    """The file it comes from, relative to the source's root."""
    width: int
    """Of the original, pixels."""
    height: int
    image: NDArray[np.uint8]
    """S×S×C, S the prepared image's side."""
    mask: NDArray[np.uint8] | None
    """S×S of 0 and 1: the object's own pixels."""


@dataclass(frozen=True)
class Source:
    """A data set, opened."""

    name: str
    licence: str
    classes: list[str]
    channels: int
    total: int
    """Number of samples."""
    has_masks: bool
    samples: Iterator[Sample]

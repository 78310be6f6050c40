"""What a data source gives: its classes and a stream of samples."""

from collections.abc import Iterator
from dataclasses import dataclass, field
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


class Rejected(NamedTuple):
    """A file that is not taken into the prepared set."""

    file: str
    """Relative to the source's root."""
    class_name: str
    reason: str


@dataclass(frozen=True)
class Source:
    """A data set, opened."""

    name: str
    licence: str
    classes: list[str]
    channels: int
    total: int
    """Number of samples; fewer come if files turn out to be broken, which ``rejected`` then has."""
    has_masks: bool
    """Its images may have masks."""
    samples: Iterator[Sample]
    alpha_is_mask: bool = False
    """Alpha channels say where the object is, not what can't be seen."""
    rejected: list[Rejected] = field(default_factory=list)
    """Grows while ``samples`` are drawn."""

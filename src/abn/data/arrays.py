"""Arrays on disk that are filled piece by piece."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike


def create(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap[Any, np.dtype[Any]]:
    """Make a .npy file of ``shape`` and give it memory-mapped, to be written to.

    Raises:
        OSError: There is not enough space. It is taken at once: a mapped file that ran out of space
            while it is filled would end the process without a word.
    """
    array: np.memmap[Any, np.dtype[Any]] = open_memmap(path, "w+", np.dtype(dtype), shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array

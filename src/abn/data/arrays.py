"""Arrays on disk that are filled piece by piece."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
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


def shorten(path: Path, rows: int) -> None:
    """Cut a .npy file that ``create`` made to its first ``rows``."""
    array: np.memmap[Any, np.dtype[Any]] = np.load(path, mmap_mode="r")
    header = io.BytesIO()
    described = npy.header_data_from_array_1_0(array) | {"shape": (rows, *array.shape[1:])}
    npy.write_array_header_1_0(header, described)
    if header.tell() != array.offset:
        raise ValueError(f"{path}: its header has {array.offset} bytes, not {header.tell()}")
    with path.open("r+b") as stream:
        stream.write(header.getvalue())
        stream.truncate(array.offset + rows * int(np.prod(array.shape[1:])) * array.itemsize)

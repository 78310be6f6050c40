"""From the memory-mapped prepared set to normalised batches on a device."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.data.prepared import Prepared


def batch(prepared: Prepared, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Give the images of ``rows`` as float32 N×C×H×W, normalised, channels last in memory."""
    pixels = torch.from_numpy(prepared.images[rows]).to(device, non_blocking=True)
    mean = torch.tensor(prepared.mean, device=device) * 255
    std = torch.tensor(prepared.std, device=device) * 255
    return pixels.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def chunks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Cut ``rows`` into runs of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def count(rows: NDArray[np.int64], size: int) -> int:
    """Give the number of chunks of ``rows``."""
    return -(-len(rows) // size)

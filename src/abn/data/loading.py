"""From the memory-mapped prepared set to normalised batches on a device."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from abn.data.prepared import Prepared


def batch(prepared: "Prepared", rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Give the images of ``rows`` as ``normalised`` gives them."""
    return normalised(prepared.images[rows], prepared.mean, prepared.std, device)


def normalised(
    images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], device: torch.device
) -> Tensor:
    """Give images uint8 N×H×W×C as float32 N×C×H×W, normalised, channels last in memory.

    Args:
        images: The pixels.
        mean: Of each channel, pixels scaled to [0, 1].
        std: The same.
        device: Where they are needed.
    """
    pixels = torch.from_numpy(images).to(device, non_blocking=True)
    offset, scale = torch.tensor(mean, device=device) * 255, torch.tensor(std, device=device) * 255
    return pixels.float().sub_(offset).div_(scale).permute(0, 3, 1, 2)


def chunks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Cut ``rows`` into runs of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def count(rows: NDArray[np.int64], size: int) -> int:
    """Give the number of chunks of ``rows``."""
    return -(-len(rows) // size)

"""Attention maps and masks brought to one grid.

Shapes: N maps of h×w (the network's grid), masks of H×W (the prepared images' size).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def to_grid(masks: NDArray[np.uint8], grid: tuple[int, int]) -> Tensor:
    """Average masks N×H×W of 0 and 1 over the cells of a grid.

    Returns:
        float32 N×h×w in [0, 1]: the share of each cell that the mask covers.
    """
    cover = torch.from_numpy(masks.astype(np.float32))
    return adaptive_avg_pool2d(cover, grid)


def coverage(
    masks: NDArray[np.uint8], rows: NDArray[np.int64], grid: tuple[int, int], chunk: int = 4096
) -> Tensor:
    """Give ``to_grid`` of the masks' ``rows``, reading them a chunk at a time."""
    pieces = [to_grid(masks[rows[i : i + chunk]], grid) for i in range(0, len(rows), chunk)]
    return torch.cat(pieces) if pieces else torch.zeros(0, *grid)

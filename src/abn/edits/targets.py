"""Between the model's map and the canvas on which people edit it, and from edits to one target.

The canvas is the map's grid enlarged k times, each cell k×k equal pixels, so that averaging the
blocks of an untouched canvas gives back the model's map. Shapes: h the grid's side, k·h the
canvas's.
"""

from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CANVAS_SIDE = 512
"""Least side of the canvas, pixels: a person can't edit a much smaller image well."""
STEP = 1 / 255


def canvas_side(grid: int) -> int:
    """Give the canvas's side: the least multiple of the map's side that is 512 or more."""
    return -(-CANVAS_SIDE // grid) * grid


def to_canvas(attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Enlarge a map, h×h in [0, 1], to its canvas, uint8 k·h×k·h, by nearest neighbour."""
    grid = len(attention)
    levels = np.rint(attention.astype(np.float32) * 255).astype(np.uint8)
    return np.kron(levels, np.ones((canvas_side(grid) // grid,) * 2, np.uint8))


def from_canvas(painted: NDArray[np.uint8], grid: int) -> NDArray[np.float32]:
    """Average the blocks of a canvas, uint8 k·h×k·h: the map, float32 h×h in [0, 1]."""
    block = len(painted) // grid
    blocks = painted.reshape(grid, block, grid, block)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return (means / 255).astype(np.float32)


def rebase(
    painted: NDArray[np.uint8], shown: NDArray[np.uint8], own: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Put the strokes that were made on one map onto another: where nothing was done, it shows.

    Args:
        painted: The canvas as the annotator left it, uint8 k·h×k·h.
        shown: The map as the annotator found it, uint8 k·h×k·h.
        own: The present model's map, h×h in [0, 1].
    """
    return np.where(painted != shown, painted, to_canvas(own))


def merge(
    targets: NDArray[np.float32],
    own: NDArray[np.float32],
    how: Literal["latest", "mean", "agreement"],
) -> NDArray[np.float32]:
    """Make one target of several annotators'.

    Args:
        targets: float32 n×h×h, oldest first.
        own: The model's own map, float32 h×h.
        how: ``latest`` takes the last, ``mean`` the mean, ``agreement`` the mean but the model's
            own value where one annotator is above 0.5 and another below.
    """
    latest: NDArray[np.float32] = targets[-1]
    if how == "latest":
        return latest
    mean: NDArray[np.float32] = targets.mean(axis=0)
    if how == "mean":
        return mean
    disputed = (targets > 0.5).any(axis=0) & (targets < 0.5).any(axis=0)
    return np.where(disputed, own, mean)


def agreement(targets: NDArray[np.float32]) -> float:
    """Give the mean IoU of all pairs of n×h×h targets, cut at 0.5; two empty ones agree."""
    pairs = combinations([target > 0.5 for target in targets], 2)
    return float(np.mean([_iou(one, other) for one, other in pairs]))


def changed(target: NDArray[np.float32], own: NDArray[np.float32]) -> float:
    """Give the share of cells in which the target differs from the model's map by over 1/255."""
    return float((np.abs(target - own) > STEP).mean())


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0

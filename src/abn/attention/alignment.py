"""Alignment of all maps with all masks, split by split, beside what costs nothing to reach."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import metrics
from abn.attention.maps import coverage

CHUNK = 4096
ENOUGH_MASKS = 8192
"""Training masks from which the cheap maps are drawn: more do not move them."""


def by_image(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], rows: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Give each metric of each of ``rows``; maps N×h×w and masks N×H×W may be memory-mapped."""
    pieces: dict[str, list[Tensor]] = {name: [] for name in metrics.METRICS}
    for start in range(0, len(rows), CHUNK):
        piece = rows[start : start + CHUNK]
        found = torch.from_numpy(maps[piece].astype(np.float32))
        cover = coverage(masks, piece, found.shape[1:])  # type: ignore[arg-type]
        for name, metric in metrics.METRICS.items():
            pieces[name].append(metric(found, cover))
    return {name: torch.cat(values).numpy() for name, values in pieces.items() if values}


def means(values: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Give the mean of each metric over the images that have a value."""
    return {
        name: float(np.nanmean(value))
        for name, value in values.items()
        if not np.isnan(value).all()
    }


def baselines(
    masks: NDArray[np.uint8],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    rows: Mapping[str, NDArray[np.int64]],
    grid: tuple[int, int],
) -> dict[str, dict[str, dict[str, float]]]:
    """Give what maps that know no image reach, by split: one map for all, one for each class.

    Both are drawn from the training masks and are the best of their kind (``best_constant_map``).
    """
    train = train[:ENOUGH_MASKS]
    drawn, drawn_labels = coverage(masks, train, grid), torch.from_numpy(labels[train])
    constant = metrics.best_constant_map(drawn)
    of_class = metrics.class_mean_masks(drawn, drawn_labels, int(labels.max()) + 1)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for split, chosen in rows.items():
        some = chosen[:ENOUGH_MASKS]
        cover = coverage(masks, some, grid)
        result[split] = {
            "constant_map": metrics.summary(constant.expand_as(cover), cover),
            "class_mean_mask": metrics.summary(of_class[torch.from_numpy(labels[some])], cover),
        }
    return result

"""Alignment of all maps with all masks, split by split, beside what costs nothing to reach."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import metrics
from abn.attention.baselines import best_constant_map, class_mean_masks
from abn.attention.maps import coverage

CHUNK = 1024
"""Images at once: what is computed of them then stays in the processor's cache."""
ENOUGH_MASKS = 8192
"""Training masks from which the cheap maps are drawn: more do not move them."""


def by_image(
    maps: NDArray[np.floating],
    masks: NDArray[np.uint8],
    rows: NDArray[np.int64],
    threshold: float | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Give each metric of each of ``rows``.

    Args:
        maps: N×h×w, may be memory-mapped.
        masks: uint8 N×H×W, may be memory-mapped.
        rows: Of both.
        threshold: ``validated_threshold`` of these maps; adds ``iou_validated``.
    """
    pieces: dict[str, list[Tensor]] = defaultdict(list)
    for found, cover in _pairs(maps, masks, rows):
        for name, values in metrics.measure(found, cover, threshold).items():
            pieces[name].append(values)
    return {name: torch.cat(values).numpy() for name, values in pieces.items()}


def means(values: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Give the mean of each metric over the images that have a value."""
    return {
        name: float(np.nanmean(value))
        for name, value in values.items()
        if not np.isnan(value).all()
    }


def validated_threshold(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], rows: NDArray[np.int64]
) -> float:
    """Give the threshold with the highest mean IoU over ``rows``, the validation images.

    For ``by_image`` on every split. Arguments as there; see ``metrics.best_threshold``.
    """
    total = torch.zeros(len(metrics.THRESHOLDS), dtype=torch.float64)
    for found, cover in _pairs(maps, masks, rows):
        total += metrics.iou_by_threshold(found, cover).double().nansum(0)
    return metrics.best_threshold(total)


def baselines(
    masks: NDArray[np.uint8],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    rows: Mapping[str, NDArray[np.int64]],
    grid: tuple[int, int],
) -> dict[str, dict[str, dict[str, float]]]:
    """Give what maps that know no image reach, by split, map and metric.

    ``uniform_map`` is the same everywhere: the chance level of each metric. ``constant_map`` is one
    map for all, ``class_mean_mask`` one for each class; both are drawn from the training masks and
    are the best of their kind (``best_constant_map``). All are of 0 and 1, so that their IoU is
    the same at every threshold.
    """
    train = train[:ENOUGH_MASKS]
    drawn, drawn_labels = coverage(masks, train, grid), torch.from_numpy(labels[train])
    constant = best_constant_map(drawn)
    of_class = class_mean_masks(drawn, drawn_labels, int(labels.max()) + 1)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for split, chosen in rows.items():
        some = chosen[:ENOUGH_MASKS]
        cover = coverage(masks, some, grid)
        cheap = {
            "uniform_map": torch.ones_like(cover),
            "constant_map": constant.expand_as(cover),
            "class_mean_mask": of_class[torch.from_numpy(labels[some])],
        }
        result[split] = {name: metrics.summary(maps, cover, 0.5) for name, maps in cheap.items()}
    return result


def _pairs(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give maps and masks on their grid, a chunk of ``rows`` at a time."""
    for start in range(0, len(rows), CHUNK):
        piece = rows[start : start + CHUNK]
        found = torch.from_numpy(maps[piece].astype(np.float32))
        yield found, coverage(masks, piece, found.shape[1:])  # type: ignore[arg-type]

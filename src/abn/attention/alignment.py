"""Alignment of all maps with all masks, split by split, beside what costs nothing to reach."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import metrics
from abn.attention.baselines import cheap_maps
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
    return _measure(_pairs(maps, masks, rows), threshold)


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
    map for all, ``class_mean_mask`` one for each class; both are drawn from the training masks, as
    their mean and as its best cut (``cheap_maps``), and each metric is that of the better one.
    ``iou_validated`` is ``iou``: the cut is chosen already.
    """
    train = train[:ENOUGH_MASKS]
    of_row, classes = torch.tensor(labels), int(labels.max()) + 1
    cheap = cheap_maps(coverage(masks, train, grid), of_row[train], classes)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for split, every in rows.items():
        some = every[:ENOUGH_MASKS]
        cover = coverage(masks, some, grid)
        result[split] = {name: _best(maps, of_row[some], cover) for name, maps in cheap.items()}
    return result


def _best(candidates: Iterable[Tensor], labels: Tensor, cover: Tensor) -> dict[str, float]:
    """Give each metric of that map, each K×h×w, which has the highest mean."""
    reached = []
    for of_class in candidates:
        pieces = zip(labels.split(CHUNK), cover.split(CHUNK), strict=True)
        reached.append(means(_measure(((of_class[k], masks) for k, masks in pieces), 0.5)))
    return {name: max(found[name] for found in reached) for name in reached[0]}


def _measure(
    pairs: Iterable[tuple[Tensor, Tensor]], threshold: float | None
) -> dict[str, NDArray[np.float32]]:
    pieces: dict[str, list[Tensor]] = defaultdict(list)
    for maps, cover in pairs:
        for name, values in metrics.measure(maps, cover, threshold).items():
            pieces[name].append(values)
    return {name: torch.cat(values).numpy() for name, values in pieces.items()}


def _pairs(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give maps and masks on their grid, a chunk of ``rows`` at a time."""
    for start in range(0, len(rows), CHUNK):
        piece = rows[start : start + CHUNK]
        found = torch.from_numpy(maps[piece].astype(np.float32))
        yield found, coverage(masks, piece, found.shape[1:])  # type: ignore[arg-type]

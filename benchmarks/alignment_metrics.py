"""What do the alignment metrics cost? Seconds of processor time for 20,000 maps of 24×24.

Measures each metric by itself, all of them together (as the pipeline does, with one sorting), the
choice of a threshold, and the reading of masks, on one thread; the best of three. Maps and masks
are made up: discs at random places, and noisy maps of them, rounded to float16 as the pipeline
keeps them. Processor time, because the machine may be shared.

Run: python benchmarks/alignment_metrics.py
"""

import csv
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import alignment, metrics
from abn.attention.maps import coverage

IMAGES, SIZE, GRID = 20_000, 48, (24, 24)
RESULT = Path("benchmarks/results/alignment_metrics.csv")


def main() -> None:
    """Print the table and write it."""
    torch.set_num_threads(1)
    masks, maps = _made_up()
    rows = np.arange(IMAGES)
    pairs = [
        (torch.from_numpy(maps[i].astype(np.float32)), coverage(masks, i, GRID))
        for i in np.array_split(rows, IMAGES // alignment.CHUNK)
    ]
    timed: dict[str, Callable[[], object]] = {
        name: partial(_each, metric, pairs) for name, metric in metrics.METRICS.items()
    }
    timed["all of them, and iou_validated"] = partial(
        _each, partial(metrics.measure, threshold=0.3), pairs
    )
    timed["masks on the maps' grid"] = partial(coverage, masks, rows, GRID)
    timed["by_image: masks and all metrics"] = partial(alignment.by_image, maps, masks, rows, 0.3)
    timed["validated_threshold"] = partial(alignment.validated_threshold, maps, masks, rows)
    lines = [{"what": name, "seconds": f"{_seconds(call):.3f}"} for name, call in timed.items()]
    for line in lines:
        print("{what:34} {seconds:>7}".format(**line))
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _made_up() -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    at, radius = random.uniform(14, 34, (2, IMAGES, 1, 1)), random.uniform(8, 15, (IMAGES, 1, 1))
    masks = ((y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2).astype(np.uint8)
    logits = (
        random.normal(-1, 2, (IMAGES, *GRID)) + 3 * coverage(masks, np.arange(IMAGES), GRID).numpy()
    )
    return masks, (1 / (1 + np.exp(-logits))).astype(np.float16)


def _each(metric: Callable[[Tensor, Tensor], object], pairs: list[tuple[Tensor, Tensor]]) -> None:
    for maps, masks in pairs:
        metric(maps, masks)


def _seconds(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


if __name__ == "__main__":
    main()

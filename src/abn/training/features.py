"""The frozen feature extractor's output, computed once and kept on disk.

One file for a model, a set of images and a number format, in the scratch folder, memory-mapped;
the longest unused ones go when all of them together grow beyond a bound.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from abn import atomic, paths, progress
from abn.data import arrays
from abn.data.loading import batch, chunks, count
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine

BOUND = 20 * 2**30
"""Bytes that all caches may take together."""
FORMATS: dict[str, type[np.floating[Any]]] = {"fp32": np.float32, "fp16": np.float16}


class Features:
    """Features of some rows of the prepared set, by place among those rows."""

    def __init__(self, array: NDArray[np.floating[Any]], device: torch.device) -> None:
        self._array = array
        self._device = device

    def at(self, start: int) -> "Features":
        """Give the features from place ``start`` on."""
        return Features(self._array[start:], self._device)

    def __call__(self, places: NDArray[np.int64]) -> Tensor:
        """Give float32 N×C×h×w, channels last in memory."""
        stored = torch.from_numpy(self._array[places]).to(self._device)
        return stored.float().permute(0, 3, 1, 2)


def cached(
    network: AttentionBranchNetwork,
    weights: str,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
    number_format: str,
) -> Features:
    """Give the features of ``rows``, from the cache or computed into it.

    Args:
        network: Its feature extractor is run in eval mode.
        weights: Digest of the network's weights.
        prepared: The images.
        rows: Of the prepared set.
        engine: Where to compute.
        number_format: fp32 keeps what was computed, fp16 rounds it in half the space.
    """
    name = _name(weights, prepared.digest, rows, number_format, engine)
    file = paths.scratch() / "features" / f"{name}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            _compute(network, prepared, rows, engine, FORMATS[number_format], file)
        os.utime(file)
        array = np.load(file, mmap_mode="r")
    _trim(file)
    return Features(array, engine.device)


def _compute(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
    dtype: type[np.floating[Any]],
    file: Path,
) -> None:
    extractor = engine.place(network.feature_extractor).eval()
    kept: NDArray[np.floating[Any]] | None = None
    size = engine.batch_size
    pieces = progress.track(chunks(rows, size), "features", count(rows, size))
    with atomic.file(file) as aside:
        start = 0
        for piece in pieces:
            images = batch(prepared, piece, engine.device)
            with torch.inference_mode(), engine.autocast():
                features = extractor(images).permute(0, 2, 3, 1)
            if kept is None:
                shape = (len(rows), *features.shape[1:])
                kept = arrays.create(aside, shape, dtype)
            kept[start : start + len(piece)] = features.float().cpu().numpy()
            start += len(piece)
        del kept


def _name(
    weights: str, data: str, rows: NDArray[np.int64], number_format: str, engine: Engine
) -> str:
    digest = hashlib.sha256(rows.tobytes())
    for part in (weights, data, number_format, engine.precision, engine.device.type):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def _trim(just_used: Path) -> None:
    files = sorted(just_used.parent.glob("*.npy"), key=lambda f: f.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > BOUND and file != just_used:
            file.unlink(missing_ok=True)
            file.with_suffix(".lock").unlink(missing_ok=True)

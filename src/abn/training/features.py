"""What the frozen base model makes of images, computed once and kept on disk.

The feature extractor's output and both heads' logits: one folder for a model, a set of images and a
number format, in the scratch folder, memory-mapped; the longest unused ones go when all of them
together grow beyond a bound.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from abn import atomic, paths, progress
from abn.data import arrays
from abn.data.loading import batch, chunks, count
from abn.data.prepared import Prepared
from abn.model.folding import folded
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine

BOUND = 20 * 2**30
"""Bytes that all caches may take together."""
FORMATS: dict[str, type[np.floating[Any]]] = {"fp32": np.float32, "fp16": np.float16}
FEATURES, LOGITS = "features.npy", "logits.npy"


class Logits(NamedTuple):
    """Of both heads, N×K each."""

    perception: Tensor
    attention: Tensor


class Features:
    """Features and the base model's logits of some rows, by place among those rows."""

    def __init__(
        self,
        features: NDArray[np.floating[Any]],
        logits: NDArray[np.float32],
        device: torch.device,
        kept: NDArray[np.int64] | None = None,
    ) -> None:
        self._features = features
        self._logits = logits
        self._device = device
        self._kept = np.arange(len(features)) if kept is None else kept

    def take(self, places: NDArray[np.int64]) -> "Features":
        """Give those at some places alone, which then count from 0."""
        return Features(self._features, self._logits, self._device, self._kept[places])

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self._kept)

    def __call__(self, places: NDArray[np.int64]) -> Tensor:
        """Give float32 N×C×h×w, channels last in memory."""
        stored = torch.from_numpy(self._features[self._kept[places]]).to(self._device)
        return stored.float().permute(0, 3, 1, 2)

    def logits(self, places: NDArray[np.int64]) -> Logits:
        """Give the base model's logits."""
        stored = torch.from_numpy(self._logits[self._kept[places]]).to(self._device)
        return Logits(stored[:, 0], stored[:, 1])


def cached(
    network: AttentionBranchNetwork,
    weights: str,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
    number_format: str,
) -> Features:
    """Give the features and logits of ``rows``, from the cache or computed into it.

    Args:
        network: The base model; it is run in eval mode.
        weights: Digest of the network's weights.
        prepared: The images.
        rows: Of the prepared set.
        engine: Where to compute.
        number_format: fp32 keeps the features as computed, fp16 rounds them in half the space.
    """
    name = _name(weights, prepared.digest, rows, number_format, engine)
    folder = paths.scratch() / "features" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with atomic.folder(folder) as aside:
                _compute(network, prepared, rows, engine, FORMATS[number_format], aside)
        os.utime(folder)
        features = np.load(folder / FEATURES, mmap_mode="r")
        logits = np.load(folder / LOGITS, mmap_mode="r")
    _trim(folder)
    return Features(features, logits, engine.device)


def _compute(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
    dtype: type[np.floating[Any]],
    folder: Path,
) -> None:
    network = engine.place(folded(engine.place(network).eval()))
    kept: NDArray[np.floating[Any]] | None = None
    logits: list[NDArray[np.float32]] = []
    size = engine.batch_size
    pieces = progress.track(chunks(rows, size), "features", count(rows, size))
    start = 0
    for piece in pieces:
        images = batch(prepared, piece, engine.device)
        with torch.inference_mode(), engine.autocast():
            features = network.feature_extractor(images)
            found = network.from_features(features)
        stored = features.permute(0, 2, 3, 1).float().cpu().numpy()
        if kept is None:
            kept = arrays.create(folder / FEATURES, (len(rows), *stored.shape[1:]), dtype)
        kept[start : start + len(piece)] = stored
        both = torch.stack((found.perception_logits, found.attention_logits), 1)
        logits.append(both.float().cpu().numpy())
        start += len(piece)
    np.save(folder / LOGITS, np.concatenate(logits))


def _name(
    weights: str, data: str, rows: NDArray[np.int64], number_format: str, engine: Engine
) -> str:
    digest = hashlib.sha256(rows.tobytes())
    for part in (weights, data, number_format, engine.precision, engine.device.type):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def _trim(just_used: Path) -> None:
    folders = [path for path in just_used.parent.iterdir() if path.is_dir()]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    total = 0
    for folder in folders:
        total += sum(file.stat().st_size for file in folder.glob("*.npy"))
        if total > BOUND and folder != just_used:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".lock").unlink(missing_ok=True)
